"""``accountant tune``: batch size, regularisation, learning and noise from public constants, beside what requests then cost."""

from __future__ import annotations

import csv as csv_module
import json as json_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import choices, drawings, files, layout, paths, renamed, telling, words, writing
from accountant.commands.following import following, typed
from accountant.commands.options import COUNT, DELTA, NUMBER, VerboseOption
from accountant.commands.tune_words import show
from accountant.numerics import InputError, all_bytes
from accountant.problem import derive, loss_constants_of

if TYPE_CHECKING:
    from accountant.requests import Tuned

_LIST: Final = "several with commas; default auto"
NOption = Annotated[int, typer.Option(**COUNT, help="Records, n.")]
LossOption = Annotated[
    str,
    typer.Option(
        **choices.closed("logistic", "multinomial", "smoothed-hinge", "ridge"),
        help="logistic, multinomial, smoothed-hinge or ridge (needs --clip).",
    ),
]
BoundOption = Annotated[
    float, typer.Option(**NUMBER, help="Bound on the 2-norm of every row, public; as long rows are scaled down to.")
]
InterceptOption = Annotated[bool | None, typer.Option("--intercept/--no-intercept", help=words.INTERCEPT, show_default=False)]
ClassesOption = Annotated[int | None, typer.Option(**COUNT, help=words.HELP["classes"])]
WidthOption = Annotated[float | None, typer.Option(**NUMBER, help=words.HELP["width"])]
ClipOption = Annotated[float | None, typer.Option(**NUMBER, help="Bound on the norm of a row's gradient; for ridge.")]
EpsilonOption = Annotated[float, typer.Option(**NUMBER, help="epsilon >= 0 of the guarantee after every request.")]
DeltaOption = Annotated[float | None, typer.Option(**DELTA, help="delta in (0, 1) of the guarantee; default 1/n.")]
RequestsOption = Annotated[
    str, typer.Option(metavar="COUNT|RATE", help="Requests of one record each: how many, or a rate, as 20/week (with --for).")
]
ForOption = Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long requests come, as 1y, 30d or 12w.")]
WindowOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Also tell what it costs to process together what comes in such a time (--for)."),
]
SizeOption = Annotated[str, typer.Option(metavar="LIST", help=f"Batch sizes, or full; {_LIST}.")]
StepSizeOption = Annotated[float | None, typer.Option(**NUMBER, help="eta; default 1/smoothness, less for small own draws.")]
PenaltyOption = Annotated[
    str, typer.Option("--regularisation", "--l2", metavar="LIST", help=f"lambda of lambda/2 ||w||^2; {_LIST}.")
]
LengthOption = Annotated[str, typer.Option(metavar="LIST", help=f"Epochs of learning; {_LIST}.")]
ShareOption = Annotated[
    str, typer.Option(metavar="LIST", help="What a request may cost, in fits; several with commas; default 1/160, 1/40, 1/10.")
]
ScoresOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Scores on data that are not learned from: CSV with score and any of batch_size, step_size, regularisation, "
        "learn_epochs, share.",
    ),
    paths.Read(),
]
_EXPERT: Final[dict[str, Any]] = {"rich_help_panel": choices.EXPERTS}
AdjacencyOption = Annotated[
    str,
    typer.Option(
        **_EXPERT, **choices.closed("remove", "replace", "zero-out"), help="What a deletion does; zero-out: of a partition."
    ),
]
AssignmentOption = Annotated[
    str, typer.Option(**_EXPERT, **choices.closed("secret", "partition"), help="secret: each record draws its batch.")
]
LargestOption = Annotated[
    int | None, typer.Option(**_EXPERT, **COUNT, help="Records ever in, at most; own draws; default 1.1 n.")
]
RadiusOption = Annotated[
    float | None, typer.Option(**_EXPERT, **NUMBER, help="R > 0 of the ball projected on; default: no projection.")
]
FloatOption = Annotated[
    str | None,
    typer.Option("--float", **_EXPERT, **choices.closed("float64", "float32"), help="Count rounding; needs --dimension."),
]
DimensionOption = Annotated[int | None, typer.Option(**_EXPERT, **COUNT, help="Parameters of the model, for rounding.")]
BatchesOption = Annotated[
    str, typer.Option(**_EXPERT, **choices.closed("random", "worst"), help="random: the draws are secret.")
]
ExactOption = Annotated[bool, typer.Option("--exact", **_EXPERT, help="Answer every request of every setting; takes long.")]
OutputOption = Annotated[list[str] | None, writing.option(*writing.ROWS_AND_PICTURES), writing.FILES]
CsvOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.csv."), paths.Written(), renamed.Old("-o FILE.csv")
]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.svg."), paths.Written(), renamed.Old("-o FILE.svg")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
_MOST_BYTES: Final = 1 << 24
_SCORES: Final = "the scores are of data that are not learned from: else the choice depends on records that are deleted later"


def tune(
    *,
    n: NOption,
    epsilon: EpsilonOption,
    loss: LossOption = "logistic",
    feature_bound: BoundOption = 1.0,
    intercept: InterceptOption = None,
    clip: ClipOption = None,
    classes: ClassesOption = None,
    width: WidthOption = None,
    delta: DeltaOption = None,
    requests: RequestsOption = "100",
    for_: ForOption = None,
    window: WindowOption = None,
    batch_size: SizeOption = "auto",
    step_size: StepSizeOption = None,
    regularisation: PenaltyOption = "auto",
    learn_epochs: LengthOption = "auto",
    share: ShareOption = "auto",
    scores: ScoresOption = None,
    adjacency: AdjacencyOption = "remove",
    assignment: AssignmentOption = "secret",
    largest_n: LargestOption = None,
    radius: RadiusOption = None,
    float_: FloatOption = None,
    dimension: DimensionOption = None,
    batches: BatchesOption = "random",
    exact: ExactOption = False,
    csv: CsvOption = None,
    plot: PlotOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    context: typer.Context,
) -> None:
    """Settings from public constants: the noise that stays in the model against what requests cost, and which to take.

    Example: accountant tune --n 250000 --feature-bound 1 --epsilon 1 --delta 1e-6 --requests 20/week --for 1y
    """
    from accountant.requests import tune as tuned

    writing.check(output, writing.ROWS_AND_PICTURES)
    found = derive(loss, l2=0.0, feature_bound=feature_bound, intercept=intercept, clip=clip, classes=classes, width=width)
    constants, delta = loss_constants_of(found), words.settled({"delta": delta}, n)["delta"]
    lists = {
        "batch_size": _listed("batch_size", batch_size, int, "full"),
        "regularisation": _listed("regularisation", regularisation, float),
        "learn_epochs": _listed("learn_epochs", learn_epochs, int),
        "share": _listed("share", share, float),
    }
    marks = None if scores is None else _read_scores(scores)
    with writing.writing(output, writing.ROWS_AND_PICTURES, csv=csv, plot=plot) as targets:
        with files.progress("tuning") as progress:
            made = tuned(
                loss=constants, n=n, epsilon=epsilon, delta=delta, requests=requests, over=for_, window=window, **lists,
                step_size="auto" if step_size is None else step_size, scores=marks, adjacency=adjacency, assignment=assignment,
                largest_n=largest_n, radius=radius, rounding=float_, dimension=dimension, batches=batches, exact=exact,
                over_name="--for", progress=progress,
            )  # fmt: skip
        result = _record(made, requests, for_, scored=marks is not None, delta_is_default=delta is None)
        result["constants"] = words.told_of(found)
        result |= {"to_check": _to_check(made, result), "next": _next(made, context, feature_bound, intercept=found.intercept)}
        writing.write(
            targets, lambda: result, rows=lambda: result["settings"],
            picture=lambda part, kind: drawings.tuned(part, kind, made),
        )  # fmt: skip
    if json:
        print(json_module.dumps(result, allow_nan=False))
        return
    with layout.first(words.said_of(found)):
        show(made, result, verbose=verbose)


def _listed(name: str, text: str, convert: Callable[[str], float], *words: str) -> str | list[float | str]:
    """Numbers, or words, with commas between them; "auto" alone."""
    if text == "auto":
        return text
    values: list[float | str] = []
    for part in text.split(","):
        word = part.strip()
        try:
            values.append(word if word in words else convert(word))
        except ValueError:
            kind = "whole numbers" if convert is int else "numbers"
            more = "".join(f" or {each}" for each in words)
            raise InputError(f"{name} must be auto, or {kind}{more}, with commas between them, got {text!r}") from None
    return values


def _read_scores(path: str) -> list[dict[str, float]]:
    """The lines of a CSV file with a header."""
    where = f"scores file {path}"
    try:
        lines = list(
            csv_module.DictReader(all_bytes("scores", path, _MOST_BYTES).decode("utf-8-sig").splitlines(), strict=True)
        )
    except (UnicodeDecodeError, csv_module.Error) as error:
        raise InputError(f"{where} must be CSV text in UTF-8: {error}") from None
    if not lines:
        raise InputError(f"{where} must have a header, such as regularisation,score, and a line per score")
    marks = []
    for at, line in enumerate(lines, start=2):
        try:
            marks.append({str(name).strip(): float(value) for name, value in line.items()})
        except (TypeError, ValueError):
            raise InputError(f"{where}, line {at}: a number must stand in every column of the header") from None
    return marks


def _record(made: Tuned, requests: str, over: str | None, *, scored: bool, delta_is_default: bool) -> dict[str, Any]:
    from accountant._version import __version__
    from accountant.questions import UnlearningAccountant

    question, best = made.question, made.chosen
    accountant = UnlearningAccountant(best.algorithm, batches=question.batches)
    assumptions = [
        "n, the loss, the bounds, epsilon, delta and the number of requests are public constants, not read off the records",
        *accountant.assumptions(),
        "every request is of one record, one after the other, each on the model that the one before it left",
        "sigma is chosen for so many requests; the noise in the model is that of coordinates that the data do not curve",
        *([_SCORES] if scored else []),
    ]
    return {
        "command": "tune",
        "n": question.n,
        "loss": question.loss.name,
        "feature_bound": question.loss.feature_bound,
        "clip": question.loss.clip,
        "epsilon": question.epsilon,
        "delta": question.delta,
        "delta_is_default": delta_is_default,
        "requests": question.requests,
        "rate": requests if "/" in requests else None,
        "for": over,
        "window": made.window,
        "chosen": made.chosen_row.to_dict(),
        "settings": [row.to_dict() for row in made.tried],
        "assumptions": assumptions,
        "algorithm": {**best.algorithm.to_dict(), "steps_per_epoch": best.algorithm.steps_per_epoch},
        "version": __version__,
    }


def _to_check(made: Tuned, result: dict[str, Any]) -> list[str]:
    from accountant.bounds import to_check

    noise = telling.noise_line(made.chosen.algorithm.noise_std(made.chosen.sigma))
    redraw = ["redraw the key at the start until no batch is too large"] if result["chosen"]["redraw"] else []
    return [noise, *redraw, *to_check(result["assumptions"])]


def _next(made: Tuned, context: typer.Context, feature_bound: float, *, intercept: bool) -> str | None:
    """The plan of the requests with what was chosen."""
    best = made.chosen
    algorithm = best.algorithm
    redraw = None if algorithm.redraw is None else "yes" if algorithm.redraw else "no"
    return following(
        "plan", context, without=("share", "scores", "exact", "csv", "plot", "regularisation", "window"),
        loss=made.question.loss.name, l2=best.regularisation, feature_bound=feature_bound, intercept=intercept,
        requests=None if "requests" in typed(context) else made.question.requests, batch_size=best.batch_size,
        step_size=best.step_size, learn_epochs=best.learn_epochs, assignment=algorithm.assignment,
        adjacency=algorithm.problem.adjacency, largest_n=algorithm.largest_n, redraw=redraw, sigma=best.sigma,
    )  # fmt: skip
