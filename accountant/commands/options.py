"""The options that every computing command shares, made from the dataclasses they fill."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any, Final

import typer

from accountant.bounds import BOUNDS
from accountant.commands import paths
from accountant.numerics import InputError, number, truth
from accountant.problem import PNSGD, PRESETS, STEPPING, Problem, Stepping
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


def _parser(convert: Callable[[str], float], what: str) -> Callable[[str], float | str]:
    """Text to a number, or a refusal that says what was got; the word that restores a default passes."""

    def parse(text: str) -> float | str:
        if text == DEFAULT:
            return text
        try:
            return convert(text)
        except ValueError:
            raise typer.BadParameter(f"it must be {what}, got {text!r}") from None

    return parse


def _count_or_word(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


#: Parsers that say what they got; typer's own do not.
NUMBER: Final[dict[str, Any]] = {"parser": _parser(float, "a number"), "metavar": "NUMBER"}
COUNT: Final[dict[str, Any]] = {"parser": _parser(int, "a whole number"), "metavar": "COUNT"}
_TRUTH: Final[dict[str, Any]] = {"parser": _parser(functools.partial(truth, "it"), "yes or no"), "metavar": "yes|no"}
_KINDS: Final[dict[str, dict[str, Any]]] = {
    "n": COUNT,
    "smoothness": NUMBER,
    "strong_convexity": NUMBER,
    "lipschitz": NUMBER,
    "batch_size": {"parser": _count_or_word, "metavar": "COUNT|full"},
    "step_size": NUMBER,
    "radius": NUMBER,
    "learn_epochs": COUNT,
    "dimension": COUNT,
    "largest_n": COUNT,
    "redraw": _TRUTH,
    "rounding_share": NUMBER,
    "group_size": COUNT,
    **dict.fromkeys(("start_clip", "model_clip", "weight_decay", "gradient_clip"), NUMBER),
    "clip_first": _TRUTH,
}
#: The panel of options that only algorithms have whose steps both runs share.
_STEPPING: Final = "Fine-tuning and other common steps"
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
DeltaOption = Annotated[float | None, typer.Option(**NUMBER, help="delta in (0, 1) of the guarantee; default 1/n.")]
EpochsOption = Annotated[int | None, typer.Option(**COUNT, help="Unlearning epochs K >= 0 (or give --steps).")]
StepsOption = Annotated[int | None, typer.Option(**COUNT, help="Unlearning steps N >= 0 (or give --epochs).")]
PrecisionOption = Annotated[
    int | None,
    typer.Option(
        **COUNT,
        help="Also give the answer to this many correct digits, 1 to 1000: proved with the extra certify, else by mpmath.",
    ),
]


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


def _parameters(*, without: tuple[str, ...] = ()) -> list[inspect.Parameter]:
    helps = {f.name: f.metadata["help"] for kind in (Problem, PNSGD) for f in fields(kind) if "help" in f.metadata}
    helps |= _ACCOUNTANT_HELP
    panels = {name: part.capitalize() for part, names in KEYS.items() for name in names}
    helps[ALGORITHM] = f"What runs: {BATCHES} (noisy SGD on batches), {', '.join(STEPPING)}; default {BATCHES}."
    for kind_ in STEPPING.values():
        helps |= {f.name: f.metadata["help"] for f in fields(kind_) if f.name in STEP_KEYS}
    panels |= dict.fromkeys((*STEP_KEYS, ALGORITHM), _STEPPING)
    annotations: list[tuple[str, Any, Any]] = [
        (
            "preset",
            Annotated[
                str | None,
                typer.Option(metavar="NAME", help=f"Published problem: {', '.join(PRESETS)}.", rich_help_panel="Problem"),
            ],
            None,
        ),
        (
            "problem",
            Annotated[
                str | None,
                typer.Option(
                    metavar="FILE",
                    help="TOML file with the keys of these options. Each option overrides it; the value default sets one back.",
                    rich_help_panel="Problem",
                ),
                paths.Read(),
            ],
            None,
        ),
    ]
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
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, keyword, default=default, annotation=kind) for name, kind, default in annotations]


def register(
    app: typer.Typer,
    function: Callable[..., None],
    *,
    needs: str | None = "accountant",
    common: Callable[..., None] | None = None,
) -> None:
    """Add ``function(shared, *, own options)`` to the app, with the shared options beside its own.

    needs: what the shared options must make, an "accountant" or a "setup", before anything else is looked at; None: they need
    not be complete, and the function's own options are all its affair. common: what is called in its place, with the same
    options, for an algorithm whose steps both runs share.
    """
    # Where every method has its own bound, there is none to choose.
    shared = _parameters(without=() if needs == "accountant" else ("bound",))
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    ]
    # A problem file may say the target, so its options are not required until the file has been read.
    required = {p.name for p in own if needs and p.name in TARGET and p.default is inspect.Parameter.empty}
    own = [parameter.replace(default=None) if parameter.name in required else parameter for parameter in own]

    def computed(**values: Any) -> None:
        mine = {parameter.name: values.pop(parameter.name) for parameter in own}
        words = {name: values.pop(name) for name in ("preset", "problem", "json")}
        shared = Shared(values, **words)
        runs = function
        if needs is not None:
            if shared.stepping is None:
                getattr(shared, needs)
            elif common is None:
                raise InputError(f"algorithm must be {BATCHES} for {function.__name__}, got {shared.stepping.name}")
            else:
                runs, _ = common, shared.step_accountant
            mine |= {name: value for name, value in shared.target.items() if name in mine and mine[name] is None}
        mine = {name: None if name in TARGET and value == DEFAULT else value for name, value in mine.items()}
        missing = [name for name in TARGET if name in required and mine[name] is None]
        if missing:
            raise InputError(f"{' and '.join(missing)} must be given: as --{missing[0]}, or as a key of a problem file")
        runs(shared, **mine)

    _add(app, functools.update_wrapper(computed, function), [*own, *shared])


def register_alone(app: typer.Typer, function: Callable[..., None]) -> None:
    """Add ``function`` to the app with its own options only."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    _add(app, function, [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters])


def _add(app: typer.Typer, function: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """A command that refuses bad input in one sentence, and files that are read and written at once before anything else."""
    marked = paths.marks(parameters)

    @functools.wraps(function)
    def command(**values: Any) -> None:
        try:
            paths.check(marked, values)
            function(**values)
        except InputError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None

    # Required options first, as a signature demands; typer reads names, types and defaults from here.
    parameters = sorted(parameters, key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del command.__wrapped__
    app.command()(command)
