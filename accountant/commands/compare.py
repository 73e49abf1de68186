"""``accountant compare``: the methods side by side at one guarantee."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import choices, drawings, files, layout, paths, pictures, present
from accountant.commands.options import COUNT, NUMBER, DeltaOption, EpsilonOption, PrecisionOption, Shared
from accountant.numerics import InputError, digits, integer, number
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
    int | None, typer.Option(**COUNT, help="Length of the stream of requests, default 100; 0: leave it out.")
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
PlotOption = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Draw noise against epochs, and cost against requests: a .png or .svg file."),
    paths.Written(),
]
_REQUESTS: Final = 100
#: First columns of every table.
_COLUMNS: Final = ("method", "batch", "sigma", "noise in\nmodel")
_MOST_REQUESTS: Final = 100_000


def compare(
    shared: Shared,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    epochs: LengthOption = None,
    steps: StepsOption = None,
    requests: RequestsOption = None,
    sigma: NoiseOption = None,
    unit: UnitOption = "epochs",
    method: MethodOption = None,
    plot: PlotOption = None,
    precision: PrecisionOption = None,
) -> None:
    """What every method takes for the same (epsilon, delta): noise, steps, cost, accuracy where reported, and assumptions.

    For one request, for --group-size points at once, and for a stream of such requests one after the other.

    Example: accountant compare --preset mnist --epsilon 1 --epochs 1
    """
    from accountant.methods import SINGLE, STREAMS, compare_streams, method_of
    from accountant.methods import compare as compare_methods
    from accountant.tables import reported_accuracy

    present.check_precision(precision)
    if steps is not None:
        raise InputError(f"steps must be left out for {BATCHES}, whose methods are compared at whole epochs; give --epochs")
    epochs = 1 if epochs is None else epochs
    setup = shared.setup
    pictures.check(plot)
    for name in method or []:
        method_of(name)
    most = min(_MOST_REQUESTS, setup.problem.n // setup.group_size)
    count = min(_REQUESTS, most) if requests is None else integer("requests", requests, at_least=0, at_most=most)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    target: dict[str, Any] = {"epsilon": number("epsilon", epsilon, at_least=0), "delta": chance}
    chosen = method or SINGLE
    with files.replacing("plot", plot) as picture, files.progress("comparing") as progress:
        question = {**target, "epochs": epochs, "methods": chosen, "reported": reported_accuracy}
        single = compare_methods(setup.with_(group_size=1), **question)
        group = [] if setup.group_size == 1 else compare_methods(setup, **question)
        noise = _stream_noise(setup, target, sigma, count)
        streams: list[ComparedStream] = []
        if count and noise is not None:
            among = [name for name in (*STREAMS, "partition") if name in method] if method else STREAMS
            streams = compare_streams(setup, **target, sigma=noise, requests=count, unit=unit, methods=among, progress=progress)
        if picture is not None and plot is not None:
            names = [row.method for row in single if row.method not in ("dp", "retrain")]
            drawings.comparison(picture, pictures.kind(plot), setup, target, epochs, names, streams, noise or 0.0)
    result = {
        **_record(shared, setup, target, default=delta is None),
        "methods": [row.to_dict() for row in single],
        "group": {"points": setup.group_size, "methods": [row.to_dict() for row in group]} if group else None,
        "stream": {"sigma": noise, "requests": count, "methods": [row.to_dict() for row in streams]} if streams else None,
    }
    if precision is not None:
        result["precision"] = _precise(setup.with_(group_size=1), single, target, epochs, precision)
    if shared.json:
        print(json.dumps(result, allow_nan=False))
        return
    _show(setup, result, single, group, streams)


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
        "problem": {"preset": shared.preset, **setup.problem.to_dict()},
        "algorithm": {**setup.algorithm.to_dict(), "steps_per_epoch": setup.algorithm.steps_per_epoch},
        "version": __version__,
    }


def _show(
    setup: Setup,
    result: dict[str, Any],
    single: list[Compared],
    group: list[Compared],
    streams: list[ComparedStream],
) -> None:
    screen = layout.console()
    for who, rows in (("one point", single), (f"{setup.group_size} points at once", group)):
        if rows:
            screen.print(f"One request, {who}: what gives {present.guarantee_row(result)[1]}", style="italic")
            screen.print(_of_requests(rows))
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
        screen.print(_of_streams(streams))
    screen.print(
        "noise in model: standard deviation per coordinate of all noise in the released model, at most; this can be compared, "
        "while sigma means what its method says. accuracy: reported for MNIST at this noise, within 5 %. Methods on the full "
        "batch run there, after converged learning and without projection, whatever the options say of noisy SGD."
    )
    for row in single:
        screen.print(layout.bullet(f"{row.method}: {row.title}; proves {row.proves}; {row.noise}"))
    silent = {row.method: row.reason for row in [*single, *group] if row.reason is not None}
    silent |= {f"{row.method}, stream": row.reason for row in streams if row.reason is not None}
    if silent:
        screen.print("[bold]Without an answer[/bold]")
    for name, reason in silent.items():
        screen.print(layout.bullet(f"{name}: {reason}"))
    show_assumptions(screen, [(row.method, row.assumptions) for row in single])


def _of_requests(rows: list[Compared]) -> layout.Grid:
    """A table of the methods, for one request."""
    table = layout.numbers([*_COLUMNS, "epochs", "gradients", "of\nretraining", "accuracy\nreported"], names=1)
    for row in rows:
        accuracy = "-" if row.accuracy is None else f"{row.accuracy[0]:.3f}"
        table.add_row(
            row.method, str(row.batch_size), present.rough(row.sigma), present.rough(row.released_std), _count(row.epochs),
            _count(row.gradient_evaluations), _share(row.relative), accuracy,
        )  # fmt: skip
    return table


def _of_streams(rows: list[ComparedStream]) -> layout.Grid:
    """A table of the methods, for all requests of a stream."""
    table = layout.numbers([*_COLUMNS, "epochs\nin all", "gradients\nin all", "of retraining\nevery time"], names=1)
    for row in rows:
        done = row.reason is None
        table.add_row(
            row.method, str(row.batch_size), present.rough(row.sigma), present.rough(row.released_std),
            _count(row.epochs[-1] if done else None), _count(row.gradient_evaluations[-1] if done else None),
            _share(row.relative),
        )  # fmt: skip
    return table


def show_assumptions(screen: Console, rows: list[tuple[str, tuple[str, ...]]]) -> None:
    """Every line of methods by name once, under the methods that it is about."""
    screen.print("[bold]Assumptions[/bold]")
    methods: dict[str, list[str]] = {}
    for name, lines in rows:
        for line in lines:
            methods.setdefault(line, []).append(name)
    for names in dict.fromkeys(tuple(names) for names in methods.values()):
        screen.print(f"{', '.join(names)}:")
        for line, those in methods.items():
            if tuple(those) == names:
                screen.print(layout.bullet(line))


def _count(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) and value < 10**9 else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"
