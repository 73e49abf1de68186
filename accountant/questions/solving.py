"""``accountant.solve``: whichever one number of a question is not known, from all the others.

Questions about steps that both runs share are answered by :mod:`accountant.questions.step_unknowns`. Of noisy SGD on batches
sigma, epsilon, delta, epochs and steps are the accountant's own answers. The other unknowns change the setting itself; what
makes their search right is one lemma. *Steps without a difference, smaller differences and a shorter history never hurt*: with
the shifts of the worse run, cut where the distance is already zero, the better run's distances stay below the worse run's, and
so it ends together at no larger mu. The published distances obey the same order. Hence (docs/theory.md, "Other unknowns")

- more epochs of matched learning prove less, and more where retraining starts apart;
- a larger group proves less;
- as long as the number of batches stays the same, the mu of each batch and its share of the points move in one direction
  with the batch size and with n; and with n mod b kept, a further batch never hurts;
- of records that draw their batches by themselves a larger batch hides more as long as the number of batches stays the same,
  and is less likely too large; what batches cost that are too large jumps where it changes, so n is searched without it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Final, TypedDict, Unpack, cast, get_type_hints

import numpy as np

from accountant.numerics import MAX_COUNT, SMALLEST, InputError, choice, number
from accountant.problem import STEPPING, Schedule
from accountant.questions.outcome import Unknown
from accountant.questions.problem_file import ALGORITHM, DEFAULT, SCHEDULE, read_toml
from accountant.questions.question import MAX_EPSILON
from accountant.questions.searches import (
    METHODS,
    SOLVABLE,
    Search,
    among,
    solve_batch_size,
    solve_group_size,
    solve_learn_epochs,
    solve_n,
    solve_step_size,
)
from accountant.questions.settings import BATCHES, assembled, merged

EXTREMES: Final = ("smallest", "largest")


class Question(TypedDict, total=False):
    """The arguments of :func:`solve`: None for the unknown, and left out for the default."""

    sigma: float | None
    epsilon: float | None
    delta: float | None
    epochs: int | None
    steps: int | None
    preset: str | None
    problem: str | PathLike[str] | None
    n: int | None
    smoothness: float
    strong_convexity: float
    lipschitz: float
    adjacency: str
    loss: str
    l2: float
    feature_bound: float
    intercept: bool
    clip: float
    classes: int
    width: float
    target_bound: float
    batch_size: int | str | None
    step_size: float | None
    radius: float | None
    learn_epochs: int | str | None
    last_batch: str
    assignment: str
    largest_n: int | None
    redraw: bool | None
    rounding: str | None
    dimension: int | None
    rounding_share: float
    public_share: float
    norm_class: float
    bound: str
    batches: str | int | Sequence[int] | None
    reference: str | int
    group_size: int | None
    schedule: Schedule | Sequence[Mapping[str, Any]] | None
    extreme: str | None
    algorithm: str
    start_clip: float | None
    model_clip: float | None
    gradient_clip: float | None
    weight_decay: float | None
    start: str
    clip_first: bool
    hoelder_constant: float
    hoelder_exponent: float


def solve(**question: Unpack[Question]) -> float | int:
    """The one argument that is None, from the others: a float, or an int for what is counted.

    Arguments (all keywords, scalars, names and domains as everywhere else): sigma, epsilon, delta; epochs or steps; the problem
    (n, smoothness, strong_convexity, lipschitz, adjacency, or loss and its words, as :func:`~accountant.problem.derive` has
    them), or ``preset`` or ``problem`` (a TOML file) for it, each key overriding; batch_size, step_size, radius, learn_epochs,
    last_batch, assignment, largest_n, redraw, public_share, norm_class; bound, batches, reference, group_size, schedule.

    Exactly one of sigma, epsilon, delta, epochs, steps, learn_epochs, batch_size, n and group_size must be None: the unknown;
    where none of them is, step_size. What is left out, or is the word "default", has its default (learn_epochs: converged;
    delta: 1/n, where n is known).

    - sigma, epsilon, delta, epochs, steps: the smallest that proves the target, as the methods of ``UnlearningAccountant`` (but
      for a rounding, where that is needed to meet it put back); sigma and delta are never below 1e-300;
    - learn_epochs: the largest that meets it; with a reference that starts apart, where learning longer helps, the smallest;
    - group_size: the largest; n: the smallest, all constants staying what they are;
    - batch_size: the largest for given epochs, the smallest for given steps, or as ``extreme`` says ("smallest", "largest").
      All sizes are searched, because those that meet the target need not be neighbours;
    - step_size: the largest, to 1e-9 of it; step sizes beyond it were tried in ratios of 2**(1/16).

    With ``algorithm`` = "fine-tuning", "convex-nonsmooth", "smooth-nonconvex", "convex-hoelder" or "hoelder-nonconvex" (also in
    the file) the arguments are those of :class:`~accountant.problem.FineTuning` and its like, with sigma, epsilon, delta, steps
    and schedule, and the unknown is one of sigma, epsilon, delta, steps, step_size, gradient_clip, start_clip, model_clip (the
    largest) and weight_decay (the smallest), as by ``StepAccountant.solve``; nothing else of what follows is about them.

    >>> run = {"algorithm": "fine-tuning", "step_size": 0.01, "start_clip": 1.0, "sigma": 1.5, "steps": 100}
    >>> f"{solve(**run, epsilon=1.0, delta=1e-5, gradient_clip=None):.6f}"
    '1.010410'

    A count was put back and met the target; the next one beyond it (larger for a largest, smaller for a smallest) did not,
    unless its range ends there. Of n and batch_size the values that meet it need not be neighbours: NotUniqueWarning if the
    next one inwards, or the next with a short last batch, does not. Raises InputError for arguments outside their domain and
    for unknowns in settings where no search is proved right, UnreachableError where no value meets the target, or where all
    do and there is no largest.
    """
    names = tuple(get_type_hints(Question))
    if _steps_are_common(question):
        # What noisy SGD on batches need not load.
        from accountant.questions.step_unknowns import solve_marked

        return solve_marked(question, names)
    unknown, settings = _read(question, names)
    search = Search(settings, unknown)
    return _SOLVERS[unknown](search) if unknown in _SOLVERS else _own(search)


def _steps_are_common(question: Mapping[str, Any]) -> bool:
    """Whether the question, or its file, names an algorithm whose steps both runs share; InputError for a word that is none."""
    word = question.get(ALGORITHM)
    if word is None and question.get("problem") is not None:
        word = read_toml(question["problem"]).get(ALGORITHM)
    return word is not None and choice(ALGORITHM, word, (BATCHES, DEFAULT, *STEPPING)) in STEPPING


def _read(question: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The unknown's name and all settings but it, checked as far as they do not depend on each other."""
    for name in question:
        if name not in names:
            raise InputError(f"argument {name!r} is unknown: it must be one of {', '.join(names)}")
    marked = [name for name in SOLVABLE if name in question and question[name] is None]
    if not marked and question.get("step_size", 0) is None:
        # Beside another unknown it is its default, as for every other name.
        marked = ["step_size"]
    if len(marked) != 1:
        raise InputError(
            f"exactly one of {', '.join(SOLVABLE)}, or else step_size, must be None, the unknown, got "
            f"{' and '.join(marked) or 'none'}; what is left out has its default"
        )
    unknown = marked[0]
    options = {name: value for name, value in question.items() if name not in ("preset", "problem")}
    settings = merged(options, preset_name=question.get("preset"), problem_file=question.get("problem"))
    settings.pop(unknown, None)
    for name in ("sigma", "epsilon"):
        if name != unknown and name not in settings:
            raise InputError(f"{name} must be given: it is not the unknown and has no default")
    lengths = [name for name in ("epochs", "steps") if name in settings]
    if unknown in ("epochs", "steps") and lengths:
        raise InputError(f"{lengths[0]} must be left out where {unknown} is the unknown, got {settings[lengths[0]]!r}")
    limits: dict[str, dict[str, float]] = {
        "sigma": {"above": 0},
        "epsilon": {"at_least": 0, "at_most": MAX_EPSILON},
        "delta": {"above": 0, "below": 1},
        "epochs": {"at_least": 0, "at_most": MAX_COUNT},
        "steps": {"at_least": 0, "at_most": MAX_COUNT},
    }
    for name, allowed in limits.items():
        if name in settings:
            number(name, settings[name], **allowed)
    if "extreme" in settings:
        choice("extreme", settings["extreme"], EXTREMES)
        if unknown != "batch_size":
            raise InputError(f"extreme must be left out unless batch_size is the unknown, got {settings['extreme']!r}")
    if unknown in ("learn_epochs", "batch_size", "n", "step_size") and SCHEDULE in settings:
        raise InputError(f"schedule must be left out where {unknown} is the unknown: its phases may say that themselves")
    if unknown in ("batch_size", "n", "group_size") and np.ndim(settings.get("batches", 0)) > 0:
        raise InputError(f"batches must be a word or a position where {unknown} is the unknown: numbers per batch fix it")
    if unknown == "n" and "delta" not in settings:
        raise InputError("delta must be given where n is the unknown: its default 1/n would move with it")
    if unknown not in (*METHODS, "n"):
        default = {} if unknown == "step_size" else {unknown: 1}
        settings.setdefault("delta", assembled(settings | default).accountant.default_delta)
    return unknown, settings


def _own(search: Search) -> float | int:
    """The accountant's own answer, which has to meet the target put back."""
    unknown = search.unknown
    accountant = assembled(search.settings).accountant
    answer = float(accountant.answer(cast(Unknown, unknown), **among(search.settings, *METHODS)))
    value = int(answer) if unknown in ("epochs", "steps") else answer
    if unknown == "sigma":
        return value
    if unknown == "epsilon":
        return max(value, SMALLEST) if value > 0 else value
    if unknown == "delta":
        value = max(value, SMALLEST)
    # Each of the answers is rounded to the safe side, so that there and back may miss by a rounding.
    push = 2.0**-50
    while value < 1 or unknown != "delta":
        if search.meets(value):
            return value
        value = value * (1 + push) if unknown == "delta" else value + 1
        push *= 2
    raise search.unreachable("only delta = 1 is proved, which says nothing")


_SOLVERS: Final[dict[str, Callable[[Search], float]]] = {
    "learn_epochs": solve_learn_epochs,
    "batch_size": solve_batch_size,
    "n": solve_n,
    "group_size": solve_group_size,
    "step_size": solve_step_size,
}
