"""``accountant plan --optimize`` without a largest noise: what there is to choose from, and no choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from accountant.commands import files, layout, present, telling, writing
from accountant.commands.following import following
from accountant.numerics import digits

if TYPE_CHECKING:
    from accountant.commands.options import Shared
    from accountant.requests import Arrival, TradeOff

_KINDS: Final = ("csv", "json")
#: What the columns mean.
_NOTE: Final = (
    "noise in model: standard deviation in every parameter, at most. loss moves: what that is in the loss of a record, for "
    "linear models (lipschitz times the noise): up to 0.25 is little, and at 1 the model says little more than its noise. Try "
    "the noise on data that are not learned from. gradients: of a request, on average."
)


def show_trade_off(
    shared: Shared, arrivals: Sequence[Arrival] | Sequence[int], question: dict[str, Any], output: list[str] | None
) -> None:
    """Print noise against cost, from which the user chooses ``--max-sigma``."""
    from accountant._version import __version__
    from accountant.requests import trade_off

    writing.check(output, _KINDS)
    accountant = shared.accountant
    with writing.writing(output, _KINDS) as targets:
        with files.progress("trying noises") as progress:
            rows = trade_off(accountant, arrivals, **question, progress=progress)
        quiet = _quiet(rows)
        delta = question["delta"]
        result = {
            "command": "plan", "epsilon": question["epsilon"], "delta": accountant.default_delta if delta is None else delta,
            "delta_is_default": delta is None, "requests": None, "trade_off": [row._asdict() for row in rows],
            "next": following("plan", shared.context, max_sigma=quiet.sigma), "version": __version__,
        }  # fmt: skip
        writing.write(targets, lambda: result, rows=lambda: result["trade_off"])
    if shared.json:
        print(json.dumps(result, allow_nan=False))
        return
    screen = layout.console()
    said = "How much noise does the model bear? More of it makes requests cheaper and the model worse: choose --max-sigma."
    screen.print(layout.text(said, style="bold"))
    screen.print(f"What gives {present.guarantee_row(result)[1]}, after every request:")
    screen.print(_table(rows))
    screen.print(layout.text(_NOTE))
    moves = "" if quiet.moves is None else f", which moves no record's loss by more than {digits(quiet.moves, 2)}"
    screen.print(layout.text(f"For example sigma = {digits(quiet.sigma)} at most{moves}:"))
    telling.next_command(screen, result["next"])


def _quiet(rows: Sequence[TradeOff]) -> TradeOff:
    """The most noise that is little for the model; of noise of which nothing is known, the least."""
    from accountant.requests import HEARD

    return next((row for row in rows if row.moves is not None and row.moves <= HEARD), rows[-1])


def _table(rows: Sequence[TradeOff]) -> layout.Grid:
    table = layout.numbers(["sigma", "noise in\nmodel", "loss\nmoves", "steps\nin all", "gradients", "of one\nretraining"])
    for row in rows:
        share = "-" if row.relative is None else f"{100 * row.relative:.3g} %"
        each = f"{row.gradient_evaluations_per_request:,.0f}"
        table.add_row(
            digits(row.sigma), present.rough(row.noise, 3), present.rough(row.moves, 2), f"{row.steps:,}", each, share
        )
    return table
