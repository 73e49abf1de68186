"""A loss in the user's words: constants against measured Hessians and gradients; one answer from shell, file and Python."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset, solve
from accountant.commands.program import app
from accountant.numerics import Floats
from accountant.problem import DERIVED, derive, loss_constants_of
from accountant.questions import read_toml
from accountant.requests import expected_requests, read_requests
from accountant.trainer import LOSSES, Multinomial

WORDS: dict[str, Any] = {"loss": "logistic", "l2": 0.001, "feature_bound": 1.0}
TYPED = ("--loss", "logistic", "--l2", "0.001", "--feature-bound", "1")
RUN = ("--n", "10000", "--batch-size", "100")
TARGET = ("--epsilon", "1", "--delta", "1e-5", "--epochs", "1")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def record(*words: str) -> dict[str, Any]:
    made = run(*words, "--json")
    assert made.exit_code == 0, made.stderr
    return dict(json.loads(made.stdout))


def refused(*words: str) -> str:
    made = run(*words)
    assert made.exit_code == 2
    assert not made.stdout
    return " ".join(made.stderr.split())


# Constants against what points on the sphere really do.


def measured(
    loss: str, rows: Floats, weights: Floats, *, width: float, clip: float | None, classes: int
) -> tuple[float, float]:
    """The largest eigenvalue of a point's Hessian of the data part by differences of gradients, and its longest gradient."""

    def slopes(scores: Floats) -> Floats:
        """dl/ds (k,) of scores (k,) of a point of class +1, 0, or of target 0.5."""
        if loss == "logistic":
            return np.array([-1 / (1 + math.exp(scores[0]))])
        if loss == "smoothed-hinge":
            return np.array([-min(max((1 - scores[0]) / width, 0.0), 1.0)])
        if loss == "ridge":
            return np.array([scores[0] - 0.5])
        chances = np.exp(scores - scores.max())
        return np.asarray(chances / chances.sum() - np.eye(classes)[0])

    def gradient(w: Floats, row: Floats) -> Floats:
        found = np.outer(slopes(w @ row), row).ravel()
        length = float(np.linalg.norm(found))
        return found if clip is None or length <= clip else found * (clip / length)

    steepest, longest, step = 0.0, 0.0, 1e-6
    for row, w in zip(rows, weights, strict=True):
        longest = max(longest, float(np.linalg.norm(gradient(w, row))))
        size, hessian = w.size, np.empty((w.size, w.size))
        for at in range(size):
            moved = np.zeros(size)
            moved[at] = step
            ahead, behind = (gradient(w + sign * moved.reshape(w.shape), row) for sign in (1, -1))
            hessian[at] = (ahead - behind) / (2 * step)
        steepest = max(steepest, float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1]))
    return steepest, longest


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    ("loss", "more", "far"),
    [
        ("logistic", {}, 30.0),
        ("logistic", {"clip": 1.2}, 30.0),
        ("logistic", {"classes": 3}, 30.0),
        ("multinomial", {}, 30.0),
        ("smoothed-hinge", {"width": 0.5}, 30.0),
        ("ridge", {"clip": 0.7}, 30.0),
        ("ridge", {"target_bound": 0.5, "radius": 2.0}, 2.0),
    ],
)
def test_no_point_is_steeper_or_more_curved_and_some_point_attains_both(
    loss: str, more: dict[str, Any], far: float, intercept: bool
) -> None:
    bound, rng = 1.5, np.random.default_rng(7)
    found = derive(loss, l2=0.01, feature_bound=bound, intercept=intercept, **more)
    classes = 3 if found.loss == "multinomial" else 1
    rows = rng.standard_normal((400, 2))
    rows *= bound / np.linalg.norm(rows, axis=1, keepdims=True)
    if intercept:
        rows = np.hstack([rows, np.ones((400, 1))])
    # Where losses are most curved, and where they are steepest: scores of opposite sign, of every size up to far.
    weights = rng.standard_normal((400, classes, rows.shape[1]))
    weights[::4] = 0.0
    if classes == 3:
        # Two classes of probability 1/2 each, and all probability on one wrong class.
        weights[::4, 2] = -40 * rows[::4]
        weights[1::4] = 0.0
        weights[1::4, 1] = far * rows[1::4]
    else:
        weights[1::4, 0] = -far * rows[1::4] / np.linalg.norm(rows[1::4], axis=1, keepdims=True)
        if loss == "smoothed-hinge":
            weights[::4, 0] = 0.75 * rows[::4] / (rows[::4] ** 2).sum(axis=1, keepdims=True)
        if loss == "ridge":
            weights[::4, 0] = 0.5 * rows[::4] / (rows[::4] ** 2).sum(axis=1, keepdims=True)
    if "radius" in more:
        weights *= np.minimum(1.0, more["radius"] / np.linalg.norm(weights, axis=(1, 2), keepdims=True).clip(1e-9))
    steepest, longest = measured(
        found.loss, rows, weights, width=more.get("width", 1.0), clip=more.get("clip"), classes=classes
    )
    assert steepest <= (found.smoothness - 0.01) * (1 + 1e-6)
    assert longest <= found.lipschitz * (1 + 1e-12)
    assert steepest >= (found.smoothness - 0.01) * (1 - 1e-4)
    assert longest >= found.lipschitz * (1 - 1e-4)
    assert found.strong_convexity == 0.01


def test_the_forgotten_intercept_cannot_be_forgotten_silently() -> None:
    taken = Problem.from_loss("logistic", n=1000, l2=0.001, feature_bound=1.0)
    assert (taken.smoothness, taken.lipschitz) == (0.501, 1.4142135623730951)
    without = Problem.from_loss("logistic", n=1000, l2=0.001, feature_bound=1.0, intercept=False)
    assert (without.smoothness, without.lipschitz) == (0.251, 1.0)
    words = ("epsilon", *TYPED, *RUN, "--sigma", "0.03", "--epochs", "1")
    first, *_ = run(*words).stdout.splitlines()
    assert first.startswith("An intercept is counted, which gives the larger constants: --intercept or")
    for said, first_word in (("--intercept", "Logistic"), ("--no-intercept", "Logistic")):
        assert run(*words, said).stdout.startswith(first_word)
    assert record(*words)["constants"]["taken"] == ["intercept"]
    assert record(*words)["epsilon"] == record(*words, "--intercept")["epsilon"] > record(*words, "--no-intercept")["epsilon"]


@settings(deadline=None)
@given(
    l2=st.just(0.0) | st.floats(1e-200, 1e6), bound=st.floats(1e-100, 1e100), intercept=st.booleans(),
    width=st.floats(1e-6, 1e6), loss=st.sampled_from(["logistic", "multinomial", "smoothed-hinge"]),
)  # fmt: skip
def test_constants_print_as_no_less_than_the_formula_and_hardly_more(
    l2: float, bound: float, intercept: bool, width: float, loss: str
) -> None:
    def read(value: float) -> Fraction:
        return Fraction(repr(value))

    wide: dict[str, Any] = {"width": width} if loss == "smoothed-hinge" else {}
    found = derive(loss, l2=l2, feature_bound=bound, intercept=intercept, **wide)
    square = read(bound) ** 2 + intercept
    curved = {"logistic": square / 4, "multinomial": square / 2, "smoothed-hinge": square / read(width)}[loss] + read(l2)
    assert curved <= read(found.smoothness) <= curved * (1 + Fraction(2) ** -50)
    steep = square * (2 if loss == "multinomial" else 1)
    assert steep <= read(found.lipschitz) ** 2 <= steep * (1 + Fraction(2) ** -49)


def test_the_trainers_losses_have_the_same_constants() -> None:
    for loss, intercept in product(LOSSES, (True, False)):
        clip = 0.5 if loss == "ridge" else None
        found = derive(loss, l2=0.02, feature_bound=2.0, intercept=intercept, clip=clip)
        own = loss_constants_of(found)
        for name in DERIVED:
            assert getattr(own, name) == pytest.approx(getattr(found, name), rel=1e-15)
        kind = LOSSES[loss]
        extra: dict[str, Any] = {"classes": 4} if kind is Multinomial else {}
        made = kind(regularisation=0.02, feature_bound=own.feature_bound, clip=clip, **extra)
        assert made.problem(10).to_dict() == own.problem(10).to_dict()
        loss_name = made.problem(10).loss
        assert loss_name is not None
        assert loss_name.loss == loss


def test_presets_follow_from_their_loss() -> None:
    for name in ("mnist", "cifar10"):
        problem = preset(name)
        assert problem.loss is not None
        again = Problem.from_loss("logistic", n=problem.n, l2=problem.n / 1e6, feature_bound=1.0, intercept=False)
        assert problem == again
        assert float(mpmath.mpf(problem.n) / 10**6 + mpmath.mpf(1) / 4) == problem.smoothness


# What an answer says of its constants.


def test_assumptions_say_what_the_constants_rest_on() -> None:
    derived = Problem.from_loss("logistic", n=100, l2=0.1, feature_bound=1.0)
    given_ = Problem(n=100, smoothness=derived.smoothness, strong_convexity=0.1, lipschitz=derived.lipschitz)
    assert derived == given_
    one, two = (UnlearningAccountant(PNSGD(problem, 10)) for problem in (derived, given_))
    assert one.epsilon(sigma=1.0, epochs=1) == two.epsilon(sigma=1.0, epochs=1)
    lines, others = (made.ask("epsilon", sigma=1.0, delta=1e-3, epochs=1).assumptions for made in (one, two))
    (line,) = set(lines) - set(others)
    assert line.startswith("L, m and M follow from the logistic loss, rows of norm at most B = 1 and a constant feature 1")
    assert "L = (B\N{SUPERSCRIPT TWO} + 1)/4 + \N{GREEK SMALL LETTER LAMDA} = 0.6" in line
    # Who derived them by hand is told what is forgotten by hand: the constant feature, and whether lambda is over it.
    (line,) = set(others) - set(lines)
    assert line.startswith("L, m and M are as given: they were not derived from a loss here")
    assert line.endswith(
        "where there is an intercept they count its constant feature 1, and m is 0 unless it is regularised, too"
    )
    # Other constants are not the loss's any more, other numbers of points are.
    assert one.setup.with_(lipschitz=3.0).problem.loss is None
    assert one.setup.with_(n=50).problem.loss == derived.loss


def test_every_answer_says_whether_an_intercept_is_counted_and_that_lambda_is_over_it() -> None:
    for loss, clip in (("logistic", None), ("multinomial", None), ("smoothed-hinge", None), ("ridge", 1.0)):
        counted = derive(loss, l2=0.01, feature_bound=1.0, intercept=True, clip=clip).about
        assert "a constant feature 1 for the intercept" in counted
        assert "over all parameters, the intercept's too (scikit-learn leaves it out: then m = 0)" in counted
        none = derive(loss, l2=0.01, feature_bound=1.0, intercept=False, clip=clip).about
        assert "B = 1, an intercept's 1 included" in none
        assert "scikit-learn" not in none
    # Without lambda there is nothing that it could leave out: m = 0 either way.
    assert "scikit-learn" not in derive("logistic", l2=0.0, feature_bound=1.0).about
    # tune finds lambda, and what it is over is said all the same.
    tune = ("tune", "--n", "2000", "--loss", "logistic", "--feature-bound", "1", "--epsilon", "1", "--delta", "1e-4")
    assert "the intercept's too (scikit-learn leaves it out" in " ".join(run(*tune, "--requests", "20").stdout.split())


def test_an_intercept_without_penalty_is_not_strongly_convex() -> None:
    # Independent truth: the Hessian of the logistic loss with lambda/2 ||w||^2 on all but the intercept, where scores are far.
    rng = np.random.default_rng(1)
    row = np.append(rng.standard_normal(3), 1.0)
    row[:3] /= np.linalg.norm(row[:3])
    smallest = []
    for score in (0.0, 5.0, 20.0):
        slope = 1 / (1 + math.exp(-score))
        hessian = slope * (1 - slope) * np.outer(row, row) + 0.01 * np.diag([1.0, 1.0, 1.0, 0.0])
        smallest.append(float(np.linalg.eigvalsh(hessian)[0]))
    assert smallest[0] > smallest[1] > smallest[2] >= -1e-12
    assert smallest[2] < 1e-8 < derive("logistic", l2=0.01, feature_bound=1.0).strong_convexity
    # With the penalty on all four it is lambda.
    everywhere = slope * (1 - slope) * np.outer(row, row) + 0.01 * np.eye(4)
    assert float(np.linalg.eigvalsh(everywhere)[0]) == pytest.approx(0.01)


def test_a_lipschitz_constant_that_nobody_gave_is_said() -> None:
    words = ("epsilon", "--n", "100", "--smoothness", "1", "--strong-convexity", "0.1", "--sigma", "1", "--epochs", "1")
    assert run(*words).stdout.startswith("M = 1 is taken, for --lipschitz is not given")
    assert record(*words)["constants"] == {"from": "given", "taken": ["lipschitz"]}
    assert "M = 1 is taken" not in run(*words, "--lipschitz", "1").stdout
    assert record(*words, "--lipschitz", "1")["constants"] == {"from": "given", "taken": []}
    assert record("epsilon", "--preset", "mnist", "--sigma", "1", "--epochs", "1")["constants"] == {
        "from": "preset",
        "taken": [],
    }


def test_a_bound_on_targets_needs_the_ball_that_it_was_counted_for() -> None:
    problem = Problem.from_loss("ridge", n=100, l2=0.1, feature_bound=1.0, target_bound=1.0, radius=2.0, intercept=False)
    assert problem.lipschitz == 3.0
    assert PNSGD(problem, radius=2.0).radius == 2.0
    for radius in (None, 2.5):
        with pytest.raises(InputError, match=r"radius must be at most 2\.0, on which with target_bound lipschitz rests"):
            PNSGD(problem, radius=radius)
    with pytest.raises(InputError, match=r"radius must be at most 2\.0"):
        UnlearningAccountant(PNSGD(problem, radius=1.0)).setup.with_(radius=9.0)


# Shell, file and Python.

FILE = """
loss = "logistic"
l2 = "10^-3"
feature-bound = 1
intercept = false
n = 1e4
batch-size = 100
epsilon = 1
delta = "1/n^2"
epochs = 1
"""


def test_file_shell_and_python_give_the_same_answer(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(FILE)
    problem = Problem.from_loss("logistic", n=10_000, l2=0.001, feature_bound=1.0, intercept=False)
    expected = UnlearningAccountant(PNSGD(problem, 100)).sigma(epsilon=1.0, delta=1e-8, epochs=1)
    question = {**WORDS, "intercept": False, "n": 10_000, "batch_size": 100, "epsilon": 1.0, "delta": 1e-8, "epochs": 1}
    typed = (
        *TYPED,
        "--no-intercept",
        "--n",
        "10^4",
        "--batch-size",
        "1e2",
        "--delta",
        "1/n^2",
        "--epsilon",
        "1",
        "--epochs",
        "1",
    )
    assert solve(sigma=None, **question) == expected
    assert solve(sigma=None, problem=path) == expected
    assert record("sigma", *typed)["sigma"] == expected
    assert record("sigma", "--problem", str(path))["sigma"] == expected
    assert record("solve", "sigma", "--problem", str(path))["value"] == expected
    tables = "\n".join(
        ["[problem]", *FILE.split("\n")[1:6], "[algorithm]", FILE.split("\n")[6], "[target]", *FILE.split("\n")[7:]]
    )
    path.write_text(tables)
    assert record("sigma", "--problem", str(path))["sigma"] == expected


def test_the_next_command_repeats_what_was_typed() -> None:
    words = ("sigma", *TYPED, "--no-intercept", *RUN, "--epsilon", "1", "--epochs", "1", "--delta", "1/n^2")
    next_ = record(*words)["next"]
    assert "--delta '1/n^2'" in next_
    assert next_.count("--delta") == 1
    assert "--loss logistic" in next_
    assert "--no-intercept" in next_


def test_what_is_typed_stands_above_the_file(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(FILE)
    file = ("--problem", str(path))
    assert record("sigma", *file, "--steps", "7")["steps"] == 7
    assert record("sigma", *file, "--epochs", "3")["epochs"] == 3
    assert record("sigma", *file, "--delta", "1e-3")["delta"] == 1e-3
    assert record("sigma", *file, "--intercept")["constants"]["intercept"] is True
    assert record("epochs", *file, "--sigma", "0.5")["epochs"] == 0
    assert solve(epochs=None, problem=path, sigma=0.5) == 0
    assert solve(steps=None, problem=path, sigma=0.5) == 0
    assert record("curve", *file, "--sigma", "0.5")["epochs"] == 1
    certified = record("certify", *file, "--sigma", "0.5", "-o", str(tmp_path / "c.json"))
    assert certified["inputs"]["delta"] == "1e-8"
    assert certified["constants"] == record("sigma", *file)["constants"]
    assert set(certified["to_check"]) < set(certified["assumptions"])
    assert any("adds Gaussian noise to every parameter" in line for line in certified["to_check"])


def test_a_file_may_begin_with_a_preset_and_say_the_requests(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text('preset = "mnist"\nepsilon = 1\nepochs = 1\nsigma = 0.03\nrequests = "2/week"\nfor = "3w"\n')
    file = ("--problem", str(path))
    assert record("sigma", *file)["sigma"] == record("sigma", "--preset", "mnist", "--epsilon", "1", "--epochs", "1")["sigma"]
    assert record("sigma", *file)["constants"] == {"from": "preset", "taken": []}
    assert {record(command, *file)["problem"]["preset"] for command in ("sigma", "plan", "compare", "curve")} == {"mnist"}
    solved = record("solve", "steps", *file)
    assert solved["preset"] == solved["problem"]["preset"] == "mnist"
    assert len(record("plan", *file)["requests"]) == 6
    assert record("compare", *file, "--method", "optimal")["stream"]["requests"] == 6
    path.write_text('preset = "mnist"\nloss = "logistic"\n')
    assert "which says smoothness and all else of the loss" in refused("sigma", *file, "--epsilon", "1", "--epochs", "1")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("feature-bnd = 1", "did you mean feature-bound?"),
        ("eps = 1", "did you mean epsilon?"),
        ("regularisation = 1", "did you mean l2?"),
        ("lamda = 1", "is unknown"),
        ("fit-intercept = true", "did you mean intercept?"),
        ("batchsize = 3", "did you mean batch-size?"),
        ('n = "1.000"', "n must be 1 or 1000, whichever is meant, got '1.000'"),
        ('n = "1,000"', "n must be a whole number without separators"),
        ('l2 = "0,5"', "l2 must be a number with a point and no comma"),
        ('delta = "1/m"', "delta must be a number"),
        ('intercept = "maybe"', "intercept must be yes or no"),
        ("l2 = 1\nl-2 = 1", "did you mean l2?"),
        ("step-size = 1\nstep_size = 1", "stands twice"),
    ],
)
def test_bad_keys_and_values_of_a_file(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(line + "\n")
    with pytest.raises(InputError) as error:
        read_toml(path)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--loss", "logistic"), "--l2 and --feature-bound must be given"),
        ((*TYPED, "--smoothness", "1"), "--smoothness must be left out with --loss logistic, which says it already"),
        ((*TYPED, "--lipschitz", "1", "--strong-convexity", "0"), "--strong-convexity and --lipschitz must be left out with"),
        (("--l2", "1", "--smoothness", "1"), "--l2 must be left out without --loss"),
        (("--preset", "mnist", "--loss", "logistic"), "--loss must be left out with --preset mnist"),
        (("--loss", "ridge", *TYPED[2:]), "--clip must be given for ridge, whose gradients have no bound of their own"),
        (("--loss", "ridge", *TYPED[2:], "--target-bound", "1"), "--radius must be given with --target-bound"),
        (("--loss", "multinomial", *TYPED[2:], "--clip", "0.5"), "--clip must be left out or at least 2 for multinomial"),
        (("--loss", "smoothed-hinge", *TYPED[2:], "--classes", "3"), "--classes must be 2 for smoothed-hinge, got 3"),
        ((*TYPED, "--width", "2"), "--width must be left out for logistic"),
        ((*TYPED, "--target-bound", "2"), "--target-bound must be left out for logistic"),
        ((*TYPED[:-1], "0"), "--feature-bound must be a number above 0, got 0"),
        (
            ("--loss", "hinge", *TYPED[2:]),
            "--loss must be smooth for noisy SGD on batches, got hinge: the hinge has kinks; take",
        ),
        (("--loss", "logit", *TYPED[2:]), "--loss must be one of logistic, multinomial, ridge, smoothed-hinge, got 'logit'"),
    ],
)
def test_refusals_name_what_was_typed_and_the_remedy(words: tuple[str, ...], says: str) -> None:
    rest = () if "--preset" in words else ("--n", "100")
    assert says in refused("sigma", *words, *rest, "--epsilon", "1", "--epochs", "1")


def test_a_table_is_checked_for_a_loss() -> None:
    table = "sigma,epochs,epsilon\n0.9,20,1\n0.0001,1,1\n"
    made = CliRunner().invoke(app, ["verify", "-", *TYPED, *RUN, "--delta", "1/n", "--json"], input=table)
    assert made.exit_code == 1
    other = ("--smoothness", "0.501", "--strong-convexity", "0.001", "--lipschitz", "1.4142135623730951", "--delta", "1e-4")
    again = CliRunner().invoke(app, ["verify", "-", *other, *RUN, "--json"], input=table)
    rows, same = (json.loads(each.stdout)["rows"] for each in (made, again))
    assert [row["verdict"] for row in rows] == [row["verdict"] for row in same]
    assert [row["epsilon_achieved"] for row in rows] == [row["epsilon_achieved"] for row in same]
    assert json.loads(made.stdout)["constants"] == record("sigma", *TYPED, *RUN, "--epsilon", "1", "--epochs", "1")["constants"]
    assert json.loads(again.stdout)["constants"]["from"] == "given"
    several = "n,smoothness,strong_convexity,sigma,epochs,epsilon\n100,1,0.1,9,1,1\n200,1,0.1,9,1,1\n"
    found = CliRunner().invoke(app, ["verify", "-", "--batch-size", "full", "--json"], input=several)
    assert "constants" not in json.loads(found.stdout)


# Requests over time.

PLAN = ("plan", "--preset", "mnist", "--sigma", "0.03", "--epsilon", "1", "--unit", "epochs")


def test_a_rate_is_the_file_of_even_arrivals(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    expected = expected_requests("20/week", "1w")
    arrivals = expected.spread()
    path.write_text("time\n" + "".join(f"{arrival.time!r}\n" for arrival in arrivals if not isinstance(arrival, int)))
    assert len(read_requests(path)) == 20
    ours = record(*PLAN, "--requests", "20/week", "--for", "1w", "--window", "1d")
    file = record(*PLAN, "--requests", str(path), "--window", "1d")
    assert ours["requests"] == file["requests"]
    assert "requests come evenly, 20/week for 1w" in ours["assumptions"]
    count = record(*PLAN, "--requests", "20", "--for", "1w", "--window", "1d")
    assert count["requests"] == ours["requests"]
    assert len(record(*PLAN, "--requests", "1e1")["requests"]) == 10


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--requests", "20/week"), "--for must be given with a rate of requests, such as 1y"),
        (
            ("--requests", "20", "--window", "1d"),
            "--window must be left out where requests have no arrival times, got 1d; --for",
        ),
        (("--requests", "1.000"), "--requests must be 1 or 1000, whichever is meant"),
        (("--requests", "20/fortnight", "--for", "1y"), "--requests must be a whole number from 1, or a rate"),
        (("--requests", "20/week", "--for", "1 month"), "--for must be seconds, or a number with s, m, h, d, w or y"),
    ],
)
def test_refused_rates(words: tuple[str, ...], says: str) -> None:
    assert says in refused(*PLAN, *words)


@settings(deadline=None)
@given(count=st.integers(1, 1000), points=st.integers(1, 9), seconds=st.floats(1, 1e9))
def test_spread_requests_are_even_and_within_the_time(count: int, points: int, seconds: float) -> None:
    arrivals = expected_requests(count, seconds).spread(points)
    times = np.array([arrival.time for arrival in arrivals if not isinstance(arrival, int)])
    assert times.size == count
    assert times[0] == 0
    assert times[-1] < seconds
    assert np.allclose(np.diff(times), seconds / count, rtol=1e-9, atol=seconds * 1e-12)
