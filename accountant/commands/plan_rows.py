"""The tables of a plan: what every request takes and when, and what all of them take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from accountant.commands import layout, present
from accountant.numerics import digits

if TYPE_CHECKING:
    from accountant.requests import Plan, PlannedRequest

#: Longer tables show their first and last rows only.
_LONG, _FIRST, _LAST = 24, 12, 6
_DAY: Final = 86_400


def totals(result: dict[str, Any], made: Plan) -> list[tuple[str, str]]:
    """Noise, guarantee, length, retraining and waiting of a whole plan."""
    count, points = len(made.requests), sum(row.points for row in made.requests)
    each = made.retrain_gradient_evaluations
    length = result | {"steps": made.total_steps, "epochs": made.total_epochs}
    rows = [
        present.noise_row(result),
        present.guarantee_row(result),
        ("processed", f"{present.plural(count, 'request')}, {present.plural(points, 'point')}"),
        *([("joined", present.plural(made.joined, "record"))] if made.joined else []),
        present.length_row(length),
        *([("batches", "own draws: redraw the key at the start until none is too large")] if made.redraw else []),
    ]
    if each is not None:
        epochs, once = present.plural(made.retrain_epochs or 0, "epoch"), each // count
        rows.append(("retraining", f"{once} for {epochs} once; {each} at every request"))
    if made.longest_wait is not None:
        within = "" if made.deadline is None else f" of at most {_span(made.deadline)}"
        window = "none, each arrival at once" if made.window is None else _span(made.window)
        rows.append(("window", f"{window}; longest wait {_span(made.longest_wait)}{within}, then the steps"))
    if made.first_bound is not None:
        rows.append(("first request", f"under the {made.first_bound} bound"))
    reached = [row.mu_worst for row in made.requests if row.mu_worst is not None]
    if reached:
        rows.append(("mu, worst batch", f"{digits(max(reached))} at most, over all requests"))
    return rows


def to_digits(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of ``--precision``."""
    block = result["precision"]
    meanings = {"epsilon": "at most, over all requests", "sigma": "would do for these steps"}
    rows = [(name, f"{block[name]} {words}, {present.how(block)}") for name, words in meanings.items() if block[name]]
    if block["reason"]:
        rows.append(("digits lack", block["reason"]))
    return rows


def _span(seconds: float) -> str:
    """A duration in the largest unit that it fills."""
    for name, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds / length:.6g} {name}{'' if seconds == length else 's'}"
    return f"{seconds:.6g} seconds"


def table(made: Plan) -> layout.Grid:
    """What every request takes; of many the first and the last ones."""
    timed = made.longest_wait is not None
    titles = ["request", *(["processed"] if timed else []), "points", made.unit, "gradients", "in all", "/each", "/once"]
    grid = layout.Grid(titles, names=0, padding=(0, 1))
    rows = made.requests
    shown = range(len(rows)) if len(rows) <= _LONG else [*range(_FIRST), None, *range(len(rows) - _LAST, len(rows))]
    times = _times(made, [rows[at] for at in shown if at is not None])
    for at in shown:
        if at is None:
            grid.add_row(*["..."] * len(titles))
            continue
        row = rows[at]
        cells = [str(row.request)]
        if timed:
            cells.append(times[row.request])
        cells += [str(row.points), f"{row.epochs if made.unit == 'epochs' else row.steps}"]
        cells += [_compact(row.gradient_evaluations), _compact(row.total_gradient_evaluations)]
        for other in (row.retrain_each_gradient_evaluations, row.retrain_once_gradient_evaluations):
            cells.append("-" if other is None else f"{row.total_gradient_evaluations / other:.3g}")
        grid.add_row(*cells)
    return grid


def _times(made: Plan, rows: Sequence[PlannedRequest]) -> dict[int, str]:
    """When requests are processed, by number: dates, or how long after second 0."""
    known = [row for row in rows if row.time is not None]
    if not made.dated:
        return dict(zip([row.request for row in known], moments([row.time or 0.0 for row in known]), strict=True))
    daily = all((row.time or 0.0) % _DAY == 0 for row in made.requests)
    return {row.request: str(made.shown_time(row))[: 10 if daily else 16].replace("T", " ") for row in known}


def moments(times: Sequence[float]) -> list[str]:
    """Times in seconds as they are read, in as many units as tell them apart, at least two.

    >>> moments([0, 30_240, 90_707.5743]), moments([90_000, 90_060])
    (['0', '8h 24m', '1d 1h'], ['1d 1h', '1d 1h 1m'])
    >>> moments([0.25, -60.5])
    ['0.25s', '-1m 0.5s']
    """
    different = len(set(times))
    for count in (2, 3):
        told = [_moment(time, count) for time in times]
        if len(set(told)) == different:
            return told
    return [_moment(time, 4) for time in times]


def _moment(time: float, count: int) -> str:
    """A time in its largest unit and those below it, ``count`` of them, without those that are zero; rounded towards 0."""
    left = abs(time)
    parts: list[str] = []
    sizes = [(name, size) for name, size in (("d", _DAY), ("h", 3600), ("m", 60)) if left >= size]
    for name, size in sizes[:count]:
        whole, left = divmod(left, size)
        parts += [f"{int(whole)}{name}"] if whole else []
    if len(sizes) < count and left:
        parts.append(f"{digits(left, 6, down=True)}s")
    return ("-" if time < 0 else "") + " ".join(parts) if parts else "0"


def _compact(value: int) -> str:
    """Counts of up to five digits in full, larger ones with four digits: 1.126M."""
    for name, size in (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if value >= size:
            return f"{value / size:.4g}{name}"
    return str(value) if value < 10**5 else f"{value / 1000:.4g}k"
