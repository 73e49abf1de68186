"""Schedules of noisy steps that both runs share: least chords against strings, dynamic programming, exact laws and mpmath."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from oracle_steps import Walk, chain, hockey
from typer.testing import CliRunner

from accountant import (
    ConvexNonsmooth,
    FineTuning,
    InputError,
    Learn,
    Schedule,
    SmoothNonconvex,
    Unlearn,
    UnlearningAccountant,
)
from accountant.certificates import certify_steps
from accountant.problem import Stages, Stepping, cosine
from accountant.questions import StepAccountant, enclose
from accountant.shifts import optimal_shifts
from accountant.trainer import DoubleWell, audit_steps, fine_tune, repulsive_instance

CLIPPED = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
Step = tuple[float, float, float]


def asked(algorithm: Stepping, *phases: Unlearn) -> StepAccountant:
    return StepAccountant(algorithm, schedule=Schedule(phases))


def random_setting(rng: np.random.Generator) -> tuple[Stepping, list[Unlearn]]:
    """Clipped gradients or smooth losses, with or without decay, and phases whose sizes and noises differ a hundredfold."""
    sizes = 10 ** rng.uniform(-2, 0, size=int(rng.integers(1, 5)))
    decay = float(rng.choice([0.0, rng.uniform(0, 1) / sizes.max()]))
    common: dict[str, Any] = {"step_size": 0.5, "start_clip": float(10 ** rng.uniform(-1, 1)), "weight_decay": min(decay, 2.0)}
    algorithm: Stepping = FineTuning(gradient_clip=float(10 ** rng.uniform(-2, 1)), **common)
    if rng.random() < 0.3:
        algorithm = SmoothNonconvex(smoothness=float(rng.uniform(0.1, 1)), **common)
    phases = [
        Unlearn(
            steps=int(rng.integers(1, 9)), step_size=float(size), sigma=float(10 ** rng.uniform(-1, 1) * (rng.random() > 0.1))
        )
        for size in sizes
    ]
    # A step without noise proves nothing if there is no other.
    return algorithm, [*phases, Unlearn(steps=int(rng.integers(1, 9)), step_size=float(sizes[0]), sigma=0.7)]


def steps_of(algorithm: Stepping, phases: list[Unlearn]) -> list[Step]:
    """rho, gap and noise of one step after the other, written down a second time."""
    found = []
    for phase in phases:
        assert isinstance(phase.step_size, float)
        assert isinstance(phase.sigma, float)
        rho, gap = 1 - phase.step_size * algorithm.weight_decay, 0.0
        if isinstance(algorithm, FineTuning):
            assert algorithm.gradient_clip is not None
            gap = 2 * phase.step_size * algorithm.gradient_clip
        elif isinstance(algorithm, SmoothNonconvex):
            rho += phase.step_size * algorithm.smoothness
        found += [(rho, gap, phase.sigma)] * (phase.steps or 0)
    return found


def cases(count: int, seed: int) -> Iterator[tuple[Stepping, list[Unlearn], list[Step]]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        algorithm, phases = random_setting(rng)
        yield algorithm, phases, steps_of(algorithm, phases)


def test_what_is_proved_is_the_least_taut_string_over_all_stops() -> None:
    """The engine's string, which keeps all distances at least zero, knows nothing of chords."""
    for algorithm, phases, steps in cases(300, 1):
        mu = asked(algorithm, *phases).run(sigma=1.0).mu
        assert mu is not None
        strings = [
            optimal_shifts(
                contraction=[rho for rho, _, _ in steps[:n]], sensitivity=[gap for _, gap, _ in steps[:n]],
                noise_std=[noise for _, _, noise in steps[:n]], start_distance=algorithm.start_distance,
            ).mu
            for n in range(1, len(steps) + 1)
            # A start that no noise follows has no string.
            if steps[n - 1][2] > 0
        ]  # fmt: skip
        assert mu == pytest.approx(min(strings), rel=1e-11)
        assert mu >= min(strings) * (1 - 1e-12)


def test_no_shifts_prove_less() -> None:
    """Random shifts that keep every distance at least zero and end at zero at some step: none beats the least chord."""
    rng = np.random.default_rng(2)
    for algorithm, phases, steps in cases(300, 3):
        mu = asked(algorithm, *phases).run(sigma=1.0).mu
        assert mu is not None
        for _ in range(30):
            z, cost, stop = algorithm.start_distance, 0.0, int(rng.integers(1, len(steps) + 1))
            power = rng.uniform(0, 3)
            for k, (rho, gap, noise) in enumerate(steps[:stop]):
                z = rho * z + gap
                a = z if k == stop - 1 else z * rng.uniform() ** power
                z -= a
                cost += (a / noise) ** 2 if noise > 0 else (math.inf if a > 0 else 0.0)
            assert math.sqrt(cost) >= mu * (1 - 1e-12)


def test_the_witness_is_feasible_and_costs_what_is_claimed() -> None:
    for algorithm, phases, steps in cases(300, 4):
        outcome = asked(algorithm, *phases).run(sigma=1.0)
        shifts, distances = outcome.witness
        z, cost = algorithm.start_distance, 0.0
        largest = z
        for a, left, (rho, gap, noise) in zip(shifts, distances, steps, strict=False):
            z = rho * z + gap - a
            largest = max(largest, z)
            assert z >= -1e-9 * largest
            assert left == pytest.approx(z, abs=1e-9 * largest)
            cost += (a / noise) ** 2 if a > 0 else 0.0
        assert abs(z) <= 1e-9 * largest
        assert math.sqrt(cost) == pytest.approx(outcome.mu, rel=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.5, 3.0])
def test_a_phase_that_is_split_changes_nothing(decay: float) -> None:
    """The constant schedule gives today's numbers, and so do stages of other constants that never come to pass."""
    algorithm = FineTuning(step_size=0.01, gradient_clip=2.0, start_clip=3.0, weight_decay=decay)
    plain = StepAccountant(algorithm)
    for steps in (1, 7, 60, 100, 138, 1000):
        cut = asked(algorithm, Unlearn(steps=steps // 2), Unlearn(steps=steps - steps // 2))
        assert cut.epsilon(sigma=1.5, delta=1e-5) == plain.epsilon(sigma=1.5, delta=1e-5, steps=steps)
        # Another step size in a phase that comes first, of no step; and a last one that is post-processing.
        longer = asked(algorithm, Unlearn(steps=steps), Unlearn(steps=1, step_size=0.02, sigma=0.0))
        assert longer.run(sigma=1.0).mu == pytest.approx(plain.run(sigma=1.0, steps=steps).mu, rel=1e-12)
        each = asked(algorithm, Unlearn(steps=steps, step_size=[0.01 + 1e-17 * k for k in range(steps)]))
        assert each.epsilon(sigma=1.5, delta=1e-5) == pytest.approx(
            plain.epsilon(sigma=1.5, delta=1e-5, steps=steps), rel=2e-11
        )


def test_stages_agree_with_their_steps_one_by_one() -> None:
    """Closed forms of long stages against the same steps as stages of their own, which a tiny change of noise keeps apart."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        algorithm, phases = random_setting(rng)
        noises = [[float(phase.sigma) * (1 + 1e-15 * (k % 2)) for k in range(phase.steps or 0)] for phase in phases]  # type: ignore[arg-type]
        single = [
            Unlearn(steps=phase.steps, step_size=phase.step_size, sigma=noise)
            for phase, noise in zip(phases, noises, strict=True)
        ]
        assert asked(algorithm, *phases).run(sigma=1.0).mu == pytest.approx(
            asked(algorithm, *single).run(sigma=1.0).mu, rel=1e-12
        )


def laws_of(steps: list[Step], starts: list[float], sigma: float, walk: Walk) -> list[np.ndarray]:
    """Exact laws on the grid of steps along -C sign(x), the clipped loss that pushes models apart."""
    laws, grid, kernels = [walk.start(x) for x in starts], walk.grid, {}
    for rho, gap, noise in steps:
        if (rho, gap, noise) not in kernels:
            kernels[rho, gap, noise] = walk.noise(sigma * noise, rho * grid + gap / 2 * np.where(grid >= 0, 1.0, -1.0))
        laws = [law @ kernels[rho, gap, noise] for law in laws]
    return laws


@pytest.mark.parametrize("cases", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_exact_laws_on_a_grid_are_never_further_apart_than_claimed(cases: int) -> None:
    """Random schedules; rounding to the grid is paid for by a start and a clip that are that much larger."""
    rng, least, walk = np.random.default_rng(cases), math.inf, Walk(12.0, 801)
    for case in range(cases):
        phases = [
            Unlearn(
                steps=int(rng.integers(1, 5)), step_size=float(rng.uniform(0.1, 0.4)), sigma=float(10 ** rng.uniform(-0.6, 0.4))
            )
            for _ in range(3)
        ]
        decay, apart, sigma = float(case % 2), float(rng.uniform(0.3, 3)), float(rng.uniform(0.6, 2))
        exact = FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=apart / 2, weight_decay=decay)
        laws = laws_of(steps_of(exact, phases), [-apart / 2, apart / 2], sigma, walk)
        wide = FineTuning(step_size=0.1, gradient_clip=1.0 + walk.width / 0.2, start_clip=1.0, weight_decay=decay)
        accountant = asked(wide, *phases)
        for epsilon in (0.0, 0.5, 1.0, 2.0):
            true = hockey(laws[0], laws[1], epsilon)
            proved = float(accountant.delta(sigma=sigma, epsilon=epsilon, start_distance=apart + walk.width))
            assert true <= proved + 1e-13
            if true > 1e-6:
                least = min(least, proved / true)
    # In the best of these cases the bound is not far from what is true.
    assert least < 1.3


def test_gaussian_runs_attain_a_smooth_schedule() -> None:
    """f(x) = -L|x|^2/2 keeps two runs Gaussian: their final means and variances, in mpmath, give mu."""
    algorithm = SmoothNonconvex(step_size=0.1, smoothness=1.0, start_clip=1.0)
    phases = [Unlearn(steps=3), Unlearn(steps=4, step_size=0.3, sigma=2.0), Unlearn(steps=2, sigma=0.5)]
    with mp.workdps(40):
        mean, variance = mp.mpf(2), mp.mpf(0)
        for rho, _, noise in steps_of(algorithm, [Unlearn(steps=3, step_size=0.1, sigma=1.0), phases[1],
                                                  Unlearn(steps=2, step_size=0.1, sigma=0.5)]):  # fmt: skip
            mean, variance = mean * mp.mpf(rho), variance * mp.mpf(rho) ** 2 + mp.mpf(noise) ** 2
        exact = mean / mp.sqrt(variance)
    outcome = asked(algorithm, *phases).run(sigma=1.0)
    assert outcome.mu == pytest.approx(float(exact), rel=1e-12)
    assert outcome.tightness == 1.0


def test_digits_of_a_schedule() -> None:
    accountant = asked(CLIPPED, Unlearn(steps=30), Unlearn(step_size=0.005, sigma=0.5))
    # After 30 steps they are 2.6 apart if nothing is shifted; n more make it (2.6 + 0.01 n)/sqrt(30 + n/4), least at n = 20.
    with mp.workdps(50):
        mu = mp.findroot(lambda m: mp.log(mp.ncdf(m / 2 - 1 / m) - mp.e * mp.ncdf(-m / 2 - 1 / m)) - mp.log("1e-5"), (0.2, 0.4))
        sigma = mp.mpf("2.8") / mp.sqrt(35) / mu
    found = enclose(accountant, "sigma", epsilon=1.0, delta=1e-5, steps=30, digits=30)
    with mp.workdps(50):
        assert abs(mp.mpf(str(found)) - sigma) < mp.mpf("1e-28")
    assert accountant.sigma(epsilon=1.0, delta=1e-5, steps=30) == pytest.approx(float(sigma), rel=1e-11)
    delta = enclose(accountant, "delta", epsilon=1.0, sigma=2.0, steps=30, digits=20)
    assert accountant.delta(epsilon=1.0, sigma=2.0, steps=30) == pytest.approx(float(str(delta)), rel=1e-9)


def test_lengths_are_those_of_the_open_phase() -> None:
    accountant = asked(CLIPPED, Unlearn(steps=10, step_size=0.005), Unlearn())
    fewest = accountant.steps(sigma=2.0, epsilon=1.0, delta=1e-5)
    assert (
        accountant.epsilon(sigma=2.0, delta=1e-5, steps=fewest)
        <= 1.0
        < accountant.epsilon(sigma=2.0, delta=1e-5, steps=fewest - 1)
    )
    assert accountant.run(sigma=2.0, steps=fewest).step_count == 10 + fewest
    many = np.arange(0, 40)
    epsilons = accountant.epsilon(sigma=2.0, delta=1e-5, steps=many)
    assert np.all(np.diff(epsilons) <= 0)
    assert epsilons[7] == accountant.epsilon(sigma=2.0, delta=1e-5, steps=7)
    assert accountant.steps(sigma=50.0, epsilon=1.0, delta=1e-5) == 0


def test_other_arguments_are_found_for_a_schedule() -> None:
    accountant = asked(
        CLIPPED.__class__(**CLIPPED.to_dict() | {"weight_decay": 1.0}), Unlearn(steps=20), Unlearn(step_size=0.02)
    )
    target: dict[str, Any] = {"sigma": 1.5, "epsilon": 1.0, "delta": 1e-5, "steps": 30}
    for name in ("gradient_clip", "start_clip", "weight_decay"):
        value = accountant.solve(name, **target)
        moved = accountant.with_(**{name: value})
        assert moved.epsilon(sigma=1.5, delta=1e-5, steps=30) <= 1.0
        worse = accountant.with_(**{name: value * (1 - 1e-6 if name == "weight_decay" else 1 + 1e-6)})
        assert worse.epsilon(sigma=1.5, delta=1e-5, steps=30) > 1.0
    # A decay that the longest step allows.
    with pytest.raises(InputError, match=r"no weight_decay up to 1/step_size = 50 meets"):
        accountant.solve("weight_decay", sigma=1e-3, epsilon=0.01, delta=1e-5, steps=30)
    with pytest.raises(InputError, match="schedule must be left out where step_size is the unknown"):
        accountant.solve("step_size", **target)


def test_a_clip_of_the_model_makes_blocks_of_windows() -> None:
    """The chain over the windows that are reported, each the least chord of its own steps from the diameter, by the formula."""
    clipped = FineTuning(step_size=0.01, gradient_clip=1.0, model_clip=1.0, start_clip=0.5)
    phases = [Unlearn(steps=50, step_size=0.02), Unlearn(steps=30, sigma=0.4), Unlearn(steps=40, step_size=0.005, sigma=2.0)]
    accountant = asked(clipped, *phases)
    steps = steps_of(clipped, [replace(phase, step_size=phase.step_size or 0.01) for phase in phases])
    alone = asked(replace(clipped, model_clip=None), *phases)
    for sigma in (0.1, 0.14, 0.2):
        outcome = accountant.ask("delta", sigma=sigma, epsilon=1.0)
        assert len(outcome.split) > 1
        assert sum(outcome.split) == len(steps)
        mus, first = [], 0
        for length in outcome.split:
            z, t, least = 2.0 if first else 1.0, 0.0, math.inf
            for rho, gap, noise in steps[first : first + length]:
                z, t = rho * z + gap, rho * rho * t + noise * noise
                least = min(least, z / math.sqrt(t))
            mus.append(least / sigma)
            first += length
        outcome = replace(outcome, epsilon=1.0)
        assert outcome.answer == pytest.approx(float(chain(1.0, mus)), rel=1e-9)
        assert outcome.answer < alone.delta(sigma=sigma, epsilon=1.0)
        assert outcome.guarantee.delta(1.0) == pytest.approx(outcome.answer, rel=1e-9)
        epsilon = accountant.epsilon(sigma=sigma, delta=1e-5)
        assert accountant.delta(sigma=sigma, epsilon=epsilon) <= 1e-5 * (1 + 1e-12)
        assert epsilon < 1e-9 or accountant.sigma(epsilon=epsilon, delta=1e-5) == pytest.approx(sigma, rel=1e-6)
    # Steps without noise are post-processing at the end, and move the models apart at the start.
    silent, delta = Unlearn(steps=500, sigma=0.0), accountant.delta(sigma=0.14, epsilon=1.0)
    assert asked(clipped, *phases, silent).delta(sigma=0.14, epsilon=1.0) == pytest.approx(delta, rel=1e-9)
    assert delta < asked(clipped, silent, *phases).delta(sigma=0.14, epsilon=1.0) < 1
    found = enclose(accountant, "delta", epsilon=1.0, sigma=0.14, digits=15)
    assert accountant.delta(sigma=0.14, epsilon=1.0) == pytest.approx(float(str(found)), rel=1e-10)
    constant = asked(clipped, Unlearn(steps=50), Unlearn(steps=50))
    assert constant.epsilon(sigma=0.3, delta=1e-5) == StepAccountant(clipped).epsilon(sigma=0.3, delta=1e-5, steps=100)
    # Windows with equally much noise are nearly as good as what is searched for steps that stay the same.
    nearly = asked(clipped, Unlearn(steps=50), Unlearn(steps=50, sigma=1 + 1e-13))
    searched = StepAccountant(clipped).sigma(epsilon=1.0, delta=1e-5, steps=100)
    assert searched * (1 - 1e-9) <= nearly.sigma(epsilon=1.0, delta=1e-5) <= searched * 1.02


@pytest.mark.parametrize("cases", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_exact_laws_with_projection_are_never_further_apart_than_claimed(cases: int) -> None:
    """The grid's ends hold what is beyond, which is the clip; rounding is paid for as above, and by a larger ball."""
    rng = np.random.default_rng(cases + 100)
    for _ in range(cases):
        radius = float(rng.uniform(0.7, 1.5))
        walk = Walk(radius, 601)
        phases = [
            Unlearn(
                steps=int(rng.integers(1, 7)),
                step_size=float(rng.uniform(0.02, 0.3)),
                sigma=float(10 ** rng.uniform(-0.5, 0.3)),
            )
            for _ in range(3)
        ]
        sigma = float(rng.uniform(0.3, 1))
        exact = FineTuning(step_size=0.1, gradient_clip=1.0, model_clip=radius)
        laws = laws_of(steps_of(exact, phases), [-radius, radius], sigma, walk)
        wide = FineTuning(step_size=0.1, gradient_clip=1.0 + walk.width / 0.04, model_clip=radius + walk.width)
        accountant = asked(wide, *phases)
        for epsilon in (0.1, 1.0, 2.0):
            assert hockey(laws[0], laws[1], epsilon) <= float(accountant.delta(sigma=sigma, epsilon=epsilon)) + 1e-13


@pytest.mark.parametrize(
    ("algorithm", "phases", "says"),
    [
        (CLIPPED, [Learn(steps=3), Unlearn()], "phase 1 of the schedule: it must be an unlearn phase for fine-tuning"),
        (CLIPPED, [Unlearn(epochs=3)], "epochs must be left out for fine-tuning"),
        (CLIPPED, [Unlearn(batch_size=3)], "batch_size must be left out for fine-tuning"),
        (CLIPPED, [Unlearn(), Unlearn()], "phase 1 must have epochs or steps"),
        (CLIPPED, [Unlearn(step_size=[0.1, 0.2])], "must be single numbers in an open phase"),
        (CLIPPED, [Unlearn(steps=3, sigma=[0.1, 0.2])], r"one number for each of the 3 steps, got shape \(2,\)"),
        (CLIPPED, [Unlearn(steps=3, step_size=0.0)], "step_size must be .* above 0|step_size must be"),
        (CLIPPED, [Unlearn(steps=0)], "schedule must have at least one step"),
        (FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=1.0, weight_decay=5.0), [Unlearn(step_size=0.3)],
         "phase 1 of the schedule: weight_decay must be at most"),
        (FineTuning(step_size=0.1, model_clip=1.0, clip_first=True), [Unlearn(sigma=2.0)],
         "left out for fine-tuning with clip_first"),
        (ConvexNonsmooth(step_size=0.1, lipschitz=1.0, start_clip=1.0), [Unlearn(sigma=2.0)], "left out for convex-nonsmooth"),
        (SmoothNonconvex(step_size=0.1, smoothness=1.0, gradient_clip=1.0, start_clip=1.0), [Unlearn(sigma=2.0)],
         "left out for smooth-nonconvex with gradient_clip"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(algorithm: Stepping, phases: list[Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        UnlearningAccountant(algorithm, schedule=Schedule(phases))  # type: ignore[arg-type]


def test_schedules_and_lengths_must_agree() -> None:
    closed = asked(CLIPPED, Unlearn(steps=3, sigma=2.0))
    with pytest.raises(InputError, match="the schedule says how long"):
        closed.epsilon(sigma=1.0, delta=1e-5, steps=3)
    with pytest.raises(InputError, match="must end with an open unlearn phase"):
        closed.steps(sigma=1.0, epsilon=1.0, delta=1e-5)
    with pytest.raises(InputError, match="steps must be given"):
        asked(CLIPPED, Unlearn(sigma=2.0)).epsilon(sigma=1.0, delta=1e-5)
    with pytest.raises(InputError, match="steps must be at least 1"):
        asked(CLIPPED, Unlearn(sigma=2.0)).epsilon(sigma=1.0, delta=1e-5, steps=0)
    with pytest.raises(InputError, match="schedule must be left out for a certificate"):
        certify_steps(closed, sigma=1.0, steps=3, delta=1e-5)
    with pytest.raises(InputError, match="sigma is so small"):
        asked(CLIPPED, Unlearn(steps=3, sigma=0.0)).epsilon(sigma=1.0, delta=1e-5)


def test_rates_of_every_kind_are_stages() -> None:
    phase = Unlearn(steps=40, step_size=cosine(start=0.02, steps=80), sigma=[1.0] * 20 + [0.5] * 20)
    stages = Stages(Schedule([phase, Unlearn(sigma=0.5)]), CLIPPED)
    assert len(stages.stages) == 41
    each = stages.each()
    found = [next(each) for _ in range(45)]
    assert [step.noise for step in found] == [1.0] * 20 + [0.5] * 25
    assert found[10].step_size == pytest.approx(0.01 * (1 + math.cos(math.pi / 8)))
    assert found[44].step_size == 0.01
    again = Schedule.from_list(stages.schedule.to_list())
    assert StepAccountant(CLIPPED, schedule=again).epsilon(sigma=1.0, delta=1e-5, steps=3) == StepAccountant(
        CLIPPED, schedule=stages.schedule
    ).epsilon(sigma=1.0, delta=1e-5, steps=3)


FILE = """
algorithm = "fine-tuning"
gradient_clip = 1.0
start_clip = 1.0
step_size = 0.01
[[schedule]]
phase = "unlearn"
steps = 30
[[schedule]]
phase = "unlearn"
step_size = 0.005
sigma = 0.5
"""


def run(*words: str) -> Any:
    from accountant.commands.program import app

    return CliRunner().invoke(app, list(words))


def test_the_shell_reads_schedules_from_problem_files(tmp_path: Path) -> None:
    import json

    path = tmp_path / "tuned.toml"
    path.write_text(FILE)
    python = asked(CLIPPED, Unlearn(steps=30), Unlearn(step_size=0.005, sigma=0.5))
    told = json.loads(
        run("sigma", "--problem", str(path), "--epsilon", "1", "--delta", "1e-5", "--steps", "30", "--json").stdout
    )
    assert told["sigma"] == python.sigma(epsilon=1.0, delta=1e-5, steps=30)
    assert told["schedule"] == python.schedule.to_list()  # type: ignore[union-attr]
    assert told["steps"] == 60
    told = json.loads(run("delta", "--problem", str(path), "--epsilon", "1", "--sigma", "2", "--steps", "0", "--json").stdout)
    assert told["delta"] == python.delta(epsilon=1.0, sigma=2.0, steps=0)
    told = json.loads(run("solve", "gradient-clip", "--problem", str(path), "--epsilon", "1", "--delta", "1e-5", "--sigma", "2",
                          "--steps", "9", "--json").stdout)  # fmt: skip
    assert told["value"] == python.solve("gradient_clip", epsilon=1.0, delta=1e-5, sigma=2.0, steps=9)
    plan = run("plan", "--problem", str(path), "--epsilon", "1", "--delta", "1e-5", "--sigma", "2", "--requests", "3", "--json")
    assert json.loads(plan.stdout)["steps_each"] == 30
    for words in (("certify", "--sigma", "1", "--steps", "3"), ("compare", "--epsilon", "1", "--steps", "3")):
        refused = run(*words, "--problem", str(path), "--delta", "1e-5")
        assert refused.exit_code == 2
        assert "schedule must be left out" in refused.stderr


def test_the_trainer_runs_what_the_accountant_counts() -> None:
    """Without noise every step is that of its stage, done by hand; the noise that arrives has the variance of the stages."""
    algorithm = FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=2.0, weight_decay=0.5)
    phases = [Unlearn(steps=3, step_size=0.4), Unlearn(steps=2, sigma=0.0), Unlearn(step_size=0.2, sigma=3.0)]
    given: tuple[Any, ...] = (DoubleWell(), algorithm, [1.7], np.zeros((4, 1)), np.zeros(4))
    found = fine_tune(*given, sigma=0.0, steps=4, schedule=Schedule(phases))
    x = 1.7
    for size in [0.4] * 3 + [0.1] * 2 + [0.2] * 4:
        x -= size * (max(-1.0, min(1.0, float(DoubleWell().gradients(np.array([[x]]), given[3], given[4])[0, 0]))) + 0.5 * x)
    assert found[0, 0] == pytest.approx(x, rel=1e-12)

    still = FineTuning(step_size=1e-9, gradient_clip=1.0, start_clip=1.0)
    noise = fine_tune(DoubleWell(), still, [0.0], *given[3:], sigma=0.5, steps=4, schedule=Schedule(
        [Unlearn(steps=3), Unlearn(steps=2, sigma=0.0), Unlearn(sigma=3.0)]), trials=4000)  # fmt: skip
    assert noise.std() == pytest.approx(0.5 * math.sqrt(3 + 4 * 9), rel=0.05)
    with pytest.raises(InputError, match="the schedule says how long"):
        fine_tune(*given, sigma=0.0, steps=4, schedule=Schedule(phases[:2]))


def test_an_audit_follows_a_schedule_and_finds_noise_that_is_left_out_of_a_stage() -> None:
    """Starts that are far apart and a loss that pushes them further: what is claimed is nearly attained."""
    phases = [Unlearn(steps=4), Unlearn(steps=3, step_size=0.05, sigma=2.0)]
    instance = repulsive_instance(mu=2.0)
    mu = asked(instance.algorithm, *phases).run(sigma=1.0).mu
    assert mu is not None
    claimed = replace(instance, steps=None, schedule=Schedule(phases), sigma=mu / 2)
    found = audit_steps(claimed, trials=3000, seed=1)
    assert 1.5 < found.mu_lower < 2.0
    assert not found.refutes(claimed.guarantee)
    silent = replace(claimed, schedule=Schedule([phases[0], Unlearn(steps=3, step_size=0.05, sigma=0.1)]))
    assert audit_steps(silent, trials=3000, seed=1).refutes(claimed.guarantee)
