"""Every epsilon in doubles is at least the true one, proved by enclosures, and hardly more."""

import math

import numpy as np
import pytest

from accountant import PNSGD, Problem, UnlearningAccountant, UnlearningStream
from accountant.curves import PrivacyCurve, contracted_in
from accountant.problem import Number, binary
from accountant.questions import Outcome

interval = pytest.importorskip("accountant.numerics.interval", reason="needs the extra certify", exc_type=Exception)

#: Noise levels and deltas asked of every run.
PER_RUN = 10
CLOSE = 1e-9


def random_accountant(rng: np.random.Generator) -> UnlearningAccountant:
    """Small to large problems, contractions from 1e-12 below one to 1/2, with and without radius, all bounds and references."""
    batches = int(rng.integers(1, 7))
    batch = int(10 ** rng.uniform(0, 5))
    n = batches * batch - int(rng.integers(0, batch)) if rng.random() < 0.3 else batches * batch
    n = max(n, 2)
    smoothness = float(10 ** rng.uniform(-3, 3))
    convexity = smoothness * float(10 ** rng.uniform(-12, -0.3))
    problem = Problem(
        n=n,
        smoothness=smoothness,
        strong_convexity=convexity,
        lipschitz=float(10 ** rng.uniform(-2, 2)),
        adjacency=str(rng.choice(["replace", "zero-out"])),
    )
    learned = None if rng.random() < 0.5 else int(10 ** rng.uniform(0, 4))
    step = float(rng.uniform(0.05, 1.9)) / smoothness
    radius = float(10 ** rng.uniform(-3, 3)) if rng.random() < 0.3 else None
    bound = str(rng.choice(["optimal", "optimal", "optimal", "paper", "paper-geometric"]))
    if bound == "paper" and radius is None:
        learned = None
    run = PNSGD(problem, min(batch, n), step_size=step, radius=radius, learn_epochs=learned)
    where = str(rng.choice(["random", "worst"]))
    reference: str | int = "matched"
    if bound == "optimal" and radius is not None and rng.random() < 0.3:
        reference = int(10 ** rng.uniform(0, 3))
    return UnlearningAccountant(run, bound=bound, batches=where, reference=reference)


def check_one_run(rng: np.random.Generator) -> int:
    """Ask one run for PER_RUN epsilons in doubles and confirm each by enclosures; how many were confirmed."""
    accountant = random_accountant(rng)
    steps = int(10 ** rng.uniform(0, 3)) if rng.random() < 0.8 or accountant.bound != "optimal" else 0
    scale = float(accountant.sigma(epsilon=1.0, delta=1e-5, steps=steps))
    if scale < 1e-280 or scale > 1e280:
        return 0
    sigma = scale * 10 ** rng.uniform(-1.5, 3, PER_RUN)
    delta = 10 ** rng.uniform(-12, -0.5, PER_RUN)
    sigma, delta = np.maximum(sigma, 1e-300), np.where(rng.random(PER_RUN) < 0.1, 10 ** rng.uniform(-300, -12, PER_RUN), delta)
    epsilon = accountant.epsilon(sigma=sigma, delta=delta, steps=steps)
    for s, d, e in zip(sigma.tolist(), delta.tolist(), epsilon.tolist(), strict=True):
        outcome = accountant.ask("epsilon", sigma=s, delta=d, steps=steps) if accountant.algorithm.radius is not None else None
        if outcome is not None and outcome.blocks > 1:
            # Alone a row may find another split, which proves nearly as much.
            assert float(outcome.answer) == pytest.approx(e, rel=1e-3, abs=1e-9)
            assert any(blocks_confirmed(outcome, bits, s, d, float(outcome.answer)) for bits in (128, 512)), (
                accountant,
                steps,
                s,
                d,
            )
        else:
            found = any(confirmed(accountant, bits, steps, s, d, e) for bits in (128, 256, 512, 2048))
            assert found, (accountant, steps, s, d, e)
    return PER_RUN


def blocks_confirmed(outcome: Outcome, bits: int, sigma: float, delta: float, epsilon: float) -> bool:
    """The same of a chain of blocks."""
    with interval.Interval(bits) as ar:
        log_weights, first, blocks = outcome.chain_in(Number(ar, binary))
        log_sigma = ar.log(ar.asarray(sigma)[()])
        some = np.array([math.isfinite(float(ar.midpoint(each))) for each in first])
        log_weights, first = log_weights[some], first[some]

        def log_ratio(value: float) -> tuple[float, float]:
            at = np.full(first.shape, ar.asarray(value)[()])
            reached = ar.asarray([0] * first.size)
            for log_mu in (first, *(np.full(first.shape, each) for each in blocks)):
                reached = contracted_in(reached, at, ar.exp(log_mu - log_sigma), ar)
            difference = ar.log(ar.exp(reached + log_weights).sum()) - ar.log(ar.asarray(delta)[()])
            if float(ar.midpoint(difference)) == -math.inf:
                return -math.inf, -math.inf
            low, high = ar.ends(difference)
            return float(low), float(high)

        low, high = log_ratio(max(epsilon, 1e-290))
        if math.isnan(low) or math.isnan(high):
            return False
        assert not low > 0, (outcome, sigma, delta, epsilon)
        # The split that proves most at this epsilon may prove a little more than the one that epsilon was found with.
        return high <= 0 and (epsilon < 1e-9 or log_ratio(epsilon * 0.99)[1] >= 0)


def confirmed(accountant: UnlearningAccountant, bits: int, steps: int, sigma: float, delta: float, epsilon: float) -> bool:
    """Whether enclosures of so many bits prove that epsilon is safe and close; AssertionError where they prove the contrary."""
    with interval.Interval(bits) as ar:
        curve = PrivacyCurve(accountant.components_at(Number(ar, binary), steps=steps), ar, bits - 48)
        at = {"sigma": ar.asarray(sigma)[()], "delta": ar.asarray(delta)[()]}

        def log_ratio(value: float) -> tuple[float, float]:
            """Bounds on log delta(value) - log delta."""
            given = {"sigma": at["sigma"], "epsilon": ar.asarray(value)[()]}
            difference = ar.log(curve.answer("delta", given, 0.0)) - ar.log(at["delta"])
            if not math.isfinite(float(difference)):
                return (-math.inf, -math.inf) if float(difference) < 0 else (-math.inf, math.inf)
            low, high = ar.ends(difference)
            return math.nextafter(float(low), -math.inf), math.nextafter(float(high), math.inf)

        try:
            if curve.family is not None:
                true = curve.answer("epsilon", at, epsilon)
                low, high = ar.ends(true)
                assert not low > epsilon, (accountant, steps, sigma, delta, epsilon)
                return bool(high <= epsilon) and epsilon * (1 - CLOSE) <= float(low)
            low, high = log_ratio(epsilon)
            assert not low > 0, (accountant, steps, sigma, delta, epsilon)
            if high > 1e-300 or epsilon == 0:
                return high <= 0
            return high <= 0 and (low >= -CLOSE or log_ratio(epsilon * (1 - CLOSE))[1] >= 0)
        except ArithmeticError:
            return False


@pytest.mark.parametrize("epsilons", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_epsilons_in_doubles_are_safe_and_close(epsilons: int) -> None:
    rng, count = np.random.default_rng(20), 0
    while count < epsilons:
        count += check_one_run(rng)


@pytest.mark.parametrize(
    ("n", "smoothness", "strong_convexity", "batch", "step", "steps", "sigma"),
    [
        (765, 0.001961310098069378, 0.0009779615383877513, 191, 0.534510201669824, 2097, 3.9253627684697757e-281),
        (1409, 0.001012788437702677, 1.3804382304897336e-05, 352, 1.2349610941866502, 38289, 2.135990053059172e-280),
        (2596, 307.00554093185406, 47.511094042588255, 865, 0.39815838782579, 10220, 1.5419103847866252e-283),
    ],
)
def test_tiny_noise_after_many_steps_is_safe(
    n: int, smoothness: float, strong_convexity: float, batch: int, step: float, steps: int, sigma: float
) -> None:
    # log mu at sigma = 1 is about -640 here: its rounding is larger than that of a handful of logarithms.
    problem = Problem(n=n, smoothness=smoothness, strong_convexity=strong_convexity)
    accountant = UnlearningAccountant(PNSGD(problem, batch, step_size=step / smoothness), batches="worst")
    epsilon = float(accountant.epsilon(sigma=sigma, delta=1e-8, steps=steps))
    assert any(confirmed(accountant, bits, steps, sigma, 1e-8, epsilon) for bits in (256, 512, 2048))
    # The first request of a stream is the same question.
    epsilon = float(UnlearningStream(accountant, sigma=sigma, epsilon=1.0, delta=1e-8).follow([steps]).epsilon[0])
    assert any(confirmed(accountant, bits, steps, sigma, 1e-8, epsilon) for bits in (256, 512, 2048))


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(10))
def test_a_million_epsilons_in_doubles_are_safe_and_close(part: int) -> None:
    rng, count = np.random.default_rng(21 + part), 0
    while count < 100_000:
        count += check_one_run(rng)
