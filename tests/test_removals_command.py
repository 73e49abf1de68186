"""``accountant removals`` says what ``removals_left`` does, and what it rests on."""

from __future__ import annotations

import json
import math
import shlex
from typing import Any

import pytest
from typer.testing import CliRunner

from accountant import PNSGD, preset
from accountant.commands.program import app
from accountant.curves import gdp_mu
from accountant.methods import removals_left
from accountant.questions import Setup

WORDS = ("removals", "--preset", "mnist", "--sigma", "0.01", "--epsilon", "1")


def run(*more: str) -> Any:
    return CliRunner().invoke(app, [*WORDS, *more])


def answer(*more: str) -> dict[str, Any]:
    result = run(*more, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_errors_of_removed_points_alone_add_up_until_the_noise_no_longer_covers_them() -> None:
    """One request adds gamma Z^2/(2m), Z = 2M/(mn): counted by hand, with the curvature of logistic losses on the unit ball."""
    problem = preset("mnist")
    moved = 2 * problem.lipschitz / (problem.strong_convexity * problem.n)
    one = 1 / (6 * math.sqrt(3)) * moved**2 / (2 * problem.strong_convexity)
    allowed = 0.01 * float(gdp_mu(epsilon=1.0, delta=1 / problem.n))
    found = answer("--gradient", "removed")
    assert (found["left"], found["delta_is_default"]) == (math.floor(allowed / one), True)
    assert found["allowed"] == pytest.approx(allowed, rel=1e-9)
    assert found["after"] == pytest.approx(one, rel=1e-9)
    later = answer("--gradient", "removed", "--residual", repr(one))
    assert later["left"] == found["left"] - 1


@pytest.mark.parametrize("more", [(), ("--steps", "3"), ("--residual", "1e-4"), ("--group-size", "2", "--delta", "1e-6")])
def test_the_shell_says_what_python_says(more: tuple[str, ...]) -> None:
    options = dict(zip(more[::2], map(float, more[1::2]), strict=True))
    setup = Setup(PNSGD(preset("mnist")), group_size=int(options.get("--group-size", 1)))
    budget = removals_left(
        setup,
        sigma=0.01,
        epsilon=1.0,
        delta=options.get("--delta", setup.default_delta),
        residual=options.get("--residual", 0.0),
        steps=int(options.get("--steps", 1)),
    )
    found = answer(*more)
    assert tuple(found[name] for name in ("left", "allowed", "reached", "after")) == (
        budget.left, budget.allowed, budget.reached, budget.after,
    )  # fmt: skip
    assert tuple(found["assumptions"]) == budget.assumptions


def test_what_is_assumed_follows_the_gradient_and_the_residual() -> None:
    told = {
        (gradient, residual): " ".join(answer("--gradient", gradient, "--residual", residual)["assumptions"])
        for gradient in ("all", "removed")
        for residual in ("0", "1e-05")
    }
    for (gradient, residual), text in told.items():
        assert ("the removed points alone" in text) == (gradient == "removed")
        assert ("was measured: at most 1e-05" in text) == (residual != "0")
        assert ("learning found the minimiser" in text) == (residual == "0")


def test_answers_are_sentences() -> None:
    assert "2 further requests surely keep epsilon = 1" in " ".join(run("--gradient", "removed").stdout.split())
    assert run().stdout.startswith("All further requests keep")
    assert run("--sigma", "1e-9").stdout.startswith("No further request surely keeps")
    assert run("--group-size", "3", "--sigma", "1e-9").stdout.startswith("No further request of 3 points each surely keeps")


def test_no_bound_is_null_and_not_infinity() -> None:
    found = answer("--residual", "1e300")
    assert (found["left"], found["after"], found["reached"]) == (0, None, 1e300)
    assert "no bound" in run("--residual", "1e300", "--verbose").stdout


def test_what_is_said_to_be_next_runs_as_it_stands_on_the_screen() -> None:
    typed = shlex.split(run("--residual", "1e-6").stdout.split("Next\n")[1].replace("\\\n", ""))
    assert shlex.join(typed) == answer("--residual", "1e-6")["next"]
    result = CliRunner().invoke(app, typed[1:])
    assert result.exit_code == 0, result.output
    assert "newton-exact" in result.stdout


@pytest.mark.parametrize("gradient", ["all", "removed"])
def test_noise_without_measure_serves_all_requests(gradient: str) -> None:
    found = answer("--sigma", "1e300", "--epsilon", "1e20", "--gradient", gradient)
    assert (found["left"], found["allowed"]) == (None, 1e300)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--sigma", "0"), "--sigma must be a number above 0, got 0"),
        (("--steps", "0"), "--steps must be a whole number from 1"),
        (("--residual", "-1"), "--residual must be a number from 0"),
        (("--gradient", "some"), "--gradient must be one of all, removed, got 'some'"),
        (("--gradient", "removed", "--steps", "2"), "--steps must be 1 where gradient is removed"),
        (("--delta", "1"), "--delta must be a number"),
        (("--epsilon", "-1"), "--epsilon must be a number"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(more: tuple[str, ...], says: str) -> None:
    result = run(*more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_a_loss_whose_curvature_is_not_known_is_refused() -> None:
    words = ["removals", "--n", "1000", "--smoothness", "1", "--strong-convexity", "0.1", "--lipschitz", "1", *WORDS[3:]]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "loss" in result.stderr
