"""``accountant compare``: the methods side by side at one guarantee."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import files, pictures, present
from accountant.commands.options import COUNT, NUMBER, DeltaOption, EpsilonOption, PrecisionOption, Shared
from accountant.numerics import InputError, choice, digits, integer, number

if TYPE_CHECKING:
    from accountant.methods import (
        Compared,
        ComparedStream,
    )

LengthOption = Annotated[int, typer.Option(**COUNT, help="Unlearning epochs K of every method, from 0.")]
RequestsOption = Annotated[
    int | None, typer.Option(**COUNT, help="Length of the stream of requests, default 100; 0: leave it out.")
]
NoiseOption = Annotated[
    float | None,
    typer.Option(**NUMBER, help="sigma of noisy SGD in the stream; default what the published bound needs for one request."),
]
UnitOption = Annotated[str, typer.Option(metavar="epochs|steps", help="Whole epochs or single steps in the stream.")]
DimensionOption = Annotated[int | None, typer.Option(**COUNT, help="Parameters of the model, for d2d-open; known for presets.")]
MethodOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Only this method, such as optimal or d2d; may be given often.")
]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Draw noise against epochs, and cost against requests: a .png or .svg file.")
]
#: Epochs on the axis of the picture, at least.
_EPOCHS_DRAWN: Final = 10
_REQUESTS: Final = 100
_MOST_REQUESTS: Final = 100_000


def compare(
    shared: Shared,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    epochs: LengthOption = 1,
    requests: RequestsOption = None,
    sigma: NoiseOption = None,
    unit: UnitOption = "epochs",
    method: MethodOption = None,
    dimension: DimensionOption = None,
    plot: PlotOption = None,
    precision: PrecisionOption = None,
) -> None:
    """What every method takes for the same (epsilon, delta): noise, steps, cost, accuracy where reported, and assumptions.

    For one request, for --group-size points at once, and for a stream of such requests one after the other.

    Example: accountant compare --preset mnist --epsilon 1 --epochs 1
    """
    from accountant.methods import (
        METHODS,
        SINGLE,
        STREAMS,
        compare_streams,
    )
    from accountant.methods import compare as compare_methods

    present.check_precision(precision)
    setup = shared.setup if dimension is None else shared.setup.with_(dimension=integer("dimension", dimension, at_least=1))
    pictures.check(plot)
    for name in method or []:
        choice("method", name, METHODS)
    most = min(_MOST_REQUESTS, setup.problem.n // setup.group_size)
    count = min(_REQUESTS, most) if requests is None else integer("requests", requests, at_least=0, at_most=most)
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    target: dict[str, Any] = {"epsilon": number("epsilon", epsilon, at_least=0), "delta": chance}
    chosen = method or SINGLE
    with files.replacing("plot", plot) as picture, files.progress("comparing") as progress:
        single = compare_methods(setup.with_(group_size=1), **target, epochs=epochs, methods=chosen)
        group = [] if setup.group_size == 1 else compare_methods(setup, **target, epochs=epochs, methods=chosen)
        noise = _stream_noise(setup, target, sigma, count)
        streams: list[ComparedStream] = []
        if count and noise is not None:
            among = [name for name in STREAMS if not method or name in method]
            streams = compare_streams(setup, **target, sigma=noise, requests=count, unit=unit, methods=among, progress=progress)
        if picture is not None and plot is not None:
            names = [row.method for row in single if row.method not in ("dp", "retrain")]
            _draw(picture, Path(plot).suffix[1:].lower(), setup, target, epochs, names, streams, noise or 0.0)
    result = {
        **_record(shared, setup, target, default=delta is None),
        "methods": [row.to_dict() for row in single],
        "group": {"points": setup.group_size, "methods": [row.to_dict() for row in group]} if group else None,
        "stream": {"sigma": noise, "requests": count, "methods": [row.to_dict() for row in streams]} if streams else None,
    }
    if precision is not None:
        result["precision"] = _precise(setup.with_(group_size=1), single, target, epochs, precision)
    if shared.json:
        print(json.dumps(result, allow_nan=False, ensure_ascii=False))
        return
    _show(setup, result, single, group, streams)


def _precise(setup: Any, rows: list[Compared], target: dict[str, Any], epochs: int, precision: int) -> dict[str, Any]:
    """sigma of one request to so many digits under every bound of noisy SGD; null for the other methods' own formulas."""
    from accountant.methods import (
        METHODS,
        enclosed_sigma,
    )

    found: dict[str, str | None] = {}
    for row in rows:
        known = row.sigma is not None
        question = {"digits": precision, "epochs": epochs, **target}
        found[row.method] = enclosed_sigma(METHODS[row.method], setup, **question) if known else None
    return {**present.kind(precision), "sigma": found}


def _stream_noise(setup: Any, target: dict[str, Any], sigma: float | None, requests: int) -> float | None:
    """The stream's sigma: as given, or what the published bound needs for one request and one epoch; None: no stream."""
    from accountant.methods import compare as compare_methods

    if sigma is not None:
        return number("sigma", sigma, above=0)
    if not requests:
        return None
    published = compare_methods(setup, **target, epochs=1, methods=["paper"])[0]
    if published.sigma is None:
        return None
    # A round number, so that it can be typed in again.
    return float(digits(published.sigma, 2))


def _record(shared: Shared, setup: Any, target: dict[str, Any], *, default: bool) -> dict[str, Any]:
    from accountant._version import __version__
    from accountant.methods import (
        retrain_evaluations,
    )

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
    setup: Any,
    result: dict[str, Any],
    single: list[Compared],
    group: list[Compared],
    streams: list[ComparedStream],
) -> None:
    screen = present.console()
    columns = ["method", "batch", "sigma", "noise in\nmodel", "epochs", "gradients"]
    for who, rows in (("one point", single), (f"{setup.group_size} points at once", group)):
        if not rows:
            continue
        screen.print(f"One request, {who}: what gives {present.guarantee_row(result)[1]}", style="italic")
        table = _table([*columns, "of\nretraining", "accuracy\nreported"])
        for row in rows:
            accuracy = "-" if row.accuracy is None else f"{row.accuracy[0]:.3f}"
            table.add_row(
                row.method, str(row.batch_size), present.rough(row.sigma), present.rough(row.released_std), _count(row.epochs),
                _count(row.gradient_evaluations), _share(row.relative), accuracy,
            )  # fmt: skip
        screen.print(table)
    if "precision" in result:
        block = result["precision"]
        screen.print(f"sigma for one point {present.how(block)}", style="italic")
        for name, value in block["sigma"].items():
            screen.print(present.bullet(f"{name}: {value or 'in doubles only'}"))
    if streams:
        stream = result["stream"]
        each = "" if setup.group_size == 1 else f" of {setup.group_size} points each"
        requests = present.plural(stream["requests"], "request")
        screen.print(f"A stream of {requests}{each}, noisy SGD with sigma = {stream['sigma']:g}", style="italic")
        table = _table([*columns[:4], "epochs\nin all", "gradients\nin all", "of retraining\nevery time"])
        for flow in streams:
            done = flow.reason is None
            table.add_row(
                flow.method, str(flow.batch_size), present.rough(flow.sigma), present.rough(flow.released_std),
                _count(flow.epochs[-1] if done else None), _count(flow.gradient_evaluations[-1] if done else None),
                _share(flow.relative),
            )  # fmt: skip
        screen.print(table)
    screen.print(
        "noise in model: standard deviation per coordinate of all noise in the released model, at most; this can be compared, "
        "while sigma means what its method says. accuracy: reported for MNIST at this noise, within 5 %. Methods on the full "
        "batch run there, after converged learning and without projection, whatever the options say of noisy SGD."
    )
    for row in single:
        screen.print(present.bullet(f"{row.method}: {row.title}; proves {row.proves}; {row.noise}"))
    silent = {row.method: row.reason for row in [*single, *group] if row.reason is not None}
    silent |= {f"{row.method}, stream": row.reason for row in streams if row.reason is not None}
    if silent:
        screen.print("[bold]Without an answer[/bold]")
    for name, reason in silent.items():
        screen.print(present.bullet(f"{name}: {reason}"))
    screen.print("[bold]Assumptions[/bold]")
    # Every line once, under the methods that it is about.
    who_says: dict[str, list[str]] = {}
    for row in single:
        for line in row.assumptions:
            who_says.setdefault(line, []).append(row.method)
    for names in dict.fromkeys(tuple(names) for names in who_says.values()):
        screen.print(f"{', '.join(names)}:")
        for line, own in who_says.items():
            if tuple(own) == names:
                screen.print(present.bullet(line))


def _table(titles: list[str]) -> Any:
    table = present.plain_table(titles)
    table.padding = 0
    for at, column in enumerate(table.columns):
        column.no_wrap = True
        column.justify = "left" if at == 0 else "right"
    return table


def _count(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) and value < 10**9 else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"


def _draw(
    path: Path,
    kind: str,
    setup: Any,
    target: dict[str, Any],
    epochs: int,
    names: list[str],
    streams: list[ComparedStream],
    noise: float,
) -> None:
    from accountant.methods import (
        METHODS,
        noise_curve,
    )

    points = present.plural(setup.group_size, "point") + ("" if setup.group_size == 1 else " each")
    setup = setup.with_(group_size=1)

    costs = {
        row.method: [value or float("nan") for value in row.gradient_evaluations]
        for row in streams
        if row.reason is None and max(row.gradient_evaluations) > 0
    }
    rows = 2 if costs else 1
    figure, axes = pictures.figure(rows=rows, height=4.4)
    upper = axes[0] if rows == 2 else axes
    styles = {name: at for at, name in enumerate(METHODS)}
    most = max(epochs, _EPOCHS_DRAWN)
    curves = []
    for name in names:
        xs, _, spread = noise_curve(setup, method=name, **target, epochs=range(1, most + 1))
        if xs and all(value is not None for value in spread):
            curves.append((name, styles[name], xs, spread))
    pictures.lines(upper, curves)
    if not curves:
        raise InputError("plot must have a method with noise that depends on the epochs: the chosen ones have none")
    upper.set_yscale("log")
    upper.set_xlabel("unlearning epochs K")
    upper.set_ylabel("noise in the released model\n(standard deviation per coordinate)")
    size = setup.algorithm.batch_size
    batch = "full batch" if size == setup.problem.n else f"b = {size}"
    upper.set_title(f"One request: ε = {target['epsilon']:g}, δ = {target['delta']:.3g}, {batch}", loc="left", fontsize=11)
    pictures.whole_numbers(upper)
    pictures.legend(upper)
    if rows == 2:
        lower = axes[1]
        pictures.lines(lower, [(name, styles[name], list(range(1, len(cost) + 1)), cost) for name, cost in costs.items()])
        lower.set_yscale("log")
        lower.set_xlabel("deletion requests")
        lower.set_ylabel("per-sample gradient evaluations\nso far")
        lower.set_title(f"A stream of requests, {points}, at the same guarantee; σ = {noise:g}", loc="left", fontsize=11)
        pictures.whole_numbers(lower)
        pictures.legend(lower)
    pictures.save(figure, path, kind)
