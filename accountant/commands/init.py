"""``accountant init``: six questions about a model, and the problem file that answers them."""

from __future__ import annotations

import json as json_module
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from accountant.commands import choices, layout, paths
from accountant.commands.options import COUNT, NUMBER
from accountant.numerics import InputError, atomic_file, integer, number, truth, typed_count, typed_number
from accountant.problem import LOSS_CONSTANTS, Problem

LossOption = Annotated[
    str | None,
    typer.Option(**choices.closed(*LOSS_CONSTANTS), help=f"The loss that is minimised: {', '.join(LOSS_CONSTANTS)}."),
]
NOption = Annotated[int | None, typer.Option(**COUNT, help="Number of training records, from 1.")]
BoundOption = Annotated[float | None, typer.Option(**NUMBER, help="B > 0, the largest norm of a row of features.")]
InterceptOption = Annotated[bool | None, typer.Option("--intercept/--no-intercept", help="Whether the model has an intercept.")]
PenaltyOption = Annotated[float | None, typer.Option(**NUMBER, help="lambda >= 0 of the penalty lambda/2 ||w||^2.")]
SizeOption = Annotated[str | None, typer.Option(metavar="COUNT|full", help="Records per batch, or full.")]
ClipOption = Annotated[
    float | None, typer.Option(**NUMBER, help="C > 0, norm that every record's gradient is clipped to; ridge needs it.")
]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", metavar="FILE", help="The problem file to write; no file is replaced."), paths.Written()
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object; what is missing is refused, not asked.")]


def _size(text: str) -> int | str:
    return "full" if text.strip().lower() == "full" else typed_count(text)


def _loss(text: str) -> str:
    name = text.strip().lower().replace("_", "-")
    if name not in LOSS_CONSTANTS:
        raise ValueError(f"one of {', '.join(LOSS_CONSTANTS)}")
    return name


class Question(NamedTuple):
    """What is asked, how an answer is read (ValueError: what it must be), and what is taken where nothing is answered."""

    name: str
    asked: str
    read: Callable[[str], Any]
    default: str | None
    #: What is refused of the value, as InputError, in the light of the answers before.
    check: Callable[[Any, dict[str, Any]], object]


def _check_size(value: int | str, answers: dict[str, Any]) -> None:
    if value != "full":
        integer("batch_size", value, at_least=1, at_most=answers["n"])


#: Six questions; ridge has one more.
QUESTIONS: Final = (
    Question("loss", f"Which loss is minimised: {', '.join(LOSS_CONSTANTS)}?", _loss, "logistic", lambda *_: None),
    Question("n", "How many training records are there?", typed_count, None, lambda value, _: integer("n", value, at_least=1)),
    Question(
        "feature_bound", "Which norm has no row of features beyond (B, without the intercept; normalise rows to 1 if unsure)?",
        typed_number, "1", lambda value, _: number("feature_bound", value, above=0),
    ),
    Question(
        "intercept", "Has the model an intercept (yes or no; it is regularised like the rest, unlike scikit-learn's)?",
        partial(truth, "intercept"), "yes", lambda *_: None,
    ),
    Question(
        "l2", "What is lambda of the penalty lambda/2 ||w||^2?", typed_number, None,
        lambda value, _: number("l2", value, at_least=0),
    ),
    Question("batch_size", "How many records has a batch (a number, or full)?", _size, "full", _check_size),
)  # fmt: skip
_CLIP: Final = Question(
    "clip", "Gradients of ridge have no bound: to which norm is every record's gradient clipped?", typed_number, None,
    lambda value, _: number("clip", value, above=0),
)  # fmt: skip


def _asked(question: Question, answers: dict[str, Any]) -> Any:
    """The answer, asked for until it is one; InputError where the input ends before."""
    shown = "" if question.default is None else f" [{question.default}]"
    while True:
        print(f"{question.asked}{shown} ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            raise InputError("the input ended before all was answered", missing=[question.name])
        text = line.strip() or question.default
        if text is None:
            continue
        try:
            value = question.read(text)
            question.check(value, answers)
        except InputError as error:
            print(f"  {error}", file=sys.stderr)
        except ValueError as error:
            print(f"  It must be {error}, got {text!r}.", file=sys.stderr)
        else:
            return value


def _answers(given: dict[str, Any], *, asking: bool) -> dict[str, Any]:
    """What was given, checked, and the rest asked for."""
    missing = [question.name for question in QUESTIONS if given[question.name] is None]
    missing += [_CLIP.name] if given["loss"] == "ridge" and given["clip"] is None else []
    if missing and not asking:
        raise InputError(f"{' and '.join(missing)} must be given", missing=missing)
    # What was given is refused before anything is asked.
    for question in (*QUESTIONS, _CLIP):
        if given[question.name] is not None and not (question.name == "batch_size" and given["n"] is None):
            question.check(given[question.name], given)
    answers: dict[str, Any] = {}
    for question in QUESTIONS:
        answers[question.name] = _asked(question, answers) if given[question.name] is None else given[question.name]
        question.check(answers[question.name], answers)
    if answers["loss"] == "ridge" or given["clip"] is not None:
        answers["clip"] = _asked(_CLIP, answers) if given["clip"] is None else given["clip"]
    return answers


def problem_file(answers: dict[str, Any], problem: Problem) -> str:
    """The text of the file, with a comment at every key."""
    assert problem.loss is not None
    # Numbers, truths and such texts are the same in TOML as in JSON.
    toml = {name: json_module.dumps(value) for name, value in answers.items()}
    clip = (
        ""
        if answers.get("clip") is None
        else f"""
# Every record's gradient is clipped to this norm before it is added.
clip = {toml["clip"]}"""
    )
    return f"""# A problem of the unlearning accountant: accountant sigma --problem THIS_FILE
# accountant explain TERM says what a word means. Options on the command line override what stands here.

# ---- The loss. From it follow {"; ".join(problem.loss.lines)}.
loss = {toml["loss"]}
# lambda of lambda/2 ||w||^2 in every record's loss, over all parameters.
l2 = {toml["l2"]}
# No row of features is longer than this (2-norm, without the intercept's 1). Scale rows down that are.
feature-bound = {toml["feature_bound"]}
# Whether the model has an intercept: it counts as one more feature of value 1, and l2 regularises it like the rest.
# scikit-learn leaves it out of the penalty: then m = 0, and the constants of this file are not that model's.
intercept = {toml["intercept"]}{clip}

# ---- The data and the run.
# Training records, those included that are to be deleted.
n = {toml["n"]}
# Records per batch, or "full".
batch-size = {toml["batch_size"]}
# step-size = ...          # default 1/L
# radius = ...             # of the ball that every step projects on; default: none
# learn-epochs = ...       # default: learning has converged
# assignment = "secret"    # every record draws its batch by itself: less noise

# ---- The guarantee that is wanted.
epsilon = 1
delta = "1/n"
# Epochs of unlearning after a request.
epochs = 1
"""


def init(
    *,
    loss: LossOption = None,
    n: NOption = None,
    feature_bound: BoundOption = None,
    intercept: InterceptOption = None,
    l2: PenaltyOption = None,
    batch_size: SizeOption = None,
    clip: ClipOption = None,
    output: OutputOption = "problem.toml",
    json: JsonOption = False,
) -> None:
    """Six questions about a model, and a commented problem file made of the answers.

    What an option says is not asked.

    Example: accountant init --loss logistic --n 10000 --feature-bound 1 --intercept --l2 0.001 --batch-size 128
    """
    if Path(output).exists():
        raise InputError(f"output must be a file that does not exist yet, got {output!r}")
    if not Path(output).resolve().parent.is_dir():
        raise InputError(f"output must be in a folder that exists, got {output!r}")
    given: dict[str, Any] = {
        "loss": None if loss is None else _read("loss", _loss, loss),
        "n": n,
        "feature_bound": feature_bound,
    }
    given |= {"intercept": intercept, "l2": l2, "clip": clip}
    given["batch_size"] = None if batch_size is None else _read("batch_size", _size, batch_size)
    answers = _answers(given, asking=not json)
    words: dict[str, Any] = {name: answers.get(name) for name in ("n", "l2", "feature_bound", "intercept", "clip")}
    problem = Problem.from_loss(answers["loss"], **words)
    with atomic_file(output) as part:
        part.write_text(problem_file(answers, problem), encoding="utf-8")
    assert problem.loss is not None
    if json:
        print(json_module.dumps({"command": "init", "file": output, "answers": answers, "constants": problem.loss.to_dict()}))
        return
    screen = layout.console()
    screen.print(f"Written: {output}. {problem.loss.about[:1].upper()}{problem.loss.about[1:]}:", markup=False)
    for line in problem.loss.lines:
        screen.print(layout.bullet(line))
    screen.print("Next", style="italic")
    screen.print(f"  accountant sigma --problem {shlex.quote(output)}", markup=False, soft_wrap=True)


def _read(name: str, read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise InputError(f"{name} must be {error}, got {text!r}") from None
