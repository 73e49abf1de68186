"""The options that every computing command shares, made from the dataclasses they fill."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any, Final

import typer

from accountant.bounds import BOUNDS
from accountant.commands import choices, paths
from accountant.commands.words import Stated, loss_parameters
from accountant.numerics import InputError, number, truth, typed_count, typed_delta, typed_number
from accountant.problem import (
    ADJACENCIES,
    ASSIGNMENTS,
    CONVERGED,
    LAST_BATCH,
    MATCHED,
    PNSGD,
    PRESETS,
    RANDOM,
    RESHUFFLE,
    STARTS,
    STEPPING,
    UNITS,
    WORST,
    Problem,
    Stepping,
)
from accountant.questions import (
    ALGORITHM,
    BATCHES,
    DEFAULT,
    KEYS,
    SCHEDULE,
    STEP_KEYS,
    TARGET,
    Loaded,
    Setup,
    StepAccountant,
    UnlearningAccountant,
    check_complete,
    load,
    merged,
    step_schedule,
    stepping_of,
)


def _parser(convert: Callable[[str], Any], *words: str) -> Callable[[str], Any]:
    """Text to a number, or a refusal that says what was got; words pass, as does the one that restores a default."""

    def parse(text: str) -> Any:
        if not isinstance(text, str) or text in (DEFAULT, *words):
            return text
        try:
            return convert(text)
        except ValueError as error:
            raise typer.BadParameter(f"it must be {error}, got {text!r}") from None

    return parse


def _truth(text: str) -> bool:
    try:
        return truth("it", text)
    except InputError:
        raise ValueError("yes or no") from None


#: Parsers that say what they got; typer's own do not.
NUMBER: Final[dict[str, Any]] = {"parser": _parser(typed_number), "metavar": "NUMBER"}
COUNT: Final[dict[str, Any]] = {"parser": _parser(typed_count), "metavar": "COUNT"}
#: delta, which may be said by n.
DELTA: Final[dict[str, Any]] = {"parser": _parser(typed_delta), "metavar": "NUMBER|1/n"}
_TRUTH: Final[dict[str, Any]] = {
    "parser": _parser(_truth),
    "metavar": "yes|no",
    "autocompletion": choices.completing(("yes", "no")),
}
_SIZE: Final[dict[str, Any]] = {
    "parser": _parser(typed_count, "full"),
    "metavar": "COUNT|full",
    "autocompletion": choices.completing(("full",)),
}
_KINDS: Final[dict[str, dict[str, Any]]] = {
    "n": COUNT,
    "smoothness": NUMBER,
    "strong_convexity": NUMBER,
    "lipschitz": NUMBER,
    "batch_size": _SIZE,
    "adjacency": choices.closed(*ADJACENCIES),
    "last_batch": choices.closed(*LAST_BATCH),
    "assignment": choices.closed(*ASSIGNMENTS),
    "rounding": choices.closed(*UNITS),
    "bound": choices.closed(*BOUNDS),
    "batches": choices.closed(RANDOM, WORST, RESHUFFLE, other="POSITION"),
    "reference": choices.closed(MATCHED, CONVERGED, other="COUNT"),
    "start": choices.closed(*STARTS),
    ALGORITHM: choices.closed(BATCHES, *STEPPING),
    "step_size": NUMBER,
    "radius": NUMBER,
    "public_share": NUMBER,
    "norm_class": NUMBER,
    "learn_epochs": COUNT,
    "dimension": COUNT,
    "largest_n": COUNT,
    "redraw": _TRUTH,
    "rounding_share": NUMBER,
    "group_size": COUNT,
    **dict.fromkeys(
        ("start_clip", "model_clip", "weight_decay", "gradient_clip", "hoelder_constant", "hoelder_exponent"), NUMBER
    ),
    "clip_first": _TRUTH,
}
#: The panel of options that only algorithms have whose steps both runs share.
_STEPPING: Final = f"{choices.EXPERTS}: fine-tuning and other common steps"
#: Options that --help leaves to --help-all.
_FOR_EXPERTS: Final = (
    "adjacency", "last_batch", "assignment", "largest_n", "redraw", "rounding", "dimension", "rounding_share", "bound",
    "reference", "public_share", "norm_class",
)  # fmt: skip
#: Options that are shorter than the field they fill.
_SPELLED: Final = {"rounding": "float", "rounding_share": "float-share"}
_ACCOUNTANT_HELP: Final = {
    "bound": f"One of {', '.join(BOUNDS)}; default optimal.",
    "batches": "random (averaged over the batch order), worst (any order), reshuffle (a fresh order in every epoch of "
    "learning), or the position of the deleted point's batch from 0; default random for optimal, worst for the published "
    "bounds.",
    "reference": "What retraining means: matched, converged, or a number of retraining epochs; default matched.",
    "group_size": "Points deleted at once, 1 to n; default 1.",
}
SigmaOption = Annotated[
    float,
    typer.Option(**NUMBER, help="Noise sigma > 0; every step adds N(0, 2 eta sigma^2 I), of common steps N(0, sigma^2 I)."),
]
EpsilonOption = Annotated[float, typer.Option(**NUMBER, help="epsilon >= 0 of the guarantee.")]
DeltaOption = Annotated[float | None, typer.Option(**DELTA, help="delta in (0, 1) of the guarantee; default 1/n.")]
EpochsOption = Annotated[int | None, typer.Option(**COUNT, help="Unlearning epochs K >= 0 (or give --steps).")]
StepsOption = Annotated[int | None, typer.Option(**COUNT, help="Unlearning steps N >= 0 (or give --epochs).")]
PrecisionOption = Annotated[
    int | None,
    typer.Option(
        **COUNT,
        help="Also give the answer to this many correct digits, 1 to 1000: proved with the extra certify, else by mpmath.",
        rich_help_panel=choices.EXPERTS,
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Also tell all that the answer rests on, and how it was found.")]


def _print_version(value: bool) -> None:
    if value:
        from accountant._version import __version__

        print(__version__)
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]


@dataclass(frozen=True)
class Shared:
    """What the shared options said."""

    #: Options as given, None where they were not.
    options: dict[str, Any]
    preset: str | None
    problem: str | None
    json: bool
    #: Whether everything is told that an answer rests on, and how it was found.
    verbose: bool = False
    #: The call, for what of it can be typed again.
    context: typer.Context | None = None

    @cached_property
    def _loaded(self) -> Loaded:
        return load(self.options, preset_name=self.preset, problem_file=self.problem)

    @property
    def accountant(self) -> UnlearningAccountant:
        return self._loaded.accountant

    @property
    def target(self) -> dict[str, float]:
        """Those of sigma, epsilon and delta that the problem file says."""
        return {name: number(name, value, at_least=0) for name, value in self.settings.items() if name in TARGET}

    @property
    def settings(self) -> dict[str, Any]:
        """Preset or problem file and options together, without building anything of them."""
        return merged(self.options, preset_name=self.preset, problem_file=self.problem)

    @cached_property
    def stepping(self) -> Stepping | None:
        """The algorithm whose steps both runs share, where the settings name one."""
        return stepping_of(self.settings, scheduled=True)

    @cached_property
    def step_accountant(self) -> StepAccountant:
        """The accountant of that algorithm."""
        assert self.stepping is not None
        accountant = StepAccountant(self.stepping, schedule=step_schedule(self.settings))
        accountant.check()
        return accountant

    @cached_property
    def setup(self) -> Setup:
        """What the settings say of the run, for methods that need not be a bound of the accountant."""
        settings = self.settings
        for name in ("bound", SCHEDULE):
            if name in settings:
                raise InputError(f"{name} must be left out: every method has its own")
        stepping_of(settings)
        check_complete(settings)
        return Setup.of(settings)

    @cached_property
    def stated(self) -> Stated:
        """What the constants rest on."""
        return Stated(self.settings)

    @property
    def named(self) -> str | None:
        """The preset, of the option or of the problem file."""
        return self.stated.preset

    @property
    def own(self) -> dict[str, Any]:
        """The settings without those that the preset's name stands for."""
        return merged(self.options, problem_file=self.problem)


def check_told(name: str, *, closed: bool = False, **question: Any) -> None:
    """InputError where a question about common steps leaves out steps or delta; name: the algorithm's.

    closed: whether a schedule says the number of steps.
    """
    if "steps" in question and question["steps"] is None and not closed:
        raise InputError("steps must be given: the number of noisy steps")
    if "delta" in question and question["delta"] is None:
        raise InputError(f"delta must be given for {name}: there is no n, and so no default 1/n")
    if isinstance(question.get("delta"), str):
        raise InputError(f"delta must be a number for {name}, which has no n, got {question['delta']!r}")


def shared_parameters(*, without: tuple[str, ...] = ()) -> list[inspect.Parameter]:
    helps = {f.name: f.metadata["help"] for kind in (Problem, PNSGD) for f in fields(kind) if "help" in f.metadata}
    helps |= _ACCOUNTANT_HELP
    panels = {name: part.capitalize() for part, names in KEYS.items() for name in names}
    helps[ALGORITHM] = f"What runs: {BATCHES} (noisy SGD on batches), {', '.join(STEPPING)}; default {BATCHES}."
    for kind_ in STEPPING.values():
        helps |= {f.name: f.metadata["help"] for f in fields(kind_) if f.name in STEP_KEYS}
    panels |= {ALGORITHM: "Algorithm"} | dict.fromkeys(STEP_KEYS, _STEPPING) | dict.fromkeys(_FOR_EXPERTS, choices.EXPERTS)
    annotations: list[tuple[str, Any, Any]] = [
        (
            "preset",
            Annotated[
                str | None,
                typer.Option(**choices.closed(*PRESETS), help="A published problem.", rich_help_panel="Problem"),
            ],
            None,
        ),
        (
            "problem",
            Annotated[
                str | None,
                typer.Option(
                    metavar="FILE",
                    autocompletion=choices.problem_files,
                    help="TOML file with the keys of these options. Each option overrides it; the value default sets one back.",
                    rich_help_panel="Problem",
                ),
                paths.Read(),
            ],
            None,
        ),
    ]
    annotations += loss_parameters(NUMBER, COUNT)
    for name, help_ in helps.items():
        if name in without:
            continue
        kind = _KINDS.get(name, {"metavar": "TEXT"})
        spelled = "--" + _SPELLED.get(name, name.replace("_", "-"))
        option = typer.Option(spelled, **kind, help=help_, rich_help_panel=panels[name])
        type_ = Any if name in _KINDS else str | None
        annotations.append((name, Annotated[type_, option], None))
    json_option = typer.Option("--json", help="Print one JSON object instead of a table.")
    annotations.append(("json", Annotated[bool, json_option], False))
    annotations.append(("verbose", VerboseOption, False))
    keyword = inspect.Parameter.KEYWORD_ONLY
    made = [inspect.Parameter(name, keyword, default=default, annotation=kind) for name, kind, default in annotations]
    return [*made, inspect.Parameter("context", keyword, annotation=typer.Context)]
