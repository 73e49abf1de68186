"""The pictures of ``plan``, ``compare``, ``tune`` and ``reproduce``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from accountant.commands import pictures, present
from accountant.numerics import InputError, digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from accountant.methods import ComparedStream
    from accountant.problem import Stepping
    from accountant.questions import Setup
    from accountant.reproduction import Record, Reproduction
    from accountant.requests import Plan, PlannedRequest, Tried, Tuned

#: A name, and the coordinates of points.
Line = tuple[str, list[int], list[float]]
#: More points than a picture can show make its file large.
_MOST_POINTS: Final = 2000
#: Numbers of steps at which a comparison is drawn.
_STEPS: Final = 40
#: Epochs on the axis of a comparison, at least.
_EPOCHS: Final = 10
#: Noise so many times that of the first line is not drawn, nor is one so many times smaller: no two lines could be told apart.
FAR: Final = 1e6


def plan(path: Path, kind: str, made: Plan) -> None:
    """The cost of a plan so far, request by request, beside retraining."""

    def at(row: PlannedRequest) -> Any:
        if row.time is None:
            return row.request
        return datetime.fromtimestamp(row.time, UTC) if made.dated else row.time / 86_400

    rows = [*made.requests[: -1 : -(-len(made.requests) // _MOST_POINTS)], made.requests[-1]]
    figure, (axes,) = pictures.figure()
    lines = [("unlearning", "total_gradient_evaluations", *pictures.STYLES[0])]
    if made.retrain_epochs is not None:
        lines.append(("retraining at every request", "retrain_each_gradient_evaluations", *pictures.STYLES[1]))
        lines.append(("retraining once now", "retrain_once_gradient_evaluations", *pictures.STYLES[2]))
    logarithmic = made.total_gradient_evaluations > 0 or made.retrain_epochs is not None
    markers: dict[str, Any] = {"marker": "o", "markersize": 3} if len(rows) <= 60 else {}
    for name, key, colour, style in lines:
        # Nothing spent yet has no place on a logarithmic axis.
        costs = [getattr(row, key) or (float("nan") if logarithmic else 0) for row in rows]
        axes.plot([at(row) for row in rows], costs, style, color=colour, label=name, drawstyle="steps-post", **markers)
    if logarithmic:
        axes.set_yscale("log")
    if made.break_even is not None:
        where = at(made.requests[made.break_even - 1])
        axes.axvline(where, color="0.6", linewidth=1, zorder=0, label=f"break-even, request {made.break_even}")
    if made.dated:
        figure.autofmt_xdate()
    timed = "time of processing" + (" (UTC)" if made.dated else ", days")
    axes.set_xlabel("deletion request" if made.longest_wait is None else timed)
    axes.set_ylabel("per-sample gradient evaluations so far")
    axes.set_title(f"{_guarantee(made.epsilon, made.delta)}, σ = {digits(made.sigma, 4)}", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    pictures.save(figure, path, kind)


def noise_by_epochs(
    setup: Setup, target: Mapping[str, float], epochs: int, names: Iterable[str]
) -> tuple[list[Line], list[str]]:
    """Noise in the released model over 1, 2, ... epochs, for those of the methods where it depends on them.

    Without the points that are too far from the first line for both to be told apart, and the names of the lines that have
    no others.
    """
    from accountant.methods import noise_curve

    counts, curves = range(1, max(epochs, _EPOCHS) + 1), []
    for name in names:
        xs, _, spread = noise_curve(setup.with_(group_size=1), method=name, **target, epochs=counts)
        known = [value for value in spread if value is not None]
        if xs and len(known) == len(spread):
            curves.append((name, xs, known))
    if not curves:
        return [], []
    low, high = min(curves[0][2]) / FAR, max(curves[0][2]) * FAR
    near: list[Line] = []
    for name, xs, ys in curves:
        points = [(x, y) for x, y in zip(xs, ys, strict=True) if low <= y <= high]
        near.append((name, [x for x, _ in points], [y for _, y in points]))
    return [line for line in near if line[1]], [name for name, xs, _ in near if not xs]


def noise_by_steps(algorithm: Stepping, target: Mapping[str, float], steps: int, names: Iterable[str]) -> list[Line]:
    """Noise of one step over the number of steps, for those of the methods that have an answer."""
    from accountant.methods import steps_curve

    counts = np.unique(np.geomspace(1, max(2 * steps, 20), _STEPS).round().astype(int)).tolist()
    curves = [(name, *steps_curve(algorithm, method=name, **target, steps=counts)) for name in names]
    return [line for line in curves if line[1]]


def comparison(
    path: Path,
    kind: str,
    setup: Setup,
    target: dict[str, Any],
    epochs: int,
    names: list[str],
    streams: list[ComparedStream],
    noise: float,
) -> None:
    """Noise against epochs for the methods ``names``, and below it the cost of the streams, where there is one.

    setup, target, epochs: what was asked; noise: the stream's sigma.
    """
    costs = {
        row.method: [value or float("nan") for value in row.gradient_evaluations]
        for row in streams
        if row.reason is None and max(row.gradient_evaluations) > 0
    }
    rows = 2 if costs else 1
    figure, axes = pictures.figure(rows=rows, height=4.4)
    upper = axes[0]
    styles = {name: at for at, name in enumerate(dict.fromkeys((*names, *costs)))}
    near, far = noise_by_epochs(setup, target, epochs, names)
    if not near:
        raise InputError("plot must have a method with noise that depends on the epochs: the chosen ones have none")
    pictures.lines(upper, [(name, styles[name], xs, ys) for name, xs, ys in near])
    for name in far:
        pictures.line(upper, [], [], styles[name], label=f"{name}: off the scale")
    size = setup.algorithm.batch_size
    batch = "full batch" if size == setup.problem.n else f"b = {size}"
    _label(
        upper,
        "unlearning epochs K",
        "noise in the released model\n(standard deviation per coordinate)",
        f"{pictures.problem_name(setup.problem)}, one request: {_guarantee(**target)}, {batch}",
    )
    if rows == 2:
        lower = axes[1]
        pictures.lines(lower, [(name, styles[name], list(range(1, len(cost) + 1)), cost) for name, cost in costs.items()])
        points = present.plural(setup.group_size, "point") + ("" if setup.group_size == 1 else " each")
        title = f"A stream of requests, {points}, at the same guarantee; σ = {noise:g}"
        _label(lower, "deletion requests", "per-sample gradient evaluations\nso far", title)
    pictures.save(figure, path, kind)


def comparison_of_steps(
    path: Path, kind: str, algorithm: Stepping, target: dict[str, float], steps: int, names: list[str]
) -> None:
    """Noise against the number of steps, for the methods ``names`` about common steps."""
    from accountant.methods import STEP_METHODS

    figure, (axes,) = pictures.figure(height=4.4)
    curves = noise_by_steps(algorithm, target, steps, names)
    if not curves:
        raise InputError("plot must have a method with an answer: the chosen ones have none")
    pictures.lines(axes, [(name, list(STEP_METHODS).index(name), xs, ys) for name, xs, ys in curves])
    axes.axvline(steps, color="0.6", linewidth=1, zorder=0)
    title = f"{algorithm.name}: {_guarantee(**target)}"
    _label(axes, "noisy steps", "noise σ of one step", title)
    axes.set_xscale("log")
    pictures.save(figure, path, kind)


def tuned(path: Path, kind: str, made: Tuned) -> None:
    """Noise, or scores where there are some, against the cost of a request, in epochs; a line per regularisation."""
    figure, (axes,) = pictures.figure(height=4.8)
    scored = any(row.score is not None for row in made.front)
    n = made.question.n

    def at(row: Tried) -> tuple[float, float]:
        across = row.setting.gradient_evaluations_per_request / n
        return across, row.setting.noise if row.score is None or not scored else row.score

    others = [at(row) for row in made.tried if not row.front and row.setting.refused is None]
    if others and not scored:
        axes.plot(*zip(*others, strict=True), ".", color="0.7", markersize=4, label="others")
    penalties = sorted({row.setting.regularisation for row in made.front})
    for style, penalty in enumerate(penalties):
        points = sorted(at(row) for row in made.front if row.setting.regularisation == penalty)
        across, up = zip(*points, strict=True)
        pictures.line(axes, across, up, style, label=f"λ = {penalty:g}")
    best = made.chosen_row
    if not scored or best.score is not None:
        axes.plot(
            *at(best), "o", color="black", markersize=11, fillstyle="none", label=f"chosen: b = {best.setting.batch_size}"
        )
    axes.set_xscale("log")
    axes.set_xlabel("gradient evaluations per request, in epochs")
    if scored:
        axes.set_ylabel("score")
    else:
        axes.set_yscale("log")
        axes.set_ylabel("noise that stays in the model\n(standard deviation per coordinate)")
    title = f"n = {n}, {_guarantee(made.question.epsilon, made.question.delta)}, {made.question.requests} requests"
    axes.set_title(title, loc="left", fontsize=11)
    pictures.legend(axes)
    pictures.save(figure, path, kind)


def _guarantee(epsilon: float, delta: float) -> str:
    """What is guaranteed, in a title: rounded up, as everywhere."""
    return f"ε = {digits(epsilon)}, δ = {digits(delta, 3)}"


def _label(axes: Axes, across: str, up: str, title: str) -> None:
    """Axes of whole numbers and a logarithm, with their words."""
    axes.set_yscale("log")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, loc="left", fontsize=11)
    pictures.whole_numbers(axes)
    pictures.legend(axes)


def _draw_figure2(path: Path, kind: str, made: Reproduction) -> None:
    figure, (axes,) = pictures.figure(height=4.8)
    groups: dict[str, list[Record]] = {}
    for row in made.rows:
        # The authors' earlier smoothness constant is left out, and so are rows of other data.
        current = abs(row["smoothness"] - 0.25 - row["n"] / 1e6) < 1e-9 and row["n"] < 20_000
        if row["epsilon"] == 1 and row["method"] != "not-converged" and current:
            size = "full batch" if row["batch_size"] == "full" else f"b = {row['batch_size']}"
            groups.setdefault(f"{row['method']}, {size}, n = {row['n']}", []).append(row)
    curves = [(label, rows, "ours") for label, rows in groups.items() if len(rows) > 1]
    whole = next(rows for label, rows in groups.items() if label.startswith("paper, full"))
    _beside_reported(axes, [*curves, ("optimal, full batch, n = 11264", whole, "optimal")], "epochs")
    _label(axes, "unlearning epochs K", "noise σ (of d2d: of its one output noise)", "ε = 1, δ = 1/n, MNIST")
    pictures.save(figure, path, kind)


def _draw_figure3b(path: Path, kind: str, made: Reproduction) -> None:
    figure, (axes,) = pictures.figure(height=4.6)
    curves = []
    for size in ("full", 128, 32):
        rows = [row for row in made.rows if row["method"] == "pnsgd" and row["batch_size"] == size]
        curves += _both("full batch" if size == "full" else f"b = {size}", rows)
    _beside_reported(axes, curves, "requests")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("deletion requests")
    axes.set_ylabel("unlearning epochs so far")
    axes.set_title("ε = 1, σ = 0.03, MNIST", loc="left", fontsize=11)
    pictures.legend(axes)
    pictures.save(figure, path, kind)


def _draw_figure3d(path: Path, kind: str, made: Reproduction) -> None:
    figure, (axes,) = pictures.figure(height=4.8)
    curves = []
    for preset, size in dict.fromkeys((row["preset"], row["batch_size"]) for row in made.rows):
        rows = [row for row in made.rows if (row["preset"], row["batch_size"]) == (preset, size)]
        curves += _both(f"{preset}, " + ("full batch" if size == "full" else f"b = {size}"), rows)
    _beside_reported(axes, curves, "sigma")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("noise σ")
    axes.set_ylabel("unlearning epochs of 100 deletions")
    axes.set_title("ε = 0.01, δ = 1/n", loc="left", fontsize=11)
    pictures.legend(axes)
    pictures.save(figure, path, kind)


def _both(name: str, rows: list[Record]) -> list[tuple[str, list[Record], str]]:
    return [(f"authors' accounting, {name}", rows, "ours"), (f"optimal, {name}", rows, "optimal")]


def _beside_reported(axes: Axes, curves: list[tuple[str, list[Record], str]], across: str) -> None:
    """Computed lines of one column of the rows each, with what was reported of the computed ones."""
    series = [(label, [row[across] for row in rows], [row[column] for row in rows]) for label, rows, column in curves]
    pictures.lines(axes, [(label, at, xs, ys) for at, (label, xs, ys) in enumerate(series)])
    first = True
    for _, rows, column in curves:
        if column == "ours":
            pictures.reported(axes, [row[across] for row in rows], [row["reported"] for row in rows], first=first)
            first = False


_FIGURES: Final = {"figure2": _draw_figure2, "figure3b": _draw_figure3b, "figure3d": _draw_figure3d}


def reproduction(path: Path, kind: str, made: Reproduction) -> None:
    """A published figure, computed again."""
    _FIGURES[made.name](path, kind, made)


def curve(path: Path, kind: str, result: Mapping[str, Any]) -> None:
    """The privacy curve of a run: epsilon against delta, or Renyi's against alpha, as ``accountant curve`` records it."""
    across, up = present.names_of(result)
    points = sorted(result["points"], key=lambda point: point[across])
    figure, (axes,) = pictures.figure()
    pictures.line(axes, [point[across] for point in points], [point[up] for point in points], 0, label="proved")
    axes.set_xscale("log")
    axes.set_xlabel("δ" if across == "delta" else "order α")
    axes.set_ylabel("ε" if across == "delta" else "Rényi divergence of order α, at most")
    axes.set_ylim(bottom=0)
    title = f"σ = {digits(result['sigma'], 4)}, {present.after_length(result)}"
    preset = (result["problem"] or {}).get("preset")
    axes.set_title(title if preset is None else f"{preset}: {title}", loc="left", fontsize=11)
    pictures.save(figure, path, kind)
