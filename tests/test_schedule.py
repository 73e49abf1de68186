"""Schedules: what changes nothing is the plain call bit for bit, and everything else is the engine over the explicit steps."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import oracle_deletions
import pytest
from problems import random_algorithm

from accountant import PNSGD, InputError, Learn, Problem, Schedule, Unlearn, UnlearningAccountant, optimal_shifts, preset
from accountant.problem.rates import constant, cosine, inverse_time, step_decay
from accountant.questions import load
from accountant.shifts import Timeline

MNIST = PNSGD(preset("mnist"), 128)
PLAIN = UnlearningAccountant(MNIST)


def scheduled(*phases: Any, algorithm: PNSGD = MNIST, **settings: Any) -> UnlearningAccountant:
    return UnlearningAccountant(algorithm, schedule=Schedule(phases), **settings)


def test_a_schedule_that_changes_nothing_is_the_plain_call_bit_for_bit() -> None:
    eta = MNIST.eta
    same = [
        scheduled(Learn(), Unlearn()),
        scheduled(Learn(step_size=eta, sigma=1.0, batch_size=128), Unlearn(step_size=constant(eta))),
        scheduled(Learn(), Learn(epochs=3), Unlearn()),
    ]
    for accountant in same:
        assert accountant.sigma(epsilon=1.0, epochs=1) == PLAIN.sigma(epsilon=1.0, epochs=1)
        assert accountant.steps(sigma=0.001, epsilon=1.0) == PLAIN.steps(sigma=0.001, epsilon=1.0)
        assert accountant.guarantee(sigma=0.01, steps=3).values.tolist() == PLAIN.guarantee(sigma=0.01, steps=3).values.tolist()
    closed = scheduled(Learn(), Unlearn(steps=40), Unlearn(epochs=1))
    assert closed.epsilon(sigma=0.01) == PLAIN.epsilon(sigma=0.01, steps=128)
    finite = UnlearningAccountant(PNSGD(preset("mnist"), 128, learn_epochs=7))
    assert scheduled(Learn(epochs=2), Learn(steps=5 * 88), Unlearn()).epsilon(sigma=0.01, steps=9) == finite.epsilon(
        sigma=0.01, steps=9
    )
    published = scheduled(Learn(), Unlearn(), bound="paper")
    assert published.sigma(epsilon=1.0, epochs=1) == PLAIN.with_(bound="paper").sigma(epsilon=1.0, epochs=1)


def test_splitting_a_phase_changes_nothing() -> None:
    size, noise = np.linspace(2.0, 0.5, 200), np.linspace(1.0, 3.0, 200)
    whole = scheduled(Learn(epochs=4, sigma=0.5), Learn(steps=200, step_size=size, sigma=noise), Unlearn(steps=30, sigma=2.0))
    split = scheduled(
        Learn(epochs=1, sigma=0.5),
        Learn(steps=3 * 88, sigma=0.5),
        Learn(steps=77, step_size=size[:77], sigma=noise[:77]),
        Learn(steps=123, step_size=size[77:], sigma=noise[77:]),
        Unlearn(steps=11, sigma=2.0),
        Unlearn(steps=0),
        Unlearn(steps=19, sigma=2.0),
    )
    assert split.epsilon(sigma=0.01) == whole.epsilon(sigma=0.01)
    assert split.gdp(sigma=0.01).tolist() == whole.gdp(sigma=0.01).tolist()


def random_phases(rng: np.random.Generator, algorithm: PNSGD) -> tuple[list[Any], list[dict[str, Any]]]:
    """The schedule for the package and for the oracle."""
    n, eta = algorithm.problem.n, algorithm.eta
    phases: list[Any] = []
    plain: list[dict[str, Any]] = []
    kinds = [True] * int(rng.integers(1, 4)) + [False] * int(rng.integers(0, 3))
    for learn in kinds:
        size = int(rng.choice([algorithm.batch_size, rng.integers(1, n + 1)]))
        steps = int(rng.integers(1, 5 * math.ceil(n / size)))
        per_step = bool(rng.random() < 0.5)
        rates: dict[str, Any] = {
            "step_size": eta * rng.uniform(0.1, 1, steps) if per_step else eta * float(rng.uniform(0.1, 1)),
            "sigma": rng.uniform(0, 2, steps) if per_step else float(rng.uniform(0.2, 2)),
        }
        phases.append((Learn if learn else Unlearn)(steps=steps, batch_size=size, **rates))
        each = {name: np.broadcast_to(value, steps).tolist() for name, value in rates.items()}
        plain.append({"learn": learn, "batch_size": size, "steps": steps, **each})
    # A noisy end, so that shifts exist.
    phases.append(Unlearn(steps=1, sigma=1.0, batch_size=plain[-1]["batch_size"]))
    plain.append({"learn": False, "batch_size": plain[-1]["batch_size"], "steps": 1, "step_size": [eta], "sigma": [1.0]})
    return phases, plain


def test_every_cell_is_the_minorant_over_the_explicit_steps() -> None:
    rng = np.random.default_rng(5)
    compared = 0
    for case in range(220):
        radius = None if rng.random() < 0.6 else float(10 ** rng.uniform(-2, 1))
        algorithm = random_algorithm(rng, last_batch="keep", radius=radius)
        phases, plain = random_phases(rng, algorithm)
        accountant = scheduled(*phases, algorithm=algorithm)
        if accountant.setting.timeline is None:
            continue
        mu = accountant.gdp(sigma=1.0)
        edges = Timeline(Schedule(phases), algorithm).edges
        problem = algorithm.problem
        for cell in rng.choice(mu.size, size=min(3, mu.size), replace=False).tolist():
            arrays = oracle_deletions.unrolled_phases(
                n=problem.n,
                cell=int(edges[cell]),
                phases=plain,
                lipschitz=problem.lipschitz,
                smoothness=problem.smoothness,
                strong_convexity=problem.strong_convexity,
                adjacency=problem.adjacency,
            )
            c, h, variance = (np.array(a, dtype=float) for a in arrays)
            exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance), diameter=algorithm.diameter).mu
            assert mu[cell] == pytest.approx(exact, rel=1e-10, abs=1e-280), case
            if case % 20 == 0 and radius is None:
                true = oracle.taut_string(contraction=arrays[0], sensitivity=arrays[1], variance=arrays[2], start_distance=0)
                assert mu[cell] >= float(true) * (1 - 1e-15)
                assert mu[cell] == pytest.approx(float(true), rel=1e-10, abs=1e-280)
            compared += 1
    assert compared > 400


def test_long_constant_phases_are_the_minorant_too() -> None:
    """The middle of a stretch is one run; converged learning is compared with many unrolled epochs."""
    rng = np.random.default_rng(6)
    for _ in range(60):
        n = int(rng.integers(2, 61))
        size = int(rng.integers(max(1, n // 12), n + 1))
        problem = Problem(n=n, smoothness=1.0, strong_convexity=float(rng.uniform(0.05, 1)))
        algorithm = PNSGD(problem, size, step_size=float(rng.uniform(0.3, 1)))
        eta, other = algorithm.eta, int(rng.integers(1, n + 1))
        steps = [int(rng.integers(0, 9 * math.ceil(n / b))) for b in (size, other)]
        factor = float(rng.uniform(0.3, 1))
        accountant = scheduled(
            Learn(),
            Learn(steps=steps[0], sigma=0.7),
            Learn(steps=steps[1], batch_size=other, step_size=factor * eta),
            Unlearn(steps=3),
            algorithm=algorithm,
        )
        epochs = math.ceil(-45 / (algorithm.log_contraction * algorithm.steps_per_epoch)) + 1
        cycles = epochs * algorithm.steps_per_epoch
        plain = [
            {"learn": True, "batch_size": size, "steps": cycles, "step_size": [eta] * cycles, "sigma": [1.0] * cycles},
            {"learn": True, "batch_size": size, "steps": steps[0], "step_size": [eta] * steps[0], "sigma": [0.7] * steps[0]},
            {
                "learn": True,
                "batch_size": other,
                "steps": steps[1],
                "step_size": [factor * eta] * steps[1],
                "sigma": [1.0] * steps[1],
            },
            {"learn": False, "batch_size": other, "steps": 3, "step_size": [eta] * 3, "sigma": [1.0] * 3},
        ]
        plain[3]["batch_size"] = size
        mu = accountant.gdp(sigma=1.0)
        edges = accountant.setup.timeline.edges if accountant.setup.timeline is not None else np.zeros(1)
        cell = int(rng.integers(mu.size))
        problem = algorithm.problem
        arrays = oracle_deletions.unrolled_phases(
            n=n,
            cell=int(edges[cell]),
            phases=plain,
            lipschitz=problem.lipschitz,
            smoothness=problem.smoothness,
            strong_convexity=problem.strong_convexity,
            adjacency=problem.adjacency,
        )
        c, h, variance = (np.array(a, dtype=float) for a in arrays)
        exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance)).mu
        assert mu[cell] == pytest.approx(exact, rel=1e-10)


def test_noise_in_the_last_step_only_is_an_exact_gaussian_mechanism() -> None:
    """Descent-to-Delete: noiseless gradient descent, then one Gaussian on distance c^I Z."""
    algorithm = PNSGD(preset("mnist"))
    steps, sigma = 40, 0.05
    accountant = scheduled(
        Learn(sigma=0.0), Unlearn(steps=steps - 1, sigma=0.0), Unlearn(steps=1), algorithm=algorithm, batches="worst"
    )
    h = 2 * algorithm.eta / algorithm.problem.n
    distance = h / (1 - algorithm.contraction) * algorithm.contraction**steps
    mu = distance / math.sqrt(2 * algorithm.eta) / sigma
    assert accountant.guarantee(sigma=sigma).values.tolist() == pytest.approx([mu], rel=1e-11)
    assert accountant.epsilon(sigma=sigma, delta=1e-6) == pytest.approx(float(oracle.gdp_epsilon(delta=1e-6, mu=mu)), rel=1e-9)
    assert accountant.tightness() == pytest.approx(1.0, rel=1e-11)


def test_rates() -> None:
    k = np.arange(7.0)
    assert step_decay(start=1.0, factor=0.5, every=3)(k).tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert inverse_time(start=2.0, decay=0.5)(k)[:3].tolist() == [2, 2 / 1.5, 1]
    wave = cosine(start=3.0, end=1.0, steps=4)(k)
    assert wave == pytest.approx([3, 2 + math.sqrt(0.5), 2, 2 - math.sqrt(0.5), 1, 1, 1])
    by_hand = scheduled(Learn(steps=176, step_size=cosine(start=3.0, steps=200)(np.arange(176.0))), Unlearn(steps=5))
    assert scheduled(Learn(steps=176, step_size=cosine(start=3.0, steps=200)), Unlearn(steps=5)).epsilon(
        sigma=0.01
    ) == by_hand.epsilon(sigma=0.01)


def test_an_open_last_phase_is_what_the_question_says() -> None:
    accountant = scheduled(Learn(epochs=5), Unlearn(steps=4, sigma=0.5), Unlearn(sigma=inverse_time(start=2.0, decay=0.1)))
    closed = scheduled(Learn(epochs=5), Unlearn(steps=4, sigma=0.5), Unlearn(steps=9, sigma=inverse_time(start=2.0, decay=0.1)))
    assert accountant.epsilon(sigma=0.01, steps=9) == closed.epsilon(sigma=0.01)
    steps = accountant.steps(sigma=0.001, epsilon=1.0)
    assert accountant.epsilon(sigma=0.001, steps=steps) <= 1 < accountant.epsilon(sigma=0.001, steps=steps - 1)
    sigma = accountant.sigma(epsilon=1.0, steps=9)
    assert accountant.epsilon(sigma=sigma, steps=9) == pytest.approx(1.0, rel=1e-9)
    assert accountant.gradient_evaluations(steps=9) == 13 * 128


def test_toml_says_a_schedule(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(
        "n = 11264\nsmoothness = 0.261264\nstrong_convexity = 0.011264\nbatch_size = 128\n"
        '[[schedule]]\nphase = "learn"\nepochs = 3\n'
        'step_size = { kind = "step-decay", start = 3.0, factor = 0.5, every = 88 }\n'
        '[[schedule]]\nphase = "unlearn"\nsigma = 2\n'
    )
    accountant = load({}, problem_file=path).accountant
    same = scheduled(Learn(epochs=3, step_size=step_decay(start=3.0, factor=0.5, every=88)), Unlearn(sigma=2.0))
    assert accountant.epsilon(sigma=0.01, steps=3) == same.epsilon(sigma=0.01, steps=3)
    assert accountant.schedule is not None
    assert Schedule.from_list(accountant.schedule.to_list()) == accountant.schedule


@pytest.mark.parametrize(
    ("phases", "says"),
    [
        ([], "non-empty list"),
        ([Unlearn()], "must begin with a learn phase"),
        ([Learn(), Unlearn(steps=1), Learn(steps=3)], "phase 3 learns after an unlearn phase"),
        ([Learn(), Learn(), Unlearn()], "phase 2 must have epochs or steps"),
        ([Learn(), Unlearn(), Unlearn(steps=1)], "phase 2 must have epochs or steps"),
        ([Learn(step_size=99.0), Unlearn()], "phase 1 of the schedule: step_size must be"),
        ([Learn(steps=3, sigma=[1.0, 1.0]), Unlearn()], "one number for each of the 3 steps, got shape (2,)"),
        ([Learn(batch_size=99999), Unlearn()], "batch_size must be a whole number from 1 to 11264, got 99999"),
        ([Learn(), Unlearn(step_size=[1.0, 2.0])], "must be a number or a callable in an open phase"),
        ([Learn(step_size=lambda k: k), Unlearn()], "phase 1 of the schedule"),
    ],
)
def test_bad_schedules_are_refused(phases: list[Any], says: str) -> None:
    with pytest.raises(InputError, match="(?s)" + says.replace("(", r"\(").replace(")", r"\)")):
        UnlearningAccountant(MNIST, schedule=Schedule(phases))


def test_what_a_schedule_cannot_do_is_refused() -> None:
    closed = scheduled(Learn(epochs=3), Unlearn(steps=2, sigma=2.0))
    with pytest.raises(InputError, match="the schedule says how long"):
        closed.epsilon(sigma=1.0, steps=3)
    with pytest.raises(InputError, match="must end with an open unlearn phase"):
        closed.steps(sigma=1.0, epsilon=1.0)
    with pytest.raises(InputError, match="a schedule needs bound=optimal"):
        closed.with_(bound="paper").epsilon(sigma=1.0)
    with pytest.raises(InputError, match="needs a constant algorithm"):
        closed.epsilon(sigma=1.0, start_distance=1.0)
    ball = PNSGD(preset("mnist"), 128, radius=1.0)
    with pytest.raises(InputError, match="reference must be matched or converged with a schedule"):
        scheduled(Learn(epochs=3), Unlearn(sigma=2.0), algorithm=ball, reference=9).epsilon(sigma=1.0, steps=3)
    with pytest.raises(InputError, match="epochs or steps, got both"):
        Learn(epochs=1, steps=1)
    with pytest.raises(InputError, match="key 'sigmas' in schedule entry 1 is unknown"):
        Schedule.from_list([{"phase": "learn", "sigmas": 1}])
    with pytest.raises(InputError, match="schedule entry 1: step_size with kind=cosine has wrong arguments: missing"):
        Schedule.from_list([{"phase": "learn", "step_size": {"kind": "cosine", "start": 1.0}}])
    with pytest.raises(InputError, match="unbounded"):
        UnlearningAccountant(PNSGD(Problem(n=9, smoothness=1.0)), schedule=Schedule([Learn(sigma=2.0), Unlearn()])).epsilon(
            sigma=1.0, steps=1
        )


def test_long_per_step_schedules_lose_no_digits() -> None:
    """Two million steps that contract everything, before twenty thousand that count: the sums start anew in every run."""
    algorithm = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=1.0), batch_size=1, step_size=1.0)
    late = Learn(steps=20_000, step_size=0.1)
    size = np.concatenate([np.full(2_000_000, 1.0), np.full(20_000, 0.1)])
    whole = scheduled(Learn(steps=size.size, step_size=size), algorithm=algorithm, batches=0).epsilon(sigma=1e-4, delta=1e-5)
    short = scheduled(late, algorithm=algorithm, batches=0).epsilon(sigma=1e-4, delta=1e-5)
    assert short * (1 - 1e-14) <= whole <= short * (1 + 1e-10)


def test_what_no_phase_visits_has_no_mu() -> None:
    """Dropped by the converged phase, or forgotten at once: nothing refills the ball."""
    one_step = PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=1.0), batch_size=5, radius=0.01)
    assert UnlearningAccountant(one_step, batches=(2, 0)).epsilon(sigma=1.0, steps=1, delta=1e-5) == 0
    assert scheduled(Learn(), Learn(steps=3, sigma=0.5), Unlearn(), algorithm=one_step).epsilon(sigma=1.0, steps=1) == 0
    dropping = PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.5), batch_size=4, radius=0.01, last_batch="drop")
    phases = (Learn(), Learn(steps=3, batch_size=10), Unlearn())
    assert scheduled(*phases, algorithm=dropping, batches="worst").epsilon(sigma=1e-3, steps=1) > 0


def test_converged_learning_contracts_with_its_own_step_size() -> None:
    problem = Problem(n=12, smoothness=2.0, strong_convexity=0.5)
    stuck, contracting = (PNSGD(problem, 4, step_size=eta) for eta in (1.0, 0.5))
    mine = scheduled(Learn(step_size=0.5), Unlearn(step_size=0.5), algorithm=stuck).gdp(sigma=1.0, steps=1)
    assert mine == pytest.approx(UnlearningAccountant(contracting).gdp(sigma=1.0, steps=1), rel=1e-10)
    with pytest.raises(InputError, match="unbounded"):
        scheduled(Learn(step_size=1.0), Unlearn(), algorithm=contracting).epsilon(sigma=1.0, steps=1)


def test_without_noise_after_a_difference_nothing_is_ever_proved() -> None:
    """However far it contracts: the differences must not underflow out of sight."""
    for steps in (10, 16_798, 200_000):
        with pytest.raises(InputError, match="nothing is guaranteed"):
            scheduled(Learn(sigma=0.0), Unlearn(sigma=0.0), batches="worst").epsilon(sigma=1.0, steps=steps)
        # Noiseless steps after noisy learning are post-processing: they change nothing.
        for learn in (Learn(), Learn(epochs=5)):
            quiet = scheduled(learn, Unlearn(sigma=0.0), batches="worst")
            loud = scheduled(learn, Unlearn(), batches="worst")
            assert quiet.guarantee(sigma=1e-3, steps=steps).mu_worst == pytest.approx(
                loud.guarantee(sigma=1e-3, steps=0).mu_worst, rel=1e-11
            )
    with pytest.raises(InputError, match="no shifts exist"):
        optimal_shifts(contraction=0.9, sensitivity=[1.0] + [0.0] * 20_000, noise_std=0.0)
    result = optimal_shifts(contraction=0.9, sensitivity=[1.0] + [0.0] * 20_000, noise_std=[1.0] + [0.0] * 20_000)
    assert result.mu == pytest.approx(1.0, rel=1e-12)
    assert result.distances[-1] == 0


def test_a_step_size_of_zero_does_nothing() -> None:
    wave = scheduled(Learn(epochs=2), Unlearn(step_size=cosine(start=2.0, steps=4)))
    assert wave.epsilon(sigma=0.01, steps=4) == pytest.approx(wave.epsilon(sigma=0.01, steps=9), rel=1e-12)
