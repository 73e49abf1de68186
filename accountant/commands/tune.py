"""``accountant tune``: batch size, regularisation, learning and noise from public constants, beside what requests then cost."""

from __future__ import annotations

import csv as csv_module
import json as json_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import choices, drawings, files, layout, paths, pictures, present
from accountant.commands.options import COUNT, NUMBER
from accountant.numerics import InputError, all_bytes, choice, digits

if TYPE_CHECKING:
    from accountant.problem import LossConstants
    from accountant.requests import Tried, Tuned, TunedSetting

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
InterceptOption = Annotated[
    bool, typer.Option("--intercept", help="A constant feature 1 is added, as the estimators do: rows have norm sqrt(B^2 + 1).")
]
ClipOption = Annotated[float | None, typer.Option(**NUMBER, help="Bound on the norm of a row's gradient; for ridge.")]
EpsilonOption = Annotated[float, typer.Option(**NUMBER, help="epsilon >= 0 of the guarantee after every request.")]
DeltaOption = Annotated[float | None, typer.Option(**NUMBER, help="delta in (0, 1) of the guarantee; default 1/n.")]
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
PenaltyOption = Annotated[str, typer.Option(metavar="LIST", help=f"lambda of lambda/2 ||w||^2; {_LIST}.")]
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
AdjacencyOption = Annotated[
    str, typer.Option(**choices.closed("remove", "replace", "zero-out"), help="What a deletion does; zero-out: of a partition.")
]
AssignmentOption = Annotated[
    str, typer.Option(**choices.closed("secret", "partition"), help="secret: each record draws its batch.")
]
LargestOption = Annotated[int | None, typer.Option(**COUNT, help="Records ever in, at most; own draws; default 1.1 n.")]
RadiusOption = Annotated[float | None, typer.Option(**NUMBER, help="R > 0 of the ball projected on; default: no projection.")]
FloatOption = Annotated[
    str | None, typer.Option("--float", **choices.closed("float64", "float32"), help="Count rounding; needs --dimension.")
]
DimensionOption = Annotated[int | None, typer.Option(**COUNT, help="Parameters of the model, for rounding.")]
BatchesOption = Annotated[str, typer.Option(**choices.closed("random", "worst"), help="random: the draws are secret.")]
ExactOption = Annotated[bool, typer.Option("--exact", help="Answer every request of every setting; takes long.")]
CsvOption = Annotated[str | None, typer.Option(metavar="FILE", help="Write every setting to a CSV file."), paths.Written()]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Draw noise, or score, against cost: .png or .svg."), paths.Written()
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
    intercept: InterceptOption = False,
    clip: ClipOption = None,
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
    json: JsonOption = False,
) -> None:
    """Settings from public constants: the noise that stays in the model against what requests cost, and which to take.

    Example: accountant tune --n 250000 --feature-bound 1 --epsilon 1 --delta 1e-6 --requests 20/week --for 1y
    """
    from accountant.requests import tune as tuned

    pictures.check(plot)
    constants = _loss(loss, feature_bound, intercept, clip)
    lists = {
        "batch_size": _listed("batch_size", batch_size, int, "full"),
        "regularisation": _listed("regularisation", regularisation, float),
        "learn_epochs": _listed("learn_epochs", learn_epochs, int),
        "share": _listed("share", share, float),
    }
    marks = None if scores is None else _read_scores(scores)
    with files.replacing("csv", csv) as rows_file, files.replacing("plot", plot) as picture:
        with files.progress("tuning") as progress:
            made = tuned(
                loss=constants, n=n, epsilon=epsilon, delta=delta, requests=requests, over=for_, window=window, **lists,
                step_size="auto" if step_size is None else step_size, scores=marks, adjacency=adjacency, assignment=assignment,
                largest_n=largest_n, radius=radius, rounding=float_, dimension=dimension, batches=batches, exact=exact,
                over_name="for", progress=progress,
            )  # fmt: skip
        result = _record(made, requests, for_, scored=marks is not None, delta_is_default=delta is None)
        if rows_file is not None:
            files.write_rows(rows_file, result["settings"])
        if plot is not None and picture is not None:
            drawings.tuned(picture, pictures.kind(plot), made)
    if json:
        print(json_module.dumps(result, allow_nan=False))
        return
    _show(made, result)


def _loss(name: str, feature_bound: float, intercept: bool, clip: float | None) -> LossConstants:
    from math import hypot

    from accountant.problem import LOSS_CONSTANTS

    made = LOSS_CONSTANTS[choice("loss", name, tuple(LOSS_CONSTANTS))]
    # A bound that is none is refused as it was typed.
    checked = made(regularisation=0.0, feature_bound=feature_bound, clip=clip)
    return made(regularisation=0.0, feature_bound=hypot(feature_bound, 1.0), clip=clip) if intercept else checked


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


def _show(made: Tuned, result: dict[str, Any]) -> None:
    screen = layout.console()
    screen.print("No setting is better in everything", style="italic")
    screen.print(_table(made))
    told = (
        "noise: standard deviation that stays in a coordinate of the model; /request and in all: gradient evaluations in epochs"
    )
    told += " of the data, in all with learning"
    screen.print(f"{told}; merged: in all where those of a window go together" if made.window else told)
    screen.print("Chosen", style="italic")
    screen.print(layout.facts(_facts(made, result)))
    if made.refused:
        screen.print("[bold]Refused[/bold]")
        for line in _refusals(made):
            screen.print(layout.bullet(line))
    screen.print("[bold]Assumptions[/bold]")
    for line in result["assumptions"]:
        screen.print(layout.bullet(line))


def _table(made: Tuned) -> layout.Grid:
    scored = any(row.score is not None for row in made.front)
    titles = ["lambda", "batch", "epochs", "sigma", "noise", "/request", "in all"]
    titles += [*(["merged"] if made.window is not None else []), *(["score"] if scored else [])]
    table = layout.numbers(titles)
    for row in made.front:
        setting, n = row.setting, made.question.n
        cells = [digits(setting.regularisation, 3), str(setting.batch_size), str(setting.learn_epochs)]
        cells += [digits(setting.sigma, 4), digits(setting.noise, 3)]
        cells += [digits(cost / n, 3) for cost in (setting.gradient_evaluations_per_request, row.evaluations_in_all)]
        if made.window is not None:
            merged = None if row.merged is None else (row.merged + setting.learning_gradient_evaluations) / n
            cells.append(present.rough(merged, 3))
        if scored:
            cells.append("-" if row.score is None else f"{row.score:.4g}")
        table.add_row(*cells)
    return table


def _facts(made: Tuned, result: dict[str, Any]) -> list[tuple[str, str]]:
    best: TunedSetting = made.chosen
    chosen, count = result["chosen"], present.plural(best.requests, "request")
    rows = [
        present.guarantee_row(result),
        ("batch size", f"{best.batch_size} of {made.question.n} records, step size {digits(best.step_size)}"),
        ("regularisation", digits(best.regularisation)),
        ("learning", f"{present.plural(best.learn_epochs, 'epoch')} of {best.algorithm.steps_per_epoch} steps"),
        ("noise sigma", f"{digits(best.sigma, 10)}; {digits(best.noise, 3)} stays in the model"),
        ("a request", f"{best.steps_per_request:.6g} steps on average, {best.last_steps:g} the last of {count}"),
        ("requests", f"{chosen['fits']:.4g} fits in all"),
    ]
    if chosen["redraw"]:
        rows.append(("batches", "own draws: redraw the key at the start until none is too large"))
    if best.warning:
        rows.append(("warning", best.warning))
    return rows


def _refusals(made: Tuned) -> list[str]:
    """Each reason once, with the settings that it is of."""
    reasons: dict[str, list[Tried]] = {}
    for row in made.refused:
        reasons.setdefault(str(row.setting.refused), []).append(row)
    lines = []
    for reason, rows in reasons.items():
        named = sorted({(row.setting.batch_size, row.setting.regularisation, row.setting.learn_epochs) for row in rows})
        told = "; ".join(f"batch {size}, lambda {penalty:g}, {epochs} epochs" for size, penalty, epochs in named[:4])
        more = f"; and {len(named) - 4} more" if len(named) > 4 else ""
        lines.append(f"{told}{more}: {reason}")
    return lines
