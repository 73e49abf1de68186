"""Noisy fine-tuning in the reference trainer: the steps against a plain loop, the losses, the audit and what it finds."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from accountant import ConvexHoelder, ConvexNonsmooth, FineTuning, HoelderNonconvex, InputError, UnlearningAccountant
from accountant.problem import SmoothNonconvex
from accountant.trainer import (
    STEP_FAULTS,
    AbsoluteError,
    DoubleWell,
    Hinge,
    Perceptron,
    PowerError,
    PowerHinge,
    Repulsive,
    StepInstance,
    StepLoss,
    audit_steps,
    double_well_instance,
    fine_tune,
    nonsmooth_instance,
    perceptron_instance,
    repulsive_instance,
    tell_apart,
)

FEATURES = np.random.default_rng(1).standard_normal((6, 3))
LABELS = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0])
SIGNS = np.array([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
FINE = FineTuning(step_size=0.1, gradient_clip=0.5, start_clip=1.0)
UNIT_ROWS = FEATURES / np.linalg.norm(FEATURES, axis=1)[:, None]


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (Perceptron(hidden=4, classes=3), LABELS), (DoubleWell(depth=3.0), SIGNS), (Repulsive(2.0), SIGNS),
        (Hinge(l1=0.3), SIGNS), (AbsoluteError(l1=0.3), LABELS),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_gradients_are_those_of_the_values(loss: StepLoss, labels: Any) -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((2, loss.size(3)))
    gradient, step = loss.gradients(w, FEATURES, labels), 1e-6
    for k in range(w.shape[1]):
        moved = np.eye(w.shape[1])[k] * step
        slope = (loss.values(w + moved, FEATURES, labels) - loss.values(w - moved, FEATURES, labels)) / (2 * step)
        assert gradient[:, k] == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_a_convex_loss_is_never_steeper_than_it_says() -> None:
    rng = np.random.default_rng(0)
    for loss in (Hinge(l1=0.3), AbsoluteError(l1=0.3)):
        norms = np.linalg.norm(loss.gradients(10 * rng.standard_normal((500, 3)), UNIT_ROWS, SIGNS), axis=1)
        assert 0.5 * loss.lipschitz(3) < norms.max() <= loss.lipschitz(3) * (1 + 1e-12)


def plain(
    algorithm: Any, loss: StepLoss, start: Any, labels: Any, *, batch_size: int, steps: int, noise: Any, sigma: float
) -> Any:
    """The same steps, one trial at a time, as they are written down."""

    def clip(x: Any, limit: float | None) -> Any:
        norm = math.sqrt(sum(v * v for v in x))
        return x if limit is None or norm <= limit else x * (limit / norm)

    x = clip(clip(np.array(start), algorithm.start_clip), algorithm.model_clip)
    for step in range(steps):
        first = step * batch_size % 6
        rows = slice(first, first + batch_size)
        g = clip(loss.gradients(x[None], FEATURES[rows], labels[rows])[0], getattr(algorithm, "gradient_clip", None))
        x = x - algorithm.step_size * (g + algorithm.weight_decay * x)
        if getattr(algorithm, "clip_first", False):
            x = clip(x, algorithm.model_clip) + sigma * noise[step]
        else:
            x = clip(x + sigma * noise[step], algorithm.model_clip)
    return x


@pytest.mark.parametrize(
    "algorithm",
    [
        FINE,
        FineTuning(step_size=0.1, gradient_clip=0.5, start_clip=1.0, weight_decay=2.0),
        FineTuning(step_size=0.1, gradient_clip=0.5, start_clip=1.0, model_clip=0.7),
        FineTuning(step_size=0.1, model_clip=0.7, clip_first=True),
        SmoothNonconvex(step_size=0.1, smoothness=4.0, model_clip=0.7),
    ],
)
def test_the_steps_are_those_of_the_algorithm(algorithm: Any) -> None:
    loss, sigma, steps = Perceptron(hidden=2, classes=3), 0.05, 7
    start = np.random.default_rng(3).standard_normal(loss.size(3))

    class Known:
        def __init__(self) -> None:
            self.draws: list[Any] = []

        def standard_normal(self, shape: tuple[int, int]) -> Any:
            self.draws.append(np.random.default_rng(len(self.draws)).standard_normal(shape))
            return self.draws[-1]

    from accountant.trainer import fine_tuning

    known, real = Known(), np.random.default_rng
    with pytest.MonkeyPatch.context() as patch:
        made = iter([known, known])
        patch.setattr(
            fine_tuning.np.random, "default_rng", lambda seed: next(made, None) if not isinstance(seed, int) else real(seed)
        )
        found = fine_tune(
            loss, algorithm, start, FEATURES, LABELS, sigma=sigma, steps=steps, batch_size=2, order=np.arange(6), trials=3
        )
    noise = np.array(known.draws)
    for trial in range(3):
        expected = plain(algorithm, loss, start, LABELS, batch_size=2, steps=steps, noise=noise[:, trial], sigma=sigma)
        assert found[:, trial] == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_noise_has_the_deviation_that_is_asked_for_on_every_parameter_and_never_comes_again() -> None:
    still = Perceptron(hidden=2)
    args = (
        still,
        FineTuning(step_size=1e-9, gradient_clip=1e-9, start_clip=1.0),
        np.zeros(still.size(3)),
        FEATURES,
        LABELS % 2,
    )
    noise = fine_tune(*args, sigma=0.3, steps=4, trials=4000)
    assert noise.std(axis=1) == pytest.approx(np.full(still.size(3), 0.6), rel=0.05)
    assert not np.array_equal(noise, fine_tune(*args, sigma=0.3, steps=4, trials=4000))
    one, same = (fine_tune(*args, sigma=0.3, steps=4, trials=2, seed=1) for _ in range(2))
    assert np.array_equal(one, same)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": 3}, "loss must be a loss of noisy steps, got int"),
        ({"algorithm": 3}, "algorithm must be one of noisy steps, got int"),
        ({"start": [1.0]}, "start must be 3 finite parameters"),
        ({"start": [np.nan] * 3}, "start must be 3 finite parameters"),
        ({"start": np.zeros((3, 2)), "trials": 3}, "trials must be the columns of start, 2"),
        ({"features": np.zeros(3)}, "features must be finite"),
        ({"labels": np.zeros(5)}, "features must be finite"),
        ({"sigma": -1.0}, "sigma must be a number from 0"),
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"batch_size": 7}, "batch_size must be a whole number from 1 to 6"),
        ({"order": [0, 1, 2, 3, 4, 4]}, "order must be the rows 0 ... 5"),
        ({"trials": 0}, "trials must be a whole number from 1"),
        ({"fault": "none"}, "fault must be one of silent-layer, layer-clip, short"),
        (
            {"algorithm": ConvexNonsmooth(step_size=0.1, lipschitz=0.1, start_clip=1.0)},
            "lipschitz must bound every subgradient",
        ),
    ],
)
def test_what_is_no_run_is_refused(changes: dict[str, Any], message: str) -> None:
    given = {"loss": Hinge(), "algorithm": FINE, "start": np.zeros(3), "features": UNIT_ROWS, "labels": SIGNS}
    given |= {"sigma": 1.0, "steps": 1} | changes
    with pytest.raises(InputError, match=message):
        fine_tune(given.pop("loss"), given.pop("algorithm"), **given)  # type: ignore[arg-type]


def test_labels_of_a_perceptron_are_classes() -> None:
    with pytest.raises(InputError, match="labels must be integers from 0 to 1 for perceptron"):
        Perceptron(hidden=1).gradients(np.zeros((1, 6)), np.zeros((1, 2)), np.array([2.0]))


def test_progress_counts_every_step() -> None:
    told: list[tuple[int, int]] = []
    fine_tune(
        Hinge(),
        FINE,
        np.zeros(3),
        UNIT_ROWS,
        SIGNS,
        sigma=1.0,
        steps=3,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    told.clear()
    audit_steps(double_well_instance(steps=2), trials=40, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


# --- the audit

HONEST = {
    "repulsive": repulsive_instance(mu=2.0),
    "repulsive, decay": repulsive_instance(mu=2.0, steps=5, weight_decay=4.0),
    "repulsive, long steps": repulsive_instance(mu=3.0, step_size=1.0, start_clip=0.1),
    "double well": double_well_instance(epsilon=2.0),
    "double well, decay": double_well_instance(epsilon=2.0, weight_decay=1.0),
    "perceptron": perceptron_instance(epsilon=2.0, steps=4),
    "hinge": nonsmooth_instance("hinge", epsilon=2.0),
    "absolute": nonsmooth_instance("absolute", epsilon=2.0),
    "double well, clipped": double_well_instance(epsilon=2.0, model_clip=1.0),
    "double well, clipped first": double_well_instance(epsilon=2.0, model_clip=1.0, clip_first=True, steps=2),
    "perceptron, clipped": perceptron_instance(epsilon=2.0, steps=4, model_clip=0.5),
    "hinge, clipped": nonsmooth_instance("hinge", epsilon=2.0, model_clip=1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_the_audit_stays_below_the_claim(name: str) -> None:
    instance = HONEST[name]
    for seed in range(2):
        found = audit_steps(instance, trials=2000, confidence=0.9999, seed=seed)
        assert not found.refutes(instance.guarantee)


@pytest.mark.campaign
@pytest.mark.parametrize("name", HONEST)
def test_fifty_audits_stay_below_the_claim(name: str) -> None:
    instance = HONEST[name]
    guarantee = instance.guarantee
    assert [
        seed for seed in range(50) if audit_steps(instance, trials=4000, confidence=0.9999, seed=seed).refutes(guarantee)
    ] == []


def random_instance(seed: int) -> StepInstance:
    """Any setting of any algorithm, from opposite ends of the ball, with noise for a random claim."""
    rng = np.random.default_rng(seed)
    d, steps = int(rng.integers(1, 4)), int(rng.integers(1, 12))
    step, clip, start = (float(10**each) for each in (rng.uniform(-2, 0), rng.uniform(-1, 0.5), rng.uniform(-1, 0.5)))
    decay = 0.0 if rng.random() < 0.5 else float(rng.uniform(0, 1)) / step
    ball = None if rng.random() < 0.4 else start * float(10 ** rng.uniform(-0.5, 0.5))
    first = ball is not None and rng.random() < 0.4
    power = float(rng.uniform(1.05, 1.95))
    losses: list[StepLoss] = [
        Repulsive(10 * clip), DoubleWell(5.0), Perceptron(hidden=1), Hinge(l1=0.2), AbsoluteError(l1=0.2),
        PowerHinge(power=power), PowerError(power=power), Repulsive(clip, power - 1),
    ]  # fmt: skip
    loss = losses[int(rng.integers(0, len(losses)))]
    both: dict[str, Any] = {"step_size": step, "start_clip": start, "weight_decay": decay, "model_clip": ball}
    algorithm: Any
    if isinstance(loss, Hinge | AbsoluteError):
        algorithm = ConvexNonsmooth(lipschitz=loss.lipschitz(d), **both)
        if rng.random() < 0.5:
            algorithm = ConvexHoelder(hoelder_constant=loss.hoelder_constant(d, 0.0), hoelder_exponent=0.0, **both)
    elif isinstance(loss, PowerHinge | PowerError) or (isinstance(loss, Repulsive) and loss.exponent):
        algorithm = (ConvexHoelder if loss.convex else HoelderNonconvex)(
            hoelder_constant=loss.hoelder_constant(d, power - 1), hoelder_exponent=power - 1, **both
        )
    else:
        algorithm = FineTuning(gradient_clip=None if first and rng.random() < 0.5 else clip, clip_first=first, **both)
    epsilon, delta = float(10 ** rng.uniform(-0.3, 0.9)), float(10 ** rng.uniform(-4, -1))
    sigma = float(UnlearningAccountant(algorithm).sigma(epsilon=epsilon, delta=delta, steps=steps))
    rows = rng.standard_normal((4, d))
    end = rng.standard_normal(loss.size(d))
    end *= 10 * start / np.linalg.norm(end)
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    return StepInstance(
        name=str(seed), description="random", loss=loss, algorithm=algorithm, sigma=sigma, steps=steps, start=end,
        reference=-end, features=rows, labels=np.array([0.0, 1.0] * 2 if loss.name == "perceptron" else [1.0, -1.0] * 2),
        batch_size=int(rng.integers(1, 5)), delta=delta,
    )  # fmt: skip


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 420), marks=pytest.mark.campaign)], ids=["few", "many"])
def test_no_random_setting_is_refuted(seeds: range) -> None:
    for seed in seeds:
        instance = random_instance(seed)
        assert not audit_steps(instance, trials=10_000, confidence=0.99999, seed=seed).refutes(instance.guarantee), seed


def test_the_audit_comes_near_the_claim_where_it_is_met() -> None:
    instance = repulsive_instance(mu=2.0)
    found = audit_steps(instance, trials=20_000, seed=0)
    assert 1.8 < found.mu_lower < 2.0
    assert 3.5 < found.epsilon_lower <= instance.guarantee.epsilon(instance.delta)


#: Where each fault shows most.
SHOWN: dict[str, StepInstance] = {
    "silent-layer": perceptron_instance(epsilon=1.0, steps=4),
    "layer-clip": repulsive_instance(mu=3.0, step_size=1.0, start_clip=0.1),
    "short": repulsive_instance(mu=2.0),
}


@pytest.mark.parametrize("fault", STEP_FAULTS)
def test_the_audit_finds_every_fault(fault: str) -> None:
    instance = SHOWN[fault]
    guarantee = instance.guarantee
    trials = 3000 if fault == "silent-layer" else 20_000
    for seed in range(3):
        assert audit_steps(instance, trials=trials, confidence=0.999, seed=seed, fault=fault).refutes(guarantee)
        assert not audit_steps(instance, trials=trials, confidence=0.999, seed=seed).refutes(guarantee)


def test_few_samples_suffice_where_a_layer_has_no_noise() -> None:
    instance = repulsive_instance(mu=0.268)
    assert audit_steps(instance, trials=60, seed=0, fault="silent-layer").refutes(instance.guarantee)


def test_bounds_hold_as_often_as_they_say() -> None:
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        samples = rng.standard_normal((2, 1, 300))
        wrong += tell_apart(*samples, delta=0.01, confidence=0.9).mu_lower > 0
    # Equal laws: mu is 0, and one bound in ten may lie above it.
    assert wrong <= 60


def test_equal_samples_are_not_told_apart_and_separate_ones_are() -> None:
    same = np.ones((2, 90))
    assert tell_apart(same, same, delta=1e-5).epsilon_lower == 0
    found = tell_apart(same, same + 1, delta=1e-5)
    assert found.epsilon_lower == pytest.approx(math.log((1 - 1e-5 - (p := 1 - 0.0025 ** (1 / 60))) / p))
    assert found.distance == math.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"theirs": np.zeros((2, 31))}, "samples must be finite"),
        ({"ours": np.full((2, 30), np.nan)}, "samples must be finite"),
        ({"delta": 0.0}, "delta must be"),
        ({"confidence": 1.0}, "confidence must be"),
    ],
)
def test_what_are_no_samples_is_refused(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"ours": np.zeros((2, 30)), "theirs": np.zeros((2, 30)), "delta": 1e-5} | arguments
    with pytest.raises(InputError, match=message):
        tell_apart(**given)


def test_an_instance_claims_what_the_accountant_does() -> None:
    instance = perceptron_instance(epsilon=1.5)
    assert instance.guarantee.epsilon(1e-5) == pytest.approx(1.5, rel=1e-9)
    assert replace(instance, sigma=2 * instance.sigma).guarantee.epsilon(1e-5) < 1
