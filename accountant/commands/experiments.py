"""The experiments of ``accountant reproduce``: what is run, the files that it makes, and how it looks on the screen."""

from __future__ import annotations

import csv as csv_module
import json as json_module
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from accountant.commands import files, pictures, present
from accountant.validation import InputError, integer

if TYPE_CHECKING:
    from accountant.trainer.data import Digits
    from accountant.trainer.figures import Experiment, Row

#: Trials where none are asked for.
TRIALS: Final = 20
#: Rows that are kept of scikit-learn's digits, so that batches of 8 and 32 come out even.
_SMALL_ROWS: Final = 256
_KINDS: Final = ("csv", "png", "svg")
_TITLES: Final = (
    "method",
    "batch",
    "eps",
    "sigma",
    "points\ndeleted",
    "epochs",
    "accuracy\n%",
    "reported\n%",
    "off by\n(s.e.)",
)


def run(
    names: tuple[str, ...], *, out: str | None, data: str | None, trials: int, seed: int, as_json: bool, everything: bool
) -> None:
    """Run the experiments of these figures, write their files to the folder ``out``, and print what was found."""
    from accountant import __version__
    from accountant.trainer import figures

    integer("trials", trials, at_least=1)
    integer("seed", seed, at_least=0)
    if out is not None:
        pictures.check("figure.png")
    digits, source = _data(data)
    results = []
    with ExitStack() as cleanup:
        if out is not None:
            cleanup.enter_context(_folder(out))
        pending = [cleanup.enter_context(_files(name, out)) for name in names]
        plans = [figures.experiment(name, digits.labels.size) for name in names]
        # Figures of one experiment share its rows.
        cells = {plan.cells: plan for plan in plans}
        expected = sum(figures.seconds(plan, digits, trials=trials) for plan in cells.values())
        settings = present.plural(sum(len(plan.cells) for plan in cells.values()), "setting")
        what = f"{', '.join(names)}: {settings}, {present.plural(trials, 'trial')} each, on {source}"
        print(f"{what}: about {_duration(expected)}", file=sys.stderr, flush=True)
        found: dict[Any, list[Row]] = {}
        for plan, (stack, paths) in zip(plans, pending, strict=True):
            started = time.perf_counter()
            if plan.cells not in found:
                with files.progress(f"training for {plan.name}") as progress:
                    found[plan.cells] = figures.run(plan, digits, trials=trials, seed=seed, progress=progress)
            rows = found[plan.cells]
            for kind, path in paths.items():
                _WRITERS[kind](path, plan, rows)
            # These files are complete, whatever happens to the next figure.
            stack.close()
            results.append((plan, rows, time.perf_counter() - started))
    if as_json:
        record = {
            "command": "reproduce",
            "data": {"source": source, "n": int(digits.labels.size), "dimension": int(digits.features.shape[1])},
            "trials": trials,
            "seed": seed,
            "experiments": [
                {
                    "name": plan.name,
                    "title": plan.title,
                    "notes": list(plan.notes),
                    "files": [] if out is None else [os.path.join(out, f"{plan.name}.{kind}") for kind in _KINDS],
                    "rows": [row._asdict() for row in rows],
                }
                for plan, rows, _ in results
            ],
            "version": __version__,
        }
        print(json_module.dumps(record, allow_nan=False, ensure_ascii=False))
        return
    for plan, rows, seconds in results:
        _show(plan, rows, everything)
        end = "" if out is None else f"; written to {out}: " + ", ".join(f"{plan.name}.{kind}" for kind in _KINDS)
        present.console().print(present.bullet(f"{source}, seed {seed}, {_duration(seconds)}{end}"))


def _data(path: str | None) -> tuple[Digits, str]:
    """The points to learn and what to call them."""
    from accountant.trainer.data import load, load_digits

    if path is not None:
        digits = load(path)
        return digits, f"MNIST, {digits.labels.size} points"
    digits = load_digits(rows=_SMALL_ROWS)
    return digits, f"scikit-learn's digits, {digits.labels.size} points (--data for MNIST)"


@contextmanager
def _folder(path: str) -> Iterator[None]:
    """A folder, made if it is not there and then removed if nothing came of it."""
    made = not os.path.isdir(path)
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"out folder {path} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        if made and not os.listdir(path):
            os.rmdir(path)


@contextmanager
def _files(name: str, out: str | None) -> Iterator[tuple[ExitStack, dict[str, Path]]]:
    """The files of a figure by kind; closing the stack puts them in their places."""
    with ExitStack() as stack:
        paths: dict[str, Path] = {}
        for kind in _KINDS if out is not None else ():
            path = stack.enter_context(files.replacing("out", os.path.join(out or "", f"{name}.{kind}")))
            assert path is not None
            paths[kind] = path
        yield stack, paths


def _duration(seconds: float) -> str:
    if seconds < 90:
        return present.plural(max(round(seconds), 1), "second")
    return f"{round(seconds / 60)} minutes"


def _write_rows(path: Path, plan: Experiment, rows: list[Row]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv_module.writer(file, lineterminator="\n")
        writer.writerow(rows[0]._fields)
        writer.writerows(rows)


class _Curve(NamedTuple):
    """A line of a picture: the tightest accounting is a full line with full markers, published ones are dashed and hollow."""

    label: str
    rows: list[Row]
    style: int
    best: bool


def _write_picture(path: Path, plan: Experiment, rows: list[Row], *, kind: str) -> None:
    """One panel or two, at the width of a column."""
    panels = _PANELS[plan.name]
    figure, axes = pictures.column(rows=len(panels))
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
    count, n = max(row.trials for row in rows), plan.cells[0].setup.problem.n
    bands = f"; bands: ±1 standard error of {count} trials" if count > 1 else "; 1 trial"
    has_bands = any(up == "accuracy" for _, up in panels)
    pictures.finish_column(figure, axes, f"n = {n}" + (bands if has_bands else ""))
    pictures.save(figure, path, kind, dpi=300)


def _draw(panel: Any, curve: _Curve, across: str, up: str) -> None:
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


_WRITERS: Final[dict[str, Any]] = {
    "csv": _write_rows,
    "png": partial(_write_picture, kind="png"),
    "svg": partial(_write_picture, kind="svg"),
}
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


def _show(plan: Experiment, rows: list[Row], everything: bool) -> None:
    screen = present.console()
    screen.print(f"{plan.name}: {plan.title}", style="italic")
    table = present.plain_table(list(_TITLES))
    table.padding = 0
    for column in table.columns:
        column.no_wrap = True
        column.justify = "right"
    # A cell's rows follow one another, with more and more requests.
    ends = [row for row, after in zip(rows, [*rows[1:], rows[0]], strict=True) if after.requests <= row.requests]
    shown = rows if everything else ends
    for row in shown:
        table.add_row(*_cells(row))
    screen.print(table)
    if len(shown) < len(rows):
        screen.print(f"{len(shown)} rows of {len(rows)}, after the last deletion (--all or the CSV show the others)")
    for line in plan.notes:
        screen.print(present.bullet(line))


def _cells(row: Row) -> Iterator[str]:
    yield row.method
    yield str(row.batch_size)
    yield "-" if row.epsilon is None else f"{row.epsilon:g}"
    yield f"{row.sigma:.4g}"
    yield str(row.deleted) if row.points_each == 1 else f"{row.requests} x {row.points_each}"
    yield f"{row.epochs:.4g}"
    yield f"{100 * row.accuracy:.1f}" + ("" if row.standard_error is None else f" ±{100 * row.standard_error:.1f}")
    yield "-" if row.reported_accuracy is None else f"{100 * row.reported_accuracy:.1f}"
    yield "-" if row.difference is None else f"{row.difference:+.1f}"
