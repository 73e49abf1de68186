"""What ``accountant compare`` shows: a row per method, in what it is best, and what the rows mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from accountant.commands import layout, present

if TYPE_CHECKING:
    from rich.console import Console

    from accountant.methods import Compared, ComparedStream

#: Methods that run something of their own though a tighter bound is known, and a variant that another one stands for.
_OWN: Final = ("langevin", "dp")
_STOOD_FOR: Final = ("d2d-open",)
#: Methods of which most problems say too little: shown where they have an answer.
_WITH_ANSWER: Final = ("smooth-ball", "convex-ball")
#: First columns of every table.
_COLUMNS: Final = ("method", "batch", "sigma", "noise in\nmodel")
_Row = Any


def shown(rows: Sequence[_Row], *, everything: bool) -> list[_Row]:
    """The rows that are shown: one per method, under the tightest bound on what it runs, unless all are asked for."""
    from accountant.methods import METHODS

    def stands(name: str, reason: str | None) -> bool:
        if name in _WITH_ANSWER and reason is not None:
            return False
        return name not in METHODS or name in _OWN or (METHODS[name].tightest == name and name not in _STOOD_FOR)

    return [row for row in rows if everything or stands(row.method, row.reason)]


def answer(result: Mapping[str, Any], rows: Sequence[Compared]) -> str:
    """What noisy SGD as asked leaves in the model and costs, and which method would leave less."""
    guarantee = present.guarantee_row(result)[1]
    able = [row for row in rows if row.released_std and row.gradient_evaluations]
    if not able:
        # Steps that do not contract: their noise adds up to more than any number.
        endless = next((row for row in rows if row.sigma and row.gradient_evaluations), None)
        if endless is None:
            return f"No method with unlearning has an answer for {guarantee}"
        return (
            f"{endless.method} ({endless.title}) needs sigma = {present.rough(endless.sigma)} for {guarantee}; nothing bounds "
            "what its noise adds up to in the model"
        )
    mine, best = able[0], min(able, key=lambda row: row.released_std or 0.0)
    cost = "" if mine.relative is None else f" and takes {100 * mine.relative:.3g} % of the gradients of a retraining"
    noise = f"{mine.method} ({mine.title}) leaves noise {present.rough(mine.released_std)} in the model{cost}, for {guarantee}"
    return noise if best is mine else f"{noise}; {best.method} ({best.title}) leaves {present.rough(best.released_std)}"


def of_requests(rows: Iterable[Compared]) -> layout.Grid:
    """A table of the methods, for one request."""
    rows = list(rows)
    reported = any(row.accuracy is not None for row in rows)
    titles = [*_COLUMNS, "epochs", "gradients", "of\nretraining", *(["accuracy\nreported"] if reported else [])]
    table = layout.numbers(titles, names=1)
    for row in rows:
        accuracy = ["-" if row.accuracy is None else f"{row.accuracy[0]:.3f}"] if reported else []
        table.add_row(
            row.method, str(row.batch_size), present.rough(row.sigma), present.rough(row.released_std), _count(row.epochs),
            _count(row.gradient_evaluations), _share(row.relative), *accuracy,
        )  # fmt: skip
    return table


def of_streams(rows: Iterable[ComparedStream]) -> layout.Grid:
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


def refusals(screen: Console, reasons: Mapping[str, str]) -> None:
    """The methods without an answer, and why."""
    if reasons:
        screen.print("[bold]Without an answer[/bold]")
    for name, reason in reasons.items():
        screen.print(layout.bullet(f"{name}: {reason}"))


def show_assumptions(screen: Console, rows: Sequence[tuple[str, tuple[str, ...]]]) -> None:
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


def rows_for_csv(single: Sequence[Compared], streams: Sequence[ComparedStream]) -> list[dict[str, object]]:
    """A row per method, with what a stream of requests takes beside what one does."""
    names = ("title", "batch_size", "sigma", "released_std", "epochs", "steps", "gradient_evaluations", "relative", "reason")
    many = {row.method: row for row in streams}
    made = []
    for method in dict.fromkeys([*(row.method for row in single), *many]):
        one = next((row for row in single if row.method == method), None)
        row: dict[str, object] = {"method": method, **{name: getattr(one, name, None) for name in names}}
        stream = many.get(method)
        done = stream is not None and stream.reason is None
        row["stream_epochs"] = stream.epochs[-1] if stream is not None and done else None
        row["stream_gradient_evaluations"] = stream.gradient_evaluations[-1] if stream is not None and done else None
        row["stream_relative"] = None if stream is None else stream.relative
        made.append(row)
    return made


def _count(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) and value < 10**9 else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"
