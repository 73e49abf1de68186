"""A record whose gradients have norm at most r <= M costs what a problem of bound r costs, and nothing else changes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import oracle_rewind as truth
import pytest
from mpmath import mp, mpf
from typer.testing import CliRunner

from accountant import PNSGD, InputError, Learn, Problem, Schedule, Unlearn, UnlearningAccountant, UnlearningStream, preset
from accountant.bounds import to_check
from accountant.certificates import certify
from accountant.commands import app
from accountant.methods import METHODS, compare
from accountant.questions import Setup, enclose, solve
from accountant.trainer import Logistic, Trainer

#: theory.md, section 12: MNIST, b = 128, sigma = 0.003, (1, 1/n), replace.
REFERENCE = {1.0: 37, 0.75: 30, 0.5: 22, 0.35: 15, 0.2: 7}


@pytest.mark.parametrize(("share", "steps"), REFERENCE.items())
def test_steps_by_class_are_the_reference_values(share: float, steps: int) -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 128, norm_class=share))
    assert accountant.steps(sigma=0.003, epsilon=1.0) == steps


def exact_mu(algorithm: PNSGD, batch: int, steps: int, sigma: float) -> mpf:
    """mu of the two Gaussians that f(x; d) = (m/2) x^2 + r d x leaves, d = 1 of the deleted record and -1 of its stand-in."""
    problem, sizes = algorithm.problem, [int(size) for size in algorithm.batch_sizes(range(algorithm.steps_per_epoch))]
    counts, epochs = [int(at == batch) for at in range(len(sizes))], algorithm.learn_epochs or 0
    stand_in = -1 if problem.adjacency == "replace" else 0
    loss = {
        "eta": Fraction(algorithm.eta),
        "curvature": Fraction(problem.strong_convexity),
        "gradient": Fraction(problem.lipschitz) * Fraction(algorithm.norm_class),
    }
    distance = truth.descended(sizes, counts, [stand_in * count for count in counts], epochs=epochs, steps=steps, **loss)
    kept = (1 - loss["eta"] * loss["curvature"]) ** 2
    variance = 2 * loss["eta"] * sum((kept**k for k in range(epochs * len(sizes) + steps)), Fraction(0))
    return mpf(distance.numerator) / distance.denominator / mp.sqrt(mpf(variance.numerator) / variance.denominator) / mpf(sigma)


@mp.workdps(30)
def test_the_gaussian_instance_of_a_class_is_never_above_and_attains_it() -> None:
    """500 random problems, of records and stand-ins with gradients of norm exactly r; equal where the string is a chord."""
    rng, tight = np.random.default_rng(41), 0
    for _ in range(500):
        n = int(rng.integers(2, 14))
        problem = Problem(
            n=n, smoothness=1.0, strong_convexity=float(rng.choice([0.125, 0.5])), lipschitz=float(rng.choice([0.5, 2.0])),
            adjacency=str(rng.choice(["replace", "zero-out"])),
        )  # fmt: skip
        share = float(rng.choice([0.0625, 0.25, 0.5, 0.75, 1.0]))
        algorithm = PNSGD(
            problem, int(rng.integers(1, n + 1)), step_size=0.5, learn_epochs=int(rng.integers(1, 4)), norm_class=share
        )
        steps, sizes = int(rng.integers(0, 8)), algorithm.batch_sizes(range(algorithm.steps_per_epoch)).tolist()
        sigma = float(10 ** rng.uniform(-1, 0.5)) * share / int(algorithm.batch_size)
        deltas = [truth.gaussian_delta(mpf("0.5"), exact_mu(algorithm, batch, steps, sigma)) for batch in range(len(sizes))]
        exact = sum(size / n * delta for size, delta in zip(sizes, deltas, strict=True))
        found = UnlearningAccountant(algorithm).delta(sigma=sigma, epsilon=0.5, steps=steps)
        assert exact <= found, algorithm
        tight += found <= exact * (1 + mpf("1e-9"))
    assert tight > 80


#: Every kind of run: what the algorithm has besides, what is asked, and whether mu is proportional to r.
RUNS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({"learn_epochs": 3}, {}, True),
    ({"learn_epochs": 3}, {"group_size": 4}, True),
    ({}, {"group_size": 4, "batches": "worst"}, True),
    ({"learn_epochs": 5}, {"batches": "reshuffle"}, True),
    ({}, {"schedule": Schedule([Learn(epochs=4), Unlearn(steps=3, step_size=0.4), Unlearn()])}, True),
    ({"assignment": "secret"}, {}, True),
    ({"assignment": "secret"}, {"group_size": 3}, True),
    ({"assignment": "fresh", "learn_epochs": 5}, {}, True),
    ({"assignment": "poisson", "learn_epochs": 5}, {}, True),
    ({"radius": 0.04}, {}, False),
    ({"radius": 0.02, "learn_epochs": 20}, {"batches": "worst"}, False),
    ({"radius": 5.0, "learn_epochs": 3}, {"reference": 2}, False),
]


@pytest.mark.parametrize(("own", "asked", "linear"), RUNS)
def test_a_class_is_the_problem_of_its_bound(own: dict[str, Any], asked: dict[str, Any], linear: bool) -> None:
    """h = 2 eta r/b is all that there is of r; where nothing else has a length, as much noise as r/M does."""
    problem = Problem(
        n=40, smoothness=1.0, strong_convexity=0.05, lipschitz=2.0, adjacency="remove" if "assignment" in own else "replace"
    )
    question = {"epsilon": 0.7, "delta": 1e-3, "steps": 5}

    def noise(lipschitz: float, share: float) -> float:
        algorithm = PNSGD(replace(problem, lipschitz=lipschitz), 8, step_size=0.5, norm_class=share, **own)
        return float(UnlearningAccountant(algorithm, **asked).sigma(**question))

    whole, classes = noise(2.0, 1.0), [noise(2.0, share) for share in (0.125, 0.5, 0.75)]
    assert classes == pytest.approx([noise(2 * share, 1.0) for share in (0.125, 0.5, 0.75)], rel=1e-11)
    assert sorted(classes) == classes
    assert classes[-1] <= whole
    ratios = [found / whole for found in classes]
    if linear:
        assert ratios == pytest.approx([0.125, 0.5, 0.75], rel=1e-6 if asked.get("batches") == "reshuffle" else 1e-9)
    else:
        # What the ball or the start bounds does not shrink with r: a rule of three would promise too much.
        assert ratios[0] > 0.126


def test_sigma_and_steps_never_fall_as_r_grows() -> None:
    rng = np.random.default_rng(42)
    for _ in range(40):
        n = int(rng.integers(4, 300))
        problem = Problem(n=n, smoothness=1.0, strong_convexity=float(10 ** rng.uniform(-3, -0.5)))
        own: dict[str, Any] = {"radius": float(10 ** rng.uniform(-2, 1))} if rng.random() < 0.5 else {}
        own |= {"learn_epochs": int(rng.integers(1, 30))} if rng.random() < 0.5 else {}
        algorithm = PNSGD(problem, int(rng.integers(1, n + 1)), **own)
        shares = np.sort(rng.uniform(0.01, 1.0, 4)).tolist()
        asked = [UnlearningAccountant(replace(algorithm, norm_class=share)) for share in shares]
        sigmas = [float(one.sigma(epsilon=1.0, delta=1e-3, steps=3)) for one in asked]
        steps = [int(one.steps(sigma=sigmas[-1] * 0.9, epsilon=1.0, delta=1e-3)) for one in asked]
        assert sigmas == sorted(sigmas)
        assert steps == sorted(steps)
        # Round trip: what sigma was calibrated for is proved with it.
        assert asked[0].epsilon(sigma=sigmas[0], delta=1e-3, steps=3) <= 1.0 + 1e-12


def test_rounding_costs_as_much_for_short_records() -> None:
    """What is rounded are the steps of all records: only the record's own part of mu shrinks."""
    algorithm = PNSGD(preset("mnist"), 128, rounding="float32", dimension=784, learn_epochs=20, radius=1.0, rounding_share=0.9)
    exact = replace(algorithm, rounding=None)
    apart = [
        float(np.max(UnlearningAccountant(replace(one, norm_class=share), batches="worst").gdp(sigma=0.01, steps=20)))
        for share in (1.0, 0.25) for one in (algorithm, exact)
    ]  # fmt: skip
    assert apart[2] - apart[3] == pytest.approx(apart[0] - apart[1], rel=1e-6)
    assert apart[0] > apart[1]


def test_enclosures_know_the_class() -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), 128, norm_class=0.35))
    found = enclose(accountant, "sigma", digits=20, epsilon=1.0, epochs=1)
    whole = enclose(UnlearningAccountant(PNSGD(preset("mnist"), 128)), "sigma", digits=20, epsilon=1.0, epochs=1)
    assert mpf(str(found)) / mpf(str(whole)) == pytest.approx(mpf("0.35"), rel=1e-15)


def test_what_is_assumed_says_who_is_meant_and_what_is_disclosed() -> None:
    algorithm = PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1, lipschitz=2.0), 10, norm_class=0.25)
    lines = UnlearningAccountant(algorithm).guarantee(sigma=0.1, steps=3).assumptions
    said = "norm class 0.25: gradients of the deleted record and what takes its place have norm at most 0.5, 0.25 of"
    assert any(line.startswith(said) for line in lines)
    (public,) = [line for line in to_check(lines) if "thresholds" in line]
    assert "not taken from the data" in public
    assert "disclose" in public
    assert not any("class" in line for line in UnlearningAccountant(replace(algorithm, norm_class=1.0)).guarantee(
        sigma=0.1, steps=3).assumptions)  # fmt: skip


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan"), "a", True, math.inf])
def test_classes_out_of_range_are_refused(share: Any) -> None:
    with pytest.raises(InputError, match="norm_class"):
        PNSGD(Problem(n=10, smoothness=1.0), norm_class=share)


def test_what_knows_one_bound_for_all_records_refuses_a_class() -> None:
    loss = Logistic(regularisation=0.1)
    algorithm = PNSGD(loss.problem(100), 10, norm_class=0.5)
    accountant = UnlearningAccountant(algorithm)
    for act in (
        lambda: certify(accountant, sigma=1.0, epsilon=1.0, delta=1e-3, steps=3),
        lambda: UnlearningAccountant(algorithm, bound="paper").epsilon(sigma=1.0, delta=1e-3, steps=10),
        lambda: UnlearningStream(UnlearningAccountant(algorithm, bound="paper"), sigma=1.0, epsilon=1.0),
        lambda: accountant.epsilon(sigma=1.0, delta=1e-3, steps=3, start_distance=0.1),
        lambda: Trainer(loss, algorithm, sigma=0.1),
    ):
        with pytest.raises(InputError, match="norm_class"):
            act()


def test_opacus_clips_all_records_at_one_norm() -> None:
    pytest.importorskip("opacus")
    from accountant.interop.opacus import register

    with pytest.raises(InputError, match="norm_class must be left out for opacus"):
        register(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 10, norm_class=0.5), name="class")


def test_methods_have_the_class_or_refuse_it() -> None:
    whole, half = (Setup(PNSGD(preset("mnist"), 128, norm_class=share)) for share in (1.0, 0.5))
    for setup in (half, half.with_(batch_size="full"), half.with_(radius=1.0, learn_epochs=5)):
        # The engine, what a model tells before anything is unlearned, and learning again.
        assert {name for name, method in METHODS.items() if method.refusal(setup) is None} == {"optimal", "dp", "retrain"}
    assert "norm_class must be left out for d2d-exact," in str(METHODS["d2d-exact"].refusal(half.with_(batch_size="full")))
    rows = [
        {row.method: row for row in compare(one, epsilon=1.0, methods=["optimal", "secret", "dp"])} for one in (whole, half)
    ]
    for before, after in zip(*(each.values() for each in rows), strict=True):
        assert after.sigma == pytest.approx(before.sigma / 2, rel=1e-9)


def test_the_shell_and_solve_have_classes() -> None:
    asked = "steps --preset mnist --batch-size 128 --sigma 0.003 --epsilon 1 --norm-class 0.35 --json"
    made = json.loads(CliRunner().invoke(app, asked.split()).stdout)
    assert made["steps"] == REFERENCE[0.35]
    assert made["algorithm"]["norm_class"] == 0.35
    assert "certify" not in made["next"]
    assert solve(preset="mnist", batch_size=128, sigma=0.003, epsilon=1.0, norm_class=0.35, steps=None) == REFERENCE[0.35]
    refused = CliRunner().invoke(app, ["sigma", "--preset", "mnist", "--epsilon", "1", "--norm-class", "2"])
    assert refused.exit_code == 2
    assert "--norm-class must be" in refused.output
