"""``accountant compare``: the methods side by side at one guarantee."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import (
    choices,
    drawings,
    field,
    files,
    layout,
    origin,
    page_compare,
    paths,
    present,
    renamed,
    telling,
    writing,
)
from accountant.commands.compare_words import answer, of_requests, of_streams, refusals, rows_for_csv, show_assumptions, shown
from accountant.commands.expecting import ForOption, number_of
from accountant.commands.following import following
from accountant.commands.options import COUNT, NUMBER, DeltaOption, EpsilonOption, PrecisionOption, Shared
from accountant.numerics import InputError, digits, number
from accountant.questions import BATCHES

if TYPE_CHECKING:
    from rich.console import Console

    from accountant.methods import Compared, ComparedStream
    from accountant.questions import Setup

LengthOption = Annotated[int | None, typer.Option(**COUNT, help="Unlearning epochs K of every method, from 0; default 1.")]
StepsOption = Annotated[
    int | None, typer.Option(**COUNT, help="Noisy steps of every method, from 1, for algorithms that have no epochs.")
]
RequestsOption = Annotated[
    str | None,
    typer.Option(
        metavar="COUNT|RATE", help="Length of the stream of requests, or a rate (with --for); default 100; 0: leave it out."
    ),
]
NoiseOption = Annotated[
    float | None,
    typer.Option(**NUMBER, help="sigma of noisy SGD in the stream; default what the published bound needs for one request."),
]
UnitOption = Annotated[
    str, typer.Option(**choices.closed("steps", "epochs"), help="Unlearn single steps or whole epochs; default epochs.")
]
MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices.completing(choices.methods),
        help=f"Only this method: {', '.join(choices.METHODS)}; may be given often.",
    ),
]
#: What is written of a comparison.
KINDS: Final = (*writing.ROWS_AND_PICTURES, "html")
OutputOption = Annotated[list[str] | None, writing.option(*KINDS), writing.FILES]
AllOption = Annotated[
    bool, typer.Option("--all", help="The field in one table: every method and bound, what it covers, gaps with their reason.")
]
PlotOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", hidden=True, help="As -o FILE.svg."),
    paths.Written(),
    renamed.Old("-o FILE.svg"),
]
_REQUESTS: Final = 100
_MOST_REQUESTS: Final = 100_000


def compare(
    shared: Shared,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    epochs: LengthOption = None,
    steps: StepsOption = None,
    requests: RequestsOption = None,
    for_: ForOption = None,
    sigma: NoiseOption = None,
    unit: UnitOption = "epochs",
    method: MethodOption = None,
    plot: PlotOption = None,
    precision: PrecisionOption = None,
    output: OutputOption = None,
    all: AllOption = False,
) -> None:
    """What every method takes for the same (epsilon, delta): noise, steps, cost, accuracy where reported, and assumptions.

    For one request, for --group-size points at once, and for a stream of such requests one after the other.

    Example: accountant compare --preset mnist --epsilon 1 --epochs 1

    Every method that is known here: accountant compare --preset mnist --epsilon 1 --requests 0 --all
    """
    from accountant.methods import FIELD, SINGLE, STREAMS, compare_streams, method_of
    from accountant.methods import compare as compare_methods
    from accountant.tables import reported_accuracy

    present.check_precision(precision)
    if steps is not None:
        raise InputError(f"steps must be left out for {BATCHES}, whose methods are compared at whole epochs; give --epochs")
    epochs = 1 if epochs is None else epochs
    setup = shared.setup
    writing.check(output, KINDS)
    for name in method or []:
        method_of(name)
    most = min(_MOST_REQUESTS, setup.problem.n // setup.group_size)
    count = min(_REQUESTS, most) if requests is None else number_of(requests, for_, least=0, most=most)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    target: dict[str, Any] = {"epsilon": number("epsilon", epsilon, at_least=0), "delta": chance}
    chosen = method or (FIELD if all else SINGLE)
    with writing.writing(output, KINDS, plot=plot) as targets:
        with files.progress("comparing", counted=False) as progress:
            question = {**target, "epochs": epochs, "methods": chosen, "reported": reported_accuracy}
            single = compare_methods(setup.with_(group_size=1), **question)
            group = [] if setup.group_size == 1 else compare_methods(setup, **question)
            noise = _stream_noise(setup, target, sigma, count)
            streams: list[ComparedStream] = []
            if count and noise is not None:
                among = [name for name in (*STREAMS, "partition") if name in method] if method else STREAMS
                asked = {**target, "sigma": noise, "requests": count, "unit": unit, "methods": among}
                streams = compare_streams(setup, **asked, progress=progress)
        result = {
            **_record(shared, setup, target, default=delta is None),
            "methods": [row.to_dict() for row in single],
            "group": {"points": setup.group_size, "methods": [row.to_dict() for row in group]} if group else None,
            "stream": {"sigma": noise, "requests": count, "methods": [row.to_dict() for row in streams]} if streams else None,
        }
        if precision is not None:
            result["precision"] = _precise(setup.with_(group_size=1), single, target, epochs, precision)
        result["to_check"] = _to_check(setup, single[0]) if single else []
        result["next"] = following("sigma", shared.context, without=_OF_COMPARISONS, epochs=epochs)
        names = [row.method for row in single if row.method not in ("dp", "retrain")]
        writing.write(
            targets, lambda: result, rows=lambda: rows_for_csv(single, streams),
            picture=lambda part, kind: drawings.comparison(part, kind, setup, target, epochs, names, streams, noise or 0.0),
            more={"html": lambda part: page_compare.save(
                part, result, told=f"{answer(result, single)}.", setup=setup, epochs=epochs,
                files=origin.read(problem=shared.problem),
            )},
        )  # fmt: skip
    if shared.json:
        print(json.dumps(result, allow_nan=False))
        return
    everything = all or bool(method)
    _show(shared, setup, result, *(shown(rows, everything=everything) for rows in (single, group, streams)), field_too=all)


#: Options that only comparisons have.
_OF_COMPARISONS: Final = ("requests", "sigma", "unit", "method", "plot", "all", "bound")


def _to_check(setup: Setup, row: Compared) -> list[str]:
    """What the user is to make true of a row, with the noise of its steps where it is noisy SGD as asked."""
    from accountant.bounds import to_check

    own = row.sigma if row.method == "optimal" else None
    noise = [] if own is None else [telling.noise_line(setup.algorithm.noise_std(own))]
    return [*noise, *to_check(row.assumptions)]


def _precise(setup: Setup, rows: list[Compared], target: dict[str, Any], epochs: int, precision: int) -> dict[str, Any]:
    """sigma of one request to so many digits under every bound of noisy SGD; null for the other methods' own formulas."""
    from accountant.methods import enclosed_sigma

    found: dict[str, str | None] = {}
    for row in rows:
        known = row.sigma is not None
        question = {"digits": precision, "epochs": epochs, **target}
        found[row.method] = enclosed_sigma(row.method, setup, **question) if known else None
    return {**present.kind(precision), "sigma": found}


def _stream_noise(setup: Setup, target: dict[str, Any], sigma: float | None, requests: int) -> float | None:
    """The stream's sigma: as given, or what the published bound needs for one request and one epoch; None: no stream."""
    from accountant.methods import compare as compare_methods
    from accountant.methods import drawn_as

    if sigma is not None:
        return number("sigma", sigma, above=0)
    if not requests:
        return None
    # The published bound is about a partition.
    published = compare_methods(drawn_as("partition", setup), **target, epochs=1, methods=["paper"])[0]
    if published.sigma is None:
        return None
    # A round number, so that it can be typed in again.
    return float(digits(published.sigma, 2))


def _record(shared: Shared, setup: Setup, target: dict[str, Any], *, default: bool) -> dict[str, Any]:
    from accountant._version import __version__
    from accountant.methods import retrain_evaluations

    return {
        "command": "compare",
        **target,
        "delta_is_default": default,
        "group_size": setup.group_size,
        "retrain_gradient_evaluations": retrain_evaluations(setup),
        "problem": {"preset": shared.named, **setup.problem.to_dict()},
        "constants": shared.stated.to_dict(),
        "algorithm": {**setup.algorithm.to_dict(), "steps_per_epoch": setup.algorithm.steps_per_epoch},
        "version": __version__,
    }


def _show(
    shared: Shared,
    setup: Setup,
    result: dict[str, Any],
    single: list[Compared],
    group: list[Compared],
    streams: list[ComparedStream],
    *,
    field_too: bool,
) -> None:
    screen = layout.console()
    screen.print(layout.text(f"{answer(result, single)}.", style="bold"))
    for who, rows in (("one point", single), (f"{setup.group_size} points at once", group)):
        if rows:
            screen.print(f"One request, {who}", style="italic")
            screen.print(of_requests(rows))
    if "precision" in result:
        block = result["precision"]
        screen.print(f"sigma for one point {present.how(block)}", style="italic")
        for name, value in block["sigma"].items():
            answered = any(row.method == name and row.sigma is not None for row in single)
            screen.print(layout.bullet(f"{name}: {value or ('in doubles only' if answered else 'no answer')}"))
    if streams:
        stream = result["stream"]
        each = "" if setup.group_size == 1 else f" of {setup.group_size} points each"
        requests = present.plural(stream["requests"], "request")
        screen.print(f"A stream of {requests}{each}, noisy SGD with sigma = {stream['sigma']:g}", style="italic")
        screen.print(of_streams(streams))
    screen.print(
        "noise in model: standard deviation per coordinate of all noise in the released model, at most; this can be compared, "
        "while sigma means what its method says."
    )
    if field_too:
        field.show(screen, result["methods"])
    for row in single:
        more = f"; {row.noise}" if shared.verbose else ""
        said = field.told(row.to_dict()) if field_too else f"{row.method}: {row.title}"
        proved = f"; proves {row.proves}" if shared.verbose and not field_too else ""
        screen.print(layout.bullet(f"{said}{proved}{more}"))
    silent = {row.method: row.reason for row in [*single, *group] if row.reason is not None}
    silent |= {f"{row.method}, stream": row.reason for row in streams if row.reason is not None}
    refusals(screen, silent)
    hidden = len(result["methods"]) - len(single)
    if hidden:
        screen.print(f"({hidden} published variants and gaps of these, and what each covers: --all)")
    _closing(shared, screen, single, result)
    telling.next_command(screen, result["next"])


def _closing(shared: Shared, screen: Console, rows: list[Compared], result: dict[str, Any]) -> None:
    """What the rows rest on: all of it, or what is to be checked of the first of them."""
    if shared.verbose:
        screen.print(
            "accuracy: reported for MNIST at this noise, within 5 %. Methods on the full batch run there, after converged "
            "learning and without projection, whatever the options say of noisy SGD."
        )
        show_assumptions(screen, [(row.method, row.assumptions) for row in rows])
        return
    screen.print(f"[bold]For you to check, of {rows[0].method}[/bold]")
    for line in result["to_check"]:
        screen.print(layout.bullet(line))
    screen.print("(--verbose: what every method rests on, and what its sigma is)")
