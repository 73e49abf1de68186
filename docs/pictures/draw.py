"""Draws the pictures of the pages, at the size that they are shown: python docs/pictures/draw.py [NAME ...] (extra ``plot``)

Each is drawn from the accountant, from a table of its page or from the rows beside this file; its numbers are in the file
(``description``), and a test draws it again and compares them.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_type_hints
from unittest.mock import patch

import numpy as np

from accountant import PNSGD, UnlearningAccountant, preset
from accountant.commands import drawings, figures, pictures
from accountant.methods import STREAMS, compare_streams
from accountant.problem import LogisticConstants
from accountant.questions import Setup
from accountant.reproduction import Row, experiment
from accountant.requests import tune as tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE.parent / "results"


def noise() -> Figure:
    """The noise that one deletion takes: published, optimal, and true deletion with secret batches."""
    figure, (axes,) = pictures.figure()
    for style, size in enumerate(("full", 512, 128)):
        algorithm = PNSGD(preset("mnist"), size)
        name = "full batch" if size == "full" else f"b = {size}"
        epochs = np.arange(6)
        secret = PNSGD(replace(preset("mnist"), adjacency="remove"), size, assignment="secret") if size != "full" else None
        for label, line, face, first, runs in (
            ("published", "--", "white", 1, UnlearningAccountant(algorithm, bound="paper")),
            ("optimal", "-", None, 0, UnlearningAccountant(algorithm)),
            ("secret", ":", None, 0, secret and UnlearningAccountant(secret)),
        ):
            if runs is None:
                continue
            colour = pictures.STYLES[style][0]
            look = {"linestyle": line, "markerfacecolor": face or colour, "markersize": 3.5 if label == "secret" else 6}
            sigma = runs.sigma(epsilon=1.0, epochs=epochs[first:])
            pictures.line(axes, epochs[first:], sigma, style, label=f"{label}, {name}", **look)
    axes.set_yscale("log")
    axes.set_xlabel("unlearning epochs")
    axes.set_ylabel("noise σ needed")
    axes.set_title("One deletion, MNIST 3 against 8, ε = 1, δ = 1/n", loc="left", fontsize=11)
    pictures.legend(axes)
    return figure


def compare() -> Figure:
    """The methods at the same guarantee: noise against epochs, and cost against requests."""
    setup = Setup(PNSGD(preset("mnist"), 128))
    target = {"epsilon": 1.0, "delta": setup.default_delta}
    names = ["optimal", "secret", "paper", "langevin", "d2d-exact"]
    streams = compare_streams(
        setup, **target, sigma=0.003, requests=50, unit="steps", methods=[name for name in STREAMS if name in names]
    )
    return _caught(lambda path: drawings.comparison(path, "svg", setup, target, 5, names, streams, 0.003))


def tune() -> Figure:
    """What there is to choose: noise against the cost of a request, of logistic regression with an intercept."""
    made = tuned(
        loss=LogisticConstants(regularisation=0.0, feature_bound=math.sqrt(2)),
        n=5000,
        epsilon=1.0,
        delta=1e-5,
        requests="2/week",
        over="1y",
    )
    return _caught(lambda path: drawings.tuned(path, "svg", made))


def figure3a() -> Figure:
    """The published experiment, run again; its rows are measured, and their noise is the accountant's."""
    return _caught(
        lambda path: figures.write_picture(path, experiment("figure3a", preset("mnist").n), measured(), kind="svg", wide=True)
    )


def secret() -> Figure:
    """One deletion under four accountings, from the table of its page."""
    figure, (left, right) = pictures.beside(columns=2)
    for style, (name, rows) in enumerate(accounted().items()):
        epsilons, sigmas, accuracies, errors = zip(*rows, strict=True)
        look = {"linestyle": "--", "markerfacecolor": "white"} if "paper" in name else {}
        pictures.line(left, epsilons, sigmas, style, label=name, **look)
        pictures.line(right, epsilons, accuracies, style, label=name, **look)
        low, high = (np.add(accuracies, sign * np.array(errors)) for sign in (-1, 1))
        right.fill_between(epsilons, low, high, color=pictures.STYLES[style][0], alpha=0.15, linewidth=0)
    left.set_yscale("log")
    left.set_ylabel("noise σ")
    right.set_ylabel("test accuracy, %")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("ε")
        axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
        axes.minorticks_off()
    note = "MNIST 3 against 8, b = 128, one epoch, δ = 1/n; bands: ±1 standard error of 20 trials"
    pictures.finish(figure, [left, right], note, small=False)
    return figure


def estimators() -> Figure:
    """Scores at epsilon = 1 and what 100 requests cost, from the table of the page."""
    rows = [row for row in table(RESULTS / "real-data.md", "| data |") if row["ε"] == "1"]
    at = np.arange(len(rows))[::-1]
    figure, (left, right) = pictures.figure(columns=2, height=0.36 * len(rows) + 1.4)
    right.sharey(left)

    def column(name: str) -> list[float]:
        return [float("nan") if row[name] == "refused" else float(row[name].split(" ")[0]) for row in rows]

    for marker, colour, label, name in (
        ("|", "#555555", "scikit-learn's SGD", "scikit-learn's SGD"),
        ("o", "#D55E00", "release before", "before: score"),
        ("s", "#0072B2", "this release", "score"),
    ):
        look = {"marker": marker, "linestyle": "", "markersize": 11 if marker == "|" else 5, "markeredgewidth": 1.6}
        left.plot(column(name), at, color=colour, label=label, **look)
    left.set_yticks(at, [f"{row['data']}, n = {row['n']}" for row in rows])
    left.set_xlabel("score on test rows\n(accuracy; R² for diabetes)")
    for marker, colour, name in (("o", "#D55E00", "before: 100 requests"), ("s", "#0072B2", "100")):
        right.plot(column(name), at, color=colour, marker=marker, linestyle="", markersize=5, label=f"_{name}")
    for place, row in zip(at, rows, strict=True):
        if row["before: 100 requests"] == "refused":
            right.text(120, place, "second request refused", color="#A04000", ha="right", va="center", fontsize=8)
    right.set_xscale("log")
    right.set_xlim(1, 130)
    right.set_xlabel("cost of 100 requests, in fits")
    right.tick_params(labelleft=False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle("ε = 1, δ = 1/n, defaults", x=0.01, ha="left", fontsize=10)
    return figure


PICTURES: Final[dict[str, Callable[[], Figure]]] = {
    each.__name__: each for each in (noise, compare, tune, figure3a, secret, estimators)
}


def measured() -> list[Row]:
    """The rows of ``accountant reproduce figure3a``, as that command wrote them."""
    hints = get_type_hints(Row)

    def value(name: str, text: str) -> Any:
        if text == "":
            return None
        if name == "batch_size":
            return text if text == "full" else int(text)
        return text if name == "method" else int(text) if "int" in str(hints[name]) else float(text)

    with (HERE / "figure3a.csv").open(encoding="utf-8", newline="") as file:
        return [Row(**{name: value(name, text) for name, text in line.items()}) for line in csv.DictReader(file)]


def accounted() -> dict[str, list[tuple[float, float, float, float]]]:
    """The table of secret batches: for each accounting ε, σ, accuracy and its standard error, both in %."""
    rows = table(RESULTS / "figures.md", "| ε | σ `paper` |")
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in rows:
        cells = list(row.values())
        for at, name in enumerate(("paper, replace", "optimal, replace", "optimal, zero-out", "secret, remove")):
            mean, error = cells[2 + 2 * at].split(" ± ")
            found.setdefault(name, []).append((float(cells[0]), float(cells[1 + 2 * at]), float(mean), float(error)))
    return found


def table(page: Path, begins: str) -> list[dict[str, str]]:
    """The rows of the first table of a page whose head begins so; columns of one name are numbered."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(begins))
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _while_table(lines[at:])]
    names = [name if cells[0].index(name) == number else f"{name} {number}" for number, name in enumerate(cells[0])]
    return [dict(zip(names, row, strict=True)) for row in cells[2:]]


def _while_table(lines: Sequence[str]) -> list[str]:
    return lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))]


def _caught(draw: Callable[[Path], None]) -> Figure:
    """The figure that a command would have written."""
    with patch.object(pictures, "save") as save:
        draw(Path(tempfile.gettempdir()) / "nothing.svg")
    figure: Figure = save.call_args.args[0]
    return figure


def numbers(figure: Figure) -> list[dict[str, list[list[float | None]]]]:
    """What is drawn, axes by axes: of every line its name, xs and ys, to nine digits; gaps are None."""

    def plain(values: Any) -> list[float | None]:
        return [float(f"{value:.9g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]

    return [
        {str(line.get_label()): [plain(line.get_xdata()), plain(line.get_ydata())] for line in axes.get_lines()}
        for axes in figure.axes
    ]


def kept(path: Path) -> Any:
    """The numbers in the file of a picture."""
    text = re.search(r"<dc:description>(.*?)</dc:description>", path.read_text(encoding="utf-8"), re.DOTALL)
    if text is None:
        raise ValueError(f"{path} holds no numbers: python docs/pictures/draw.py {path.stem}")
    return json.loads(text[1].replace("&quot;", '"').replace("&amp;", "&"))


def main(names: Sequence[str]) -> None:
    """Write the pictures of these names, or all."""
    import matplotlib as mpl

    for name in names or PICTURES:
        figure = PICTURES[name]()
        # The same file from the same numbers.
        with mpl.rc_context({"svg.hashsalt": name}):
            about = {"Date": None, "Title": (PICTURES[name].__doc__ or "").strip(), "Description": json.dumps(numbers(figure))}
            figure.savefig(HERE / f"{name}.svg", metadata=about)


if __name__ == "__main__":
    main(sys.argv[1:])
