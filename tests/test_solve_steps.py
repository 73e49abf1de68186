"""``accountant.solve`` about steps that both runs share: what it finds is put back into the accountant, and into the shell."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from accountant import FineTuning, InputError, Schedule, SmoothNonconvex, Unlearn, UnreachableError, solve
from accountant.questions import StepAccountant

RUN: dict[str, Any] = {"algorithm": "fine-tuning", "step_size": 0.01, "gradient_clip": 1.0, "start_clip": 1.0}
TARGET: dict[str, Any] = {"sigma": 1.5, "epsilon": 1.0, "delta": 1e-5, "steps": 100}
#: Whether a larger value hides less.
HURTS = {"step_size": True, "gradient_clip": True, "start_clip": True, "model_clip": True, "weight_decay": False}


@pytest.mark.parametrize("unknown", ["sigma", "epsilon", "delta", "steps"])
def test_the_accountants_own_answers(unknown: Literal["sigma", "epsilon", "delta", "steps"]) -> None:
    accountant = StepAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0))
    found = solve(**RUN, **TARGET | {"sigma": 2.0, unknown: None})
    given = {name: value for name, value in (TARGET | {"sigma": 2.0}).items() if name != unknown}
    assert found == accountant.answer(unknown, **given)
    assert isinstance(found, int if unknown == "steps" else float)


@pytest.mark.parametrize("unknown", HURTS)
def test_arguments_meet_the_target_and_hardly_more(unknown: str) -> None:
    run, target = RUN, TARGET
    if unknown == "model_clip":
        run, target = RUN | {"start_clip": 5.0}, TARGET | {"sigma": 0.5}
    if unknown == "weight_decay":
        target = TARGET | {"sigma": 1.3}
    value = float(solve(**run | {unknown: None}, **target))
    for factor, meets in ((1.0, True), (1 + 1e-6 if HURTS[unknown] else 1 - 1e-6, False)):
        options = {name: each for name, each in (run | {unknown: value * factor}).items() if name != "algorithm"}
        epsilon = StepAccountant(FineTuning(**options)).epsilon(**{k: v for k, v in target.items() if k != "epsilon"})
        assert (epsilon <= 1.0) == meets


def test_other_algorithms_schedules_and_files(tmp_path: Path) -> None:
    smooth = solve(algorithm="smooth-nonconvex", smoothness=1.0, step_size=0.1, start_clip=None, **TARGET | {"steps": 5})
    accountant = StepAccountant(SmoothNonconvex(smoothness=1.0, step_size=0.1, start_clip=1.0))
    assert smooth == accountant.solve("start_clip", **TARGET | {"steps": 5})
    phases = [Unlearn(steps=50), Unlearn(sigma=0.5)]
    assert solve(**RUN, **TARGET | {"sigma": None}, schedule=Schedule(phases)) == StepAccountant(
        FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0), schedule=Schedule(phases)
    ).sigma(epsilon=1.0, delta=1e-5, steps=100)
    path = tmp_path / "run.toml"
    path.write_text('algorithm = "fine-tuning"\nstep_size = 0.01\nstart_clip = 1.0\ngradient_clip = 7.0\nsigma = 1.5\n')
    found = solve(problem=path, gradient_clip=None, epsilon=1.0, delta=1e-5, steps=100)
    assert found == solve(**RUN | {"gradient_clip": None}, **TARGET)
    from accountant.commands.program import app

    words = ["--problem", str(path), "--epsilon", "1", "--delta", "1e-5", "--steps", "100"]
    told = CliRunner().invoke(app, ["solve", "gradient-clip", *words, "--json"])
    assert json.loads(told.stdout)["value"] == found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "exactly one of sigma, epsilon, delta, steps, step_size, .* got none"),
        ({"sigma": None, "gradient_clip": None}, "got sigma and gradient_clip"),
        ({"n": None}, "exactly one of .* got none"),
        ({"sigma": None, "n": 3}, "n must be left out: it is no option of fine-tuning"),
        ({"sigma": None, "epochs": 3}, "epochs must be left out: common steps are counted one by one"),
        ({"sigma": None, "extreme": "largest"}, "extreme must be left out"),
        ({"sigma": None, "preset": "mnist"}, "preset must be left out for fine-tuning"),
        ({"sigma": None, "delta": "default"}, "delta must be given for fine-tuning"),
        ({"sigma": None, "cap": 3}, "argument 'cap' is unknown: it must be one of sigma, epsilon"),
        ({"sigma": None, "clip": 3.0}, "clip must be left out: it is no option of fine-tuning"),
        ({"sigma": None, "algorithm": "tuning"}, "algorithm must be one of pnsgd"),
        ({"algorithm": "convex-nonsmooth", "sigma": None}, "gradient_clip must be left out"),
    ],
)
def test_what_does_not_belong_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        solve(**RUN | TARGET | changes)


def test_options_of_common_steps_are_none_of_noisy_sgd() -> None:
    with pytest.raises(InputError, match="start_clip must be left out for pnsgd"):
        solve(preset="mnist", sigma=None, epsilon=1.0, epochs=1, start_clip=1.0)
    assert solve(preset="mnist", sigma=None, epsilon=1.0, epochs=1, algorithm="pnsgd") == solve(
        preset="mnist", sigma=None, epsilon=1.0, epochs=1
    )
    with pytest.raises(UnreachableError, match="no gradient_clip meets"):
        solve(**RUN | {"gradient_clip": None, "start_clip": 100.0}, **TARGET)
