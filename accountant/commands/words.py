"""The loss in the user's words as options, and what the constants of an answer rest on, said before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from accountant.commands import choices
from accountant.numerics import PerN, number
from accountant.problem import DERIVED, LAMBDA, LOSS_CONSTANTS, LOSS_WORDS, SHAPES, Derivation, with_constants
from accountant.questions import ALGORITHM, BATCHES, LENGTH, LOSS, TARGET, delta_of

_PANEL: Final = "Loss"
#: Options that --help leaves to --help-all.
_FOR_EXPERTS: Final = ("classes", "width", "target_bound")
HELP: Final = {
    LOSS: f"{', '.join(LOSS_CONSTANTS)}: the constants follow from it, in place of --smoothness, --strong-convexity, "
    "--lipschitz.",
    "l2": "lambda >= 0 of lambda/2 ||w||^2 in every point's loss, over all parameters; 0: none.",
    "feature_bound": "B > 0, bound on the 2-norm of every row, without the intercept's 1.",
    "clip": "C > 0, bound on the norm of the data part of a gradient, by clipping; ridge needs one.",
    "classes": "Classes, from 2; more than 2 make logistic multinomial.",
    "width": "h > 0, width of the smoothed hinge; default 1.",
    "target_bound": "Y >= 0, bound on the targets of ridge; with --radius, in place of --clip.",
}
INTERCEPT: Final = "Whether a constant feature 1 is added to the rows; default: it is, which gives the larger constants."
#: What the first line says where nobody said whether there is an intercept.
TAKEN: Final = (
    "An intercept is counted, which gives the larger constants: --intercept or --no-intercept says whether there is one."
)


def loss_parameters(number: Mapping[str, Any], count: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Name, annotation and default of the options; what typer is told of numbers and of counts."""
    kinds = {LOSS: choices.closed(*SHAPES), "classes": count}
    made: list[tuple[str, Any, Any]] = []
    for name in (LOSS, *LOSS_WORDS):
        if name == "intercept":
            option = typer.Option("--intercept/--no-intercept", help=INTERCEPT, rich_help_panel=_PANEL, show_default=False)
            made.append((name, Annotated[bool | None, option], None))
            continue
        spelled, kind = "--" + name.replace("_", "-"), kinds.get(name, number)
        panel = choices.EXPERTS if name in _FOR_EXPERTS else _PANEL
        option = typer.Option(spelled, **kind, help=HELP[name], rich_help_panel=panel)
        made.append((name, Annotated[Any, option], None))
    return made


class Stated:
    """What the constants of a problem rest on: a loss, a preset, or numbers that were given."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        batches = settings.get(ALGORITHM, BATCHES) == BATCHES
        found = with_constants(settings) if batches else settings
        loss = found.get(LOSS)
        self.derivation = loss if isinstance(loss, Derivation) else None
        self.preset: str | None = settings.get("preset")
        #: Constants that nobody said, by what they are taken as.
        self.taken: dict[str, float] = {}
        if batches and self.derivation is None and self.preset is None and "smoothness" in found:
            self.taken = {name: value for name, value in (("lipschitz", 1.0), ("strong_convexity", 0.0)) if name not in found}

    @property
    def lines(self) -> list[str]:
        """What is said first of an answer; nothing of constants that were all given."""
        if self.derivation is not None:
            first = [] if self.derivation.intercept_given else [TAKEN]
            own = f"{self.derivation.about}: "
            return [*first, f"{own[0].upper()}{own[1:]}{', '.join(self.derivation.lines)}."]
        if "lipschitz" in self.taken:
            return ["M = 1 is taken, for --lipschitz is not given: no data part of a gradient may be longer."]
        return []

    def to_dict(self) -> dict[str, Any]:
        """As JSON types: "loss", "preset" or "given", what follows from what, and what was taken."""
        if self.derivation is not None:
            return told_of(self.derivation)
        return {"from": "given" if self.preset is None else "preset", "taken": list(self.taken)}


def told_of(derivation: Derivation) -> dict[str, Any]:
    """A derivation as JSON types, without the constants, which stand elsewhere."""
    own = {name: value for name, value in derivation.to_dict().items() if name not in DERIVED}
    return {"from": "loss", **own, "taken": [] if derivation.intercept_given else ["intercept"]}


def said_of(derivation: Derivation) -> list[str]:
    """What is said first of constants whose lambda is still to be found."""
    first = [] if derivation.intercept_given else [TAKEN]
    smooth, convex, steep = derivation.lines
    own = f"{derivation.rows}, {LAMBDA}{derivation.everything}" if derivation.intercept else derivation.rows
    formulas = ", ".join([*(line.rpartition(" = ")[0] for line in (smooth, convex)), steep])
    return [*first, f"{own[0].upper()}{own[1:]}: {formulas}."]


def filled(settings: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a problem file says of a command's own options that were not given (None).

    Of the length of unlearning nothing where the call says one, by --epochs, --steps or a file of requests (which a command
    takes that has no --for).
    """
    open_ = {name for name, value in own.items() if value is None}
    found: dict[str, Any] = {
        name: number(name, settings[name], at_least=0) for name in TARGET if name in settings and name in open_
    }
    lasts = all(own[name] is None or own[name] is False for name in LENGTH if name in own)
    if lasts and ("for_" in own or own.get("requests") is None):
        found |= {name: settings[name] for name in LENGTH if name in settings and name in open_}
    # Where requests do not pile up, only a plan has any.
    if "for_" in own and ("window" in own or settings.get(ALGORITHM, BATCHES) == BATCHES):
        if "requests" in open_ and "requests" in settings:
            found["requests"] = str(settings["requests"])
        if own["for_"] is None and "for" in settings and not _counts(own["requests"]):
            found["for_"] = str(settings["for"])
    return found


def _counts(requests: str | None) -> bool:
    """Whether requests are a plain number, or a file, which need no time that they last."""
    return requests is not None and "/" not in requests and " " not in requests.strip()


def settled(own: Mapping[str, Any], n: Any) -> dict[str, Any]:
    """A command's own options with a number for a delta that is said by n, where n is known; else its text."""
    delta = own.get("delta")
    if not isinstance(delta, PerN):
        return dict(own)
    return {**own, "delta": str(delta) if n is None else delta_of(delta, n)}
