"""The pictures of the experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from accountant.commands import pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from accountant.reproduction import Experiment, Row


class _Curve(NamedTuple):
    """A line of a picture: the tightest accounting is a full line with full markers, published ones are dashed and hollow."""

    label: str
    rows: list[Row]
    style: int
    best: bool


def write_picture(path: Path, plan: Experiment, rows: list[Row], *, kind: str, wide: bool = False) -> None:
    """One panel or two, one above the other at the width of a column; wide: beside one another at that of a page."""
    panels = _PANELS[plan.name]
    figure, axes = pictures.beside(columns=len(panels)) if wide else pictures.column(rows=len(panels))
    for panel, (across, up) in zip(axes, panels, strict=True):
        rings: list[tuple[float, float]] = []
        for curve in _CURVES[plan.name](rows):
            if curve.rows[0].method == "retrain":
                if up == "accuracy":
                    panel.axhline(curve.rows[0].accuracy, color="black", linewidth=0.8, linestyle=":", label=curve.label)
                continue
            _draw(panel, curve, across, up)
            if across != "epochs":
                rings += [(getattr(row, across), value) for row in curve.rows if (value := _reported(row, up)) is not None]
        if rings:
            xs, ys = zip(*rings, strict=True)
            pictures.reported(panel, xs, ys, first=True, markersize=5.5, markeredgewidth=0.6)
        panel.set_xlabel(_AXES[across])
        panel.set_ylabel(_AXES[up])
        if across == "deleted":
            pictures.whole_numbers(panel)
        else:
            panel.set_xscale("log")
        if up != "accuracy":
            panel.set_yscale("symlog" if across == "deleted" else "log")
    count, problem = max(row.trials for row in rows), plan.cells[0].setup.problem
    bands = f"; bands: ±1 standard error of {count} trials" if count > 1 else "; 1 trial"
    has_bands = any(up == "accuracy" for _, up in panels)
    pictures.finish(figure, axes, pictures.problem_name(problem) + (bands if has_bands else ""), small=not wide)
    pictures.save(figure, path, kind, dpi=300)


def _draw(panel: Axes, curve: _Curve, across: str, up: str) -> None:
    # Along the noise where epochs are across: several settings may take as many.
    rows = sorted(curve.rows, key=lambda row: float(getattr(row, "sigma" if across == "epochs" else across)))
    xs, ys = ([float(getattr(row, name)) for row in rows] for name in (across, up))
    look: dict[str, Any] = {"linewidth": 1.1, "markersize": 3.5, "linestyle": "-", "markeredgewidth": 0.8}
    if not curve.best:
        look |= {"linestyle": (0, (4, 2)), "markerfacecolor": "white"}
    pictures.line(panel, xs, ys, curve.style, label=curve.label, **look)
    if up == "accuracy":
        low, high = ([y + sign * (row.standard_error or 0.0) for y, row in zip(ys, rows, strict=True)] for sign in (-1, 1))
        panel.fill_between(xs, low, high, color=pictures.STYLES[curve.style][0], alpha=0.2, linewidth=0)


def _reported(row: Row, up: str) -> float | None:
    """What was published of this quantity, at this noise."""
    if up == "accuracy":
        return None if row.difference is None else row.reported_accuracy
    return row.reported_epochs if up == "epochs" else None


_AXES: Final = {
    "epsilon": "ε",
    "sigma": "noise σ",
    "released_std": "noise in the release\n(std per coordinate)",
    "accuracy": "test accuracy",
    "epochs": "unlearning epochs",
    "deleted": "deleted points",
}
#: What is drawn against what, panel by panel.
_PANELS: Final = {
    "figure3a": (("epsilon", "released_std"), ("epsilon", "accuracy")),
    "figure3b": (("deleted", "epochs"), ("deleted", "accuracy")),
    "figure3c": (("sigma", "accuracy"), ("epochs", "accuracy")),
    "figure3d": (("sigma", "epochs"),),
}


def _curves_3a(rows: list[Row]) -> list[_Curve]:
    def chosen(name: str, size: int | str = "full", epochs: int = 1) -> list[Row]:
        return [row for row in rows if (row.requests, row.method, row.batch_size, row.epochs) == (1, name, size, epochs)]

    curves = []
    for style, size in enumerate(dict.fromkeys(row.batch_size for row in rows)):
        curves.append(_Curve(f"published, {_size(size)}", chosen("not-converged", size), style, False))
        curves.append(_Curve(f"optimal, {_size(size)}", chosen("optimal", size), style, True))
    curves.append(_Curve("D2D, K = 5", chosen("d2d", epochs=5), 3, False))
    curves.append(_Curve("D2D, exact, K = 5", chosen("d2d-exact", epochs=5), 3, True))
    curves.append(_Curve("Langevin", chosen("langevin"), 2, False))
    curves.append(_Curve("retraining", [row for row in rows if row.method == "retrain"], 0, True))
    return curves


def _curves_3b(rows: list[Row]) -> list[_Curve]:
    most = max(row.points_each for row in rows)
    curves = _by_size([row for row in rows if row.points_each == 1])
    for name, label in (("langevin", "Langevin"), ("optimal", "optimal")):
        chosen = [row for row in rows if (row.points_each, row.method) == (most, name)]
        curves.append(_Curve(f"{label}, {most} at once", chosen, 3, name == "optimal"))
    return curves


def _curves_tradeoff(rows: list[Row]) -> list[_Curve]:
    return _by_size([row for row in rows if row.requests])


def _by_size(rows: list[Row]) -> list[_Curve]:
    """The authors' accounting and the tightest one, for every batch size."""
    curves = []
    for style, size in enumerate(dict.fromkeys(row.batch_size for row in rows)):
        for name, label in (("pnsgd", "published"), ("optimal", "optimal")):
            chosen = [row for row in rows if (row.method, row.batch_size) == (name, size)]
            curves.append(_Curve(f"{label}, {_size(size)}", chosen, style, name == "optimal"))
    return curves


def _size(size: int | str) -> str:
    return "full batch" if size == "full" else f"b = {size}"


_CURVES: Final = {
    "figure3a": _curves_3a,
    "figure3b": _curves_3b,
    "figure3c": _curves_tradeoff,
    "figure3d": _curves_tradeoff,
}
