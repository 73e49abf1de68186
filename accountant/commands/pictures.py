"""Pictures for the plot extra: one look, told apart in colour, by colour-blind readers and in black and white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from accountant.numerics import Floats, InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from accountant.problem import Problem

#: Coordinates of points.
Values = Sequence[float] | Floats
KINDS: Final = (".png", ".svg")
#: Okabe & Ito's colours with a line style each.
STYLES: Final = (
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", ":"),
    ("#CC79A7", "-."),
    ("#000000", (0, (1, 1))),
    ("#56B4E9", (0, (5, 1, 1, 1))),
    ("#E69F00", (0, (3, 3))),
    ("#666666", (0, (8, 2))),
    ("#8B4513", (0, (5, 1, 1, 1, 1, 1))),
    ("#4B0082", (0, (2, 4))),
    ("#999999", (0, (12, 3))),
    ("#B0122B", (0, (7, 1))),
    ("#2F7F7F", (0, (6, 2))),
)
_TITLES: Final = {"mnist": "MNIST 3 against 8", "cifar10": "CIFAR-10"}
#: One fewer than there are styles, so that both come together again after all their pairs only.
MARKERS: Final = "os^Dv<>PhX*p"


def check(path: str | None) -> None:
    """InputError where the picture could not be drawn."""
    if path is None:
        return
    if Path(path).suffix.lower() not in KINDS:
        raise InputError(f"plot must end in {' or '.join(KINDS)}, got {path!r}")
    available("plot")


def available(option: str) -> None:
    """InputError, about the option, where nothing can be drawn."""
    _figure_class(option)


def kind(path: str) -> str:
    """What a file of that name holds: png, svg or pdf."""
    return Path(path).suffix[1:].lower()


def figure(*, rows: int = 1, columns: int = 1, height: float = 4.2, width: float = 7.2) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, from top to bottom and from left to right, with a light grid and no box."""
    made = _figure_class()(figsize=(width, height * rows), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False).ravel().tolist()
    for each in axes:
        each.grid(which="major", color="0.9")
        each.spines[["top", "right"]].set_visible(False)
    return made, axes


def problem_name(problem: Problem) -> str:
    """The name that people know a problem by, whatever a deletion does in it; without one, its number of points."""
    from accountant.problem import PRESETS

    same = [name for name, known in PRESETS.items() if replace(problem, adjacency=known.adjacency) == known]
    return f"{_TITLES.get(same[0], same[0])}" if same else f"n = {problem.n}"


def beside(*, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a page, with axes beside one another."""
    made, axes = figure(rows=1, columns=columns, height=3.4)
    made.set_figheight(3.4 + 1.0)
    return made, axes


def column(*, rows: int) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a column of a journal (3.3 inches), and its axes."""
    made, axes = figure(rows=rows, height=2.0, width=3.3)
    # Room for the legend, which is below the axes.
    made.set_figheight(2.0 * rows + 0.9)
    return made, axes


def finish(made: Figure, axes: list[Axes], note: str, *, small: bool) -> None:
    """One legend of all axes below them, and a note on top, in small print or not."""
    entries: dict[str, Any] = {}
    size = 7 if small else 9
    for each in axes:
        each.tick_params(labelsize=size, length=2.5)
        each.tick_params(which="minor", length=1.5)
        each.xaxis.label.set_fontsize(size + 1)
        each.yaxis.label.set_fontsize(size + 1)
        handles, labels = each.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    if small:
        axes[0].set_title(note, loc="left", fontsize=size)
    else:
        made.suptitle(note, x=0.01, ha="left", fontsize=size + 1)
    look = {
        "ncols": 2 if small else 3,
        "fontsize": size,
        "frameon": False,
        "handlelength": 2.8,
        "columnspacing": 1.2,
        "labelspacing": 0.3,
    }
    made.legend(list(entries.values()), list(entries), loc="outside lower center", **look)


def save(made: Figure, path: Path, kind: str, *, dpi: int = 150) -> None:
    """Write the figure as png or svg."""
    made.savefig(path, format=kind, dpi=dpi)


def _figure_class(option: str = "plot") -> type[Figure]:
    try:
        from matplotlib.figure import Figure

        return Figure
    except ImportError:
        raise InputError(f"{option} needs matplotlib: pip install 'unlearning-accountant[plot]'") from None


#: Markers on a line, about; more would hide it.
_MARKS: Final = 10


def lines(axes: Axes, series: Sequence[tuple[str, int, Values, Values]]) -> None:
    """Lines (name, number of the style, xs, ys), each with a marker of its own; lines that coincide are drawn once."""
    for at, (name, style, xs, ys) in enumerate(series):
        twins = [at for at, other in enumerate(series) if _same(other[2], xs) and _same(other[3], ys)]
        if twins[0] == at:
            label = "\n= ".join([name, *(series[twin][0] for twin in twins[1:])])
            line(axes, xs, ys, style, label=label)


def line(axes: Axes, xs: Values, ys: Values, style: int, *, label: str, **more: object) -> None:
    """A line in the style of that number."""
    colour, dashes = STYLES[style % len(STYLES)]
    # Not all at the same places, so that lines close to one another can be told apart.
    every = max(len(xs) // _MARKS, 1)
    look: dict[str, Any] = {
        "color": colour, "linestyle": dashes, "linewidth": 1.6, "label": label, "marker": MARKERS[style % len(MARKERS)],
        "markersize": 4.5, "markevery": (style % every, every),
    }  # fmt: skip
    axes.plot(xs, ys, **(look | more))


def reported(axes: Axes, xs: Values, ys: Values, *, first: bool, label: str = "reported", **more: object) -> None:
    """What was reported or measured, as rings around the computed lines; in the legend once."""
    look: dict[str, Any] = {
        "linestyle": "", "marker": "o", "markerfacecolor": "none", "markeredgecolor": "black", "markersize": 8,
    }  # fmt: skip
    axes.plot(xs, ys, label=label if first else "_", **(look | more))


def _same(one: Values, other: Values) -> bool:
    """Whether two rows of numbers are equal, to nine digits; gaps (NaN) are equal to gaps."""
    return len(one) == len(other) and all(
        x == y or (x != x and y != y) or abs(x - y) <= 1e-9 * abs(x) for x, y in zip(one, other, strict=True)
    )


def legend(axes: Axes) -> None:
    """The legend beside the data, never on it."""
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, handlelength=3)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
