"""What ``accountant ledger status`` says of costs: acting now or later, and learning again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accountant.commands.ledger import date
from accountant.commands.present import plural
from accountant.numerics import InputError

if TYPE_CHECKING:
    from accountant.ledger import Ledger, Outlook


def costs_of(ledger: Ledger) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The outlook as JSON and as rows; where the model cannot be read, the reason."""
    from accountant.ledger import RunFailedError

    try:
        found = ledger.outlook()
    except (InputError, RunFailedError) as error:
        return {"why": str(error)}, [("costs", f"not known: {error}")]
    return found.to_dict(), rows_of(found)


def rows_of(found: Outlook) -> list[tuple[str, str]]:
    """For people."""
    if found.why is not None:
        return [("costs", f"not known: {found.why}")]
    rows: list[tuple[str, str]] = []
    if found.points:
        now = (
            "no number of steps is enough"
            if found.now is None
            else f"{plural(found.now, 'step')} for all that waits, in one run"
        )
        rows.append(("acting now", now if found.seconds is None else f"{now}, about {found.seconds:.2g} s"))
        rows.append(("can wait until", date(found.start)))
        if found.saving_by_merging is not None:
            rows.append(("one by one", f"{plural(found.singly or 0, 'step')}, {found.saving_by_merging:.2g} times as many"))
        if found.saving_by_waiting is not None:
            rows.append(
                (
                    "waiting",
                    f"{found.merged} steps then, with {plural(found.expected, 'record')} that may come; now and again then "
                    f"{found.apart}, {found.saving_by_waiting:.2g} times as many",
                )
            )
    if found.refit is not None:
        rows.append(("learning again", _again(found)))
    return rows


def _again(found: Outlook) -> str:
    said = plural(found.refit or 0, "step")
    if found.refit_cheaper:
        return f"{said}, which is cheaper now: accountant ledger refit, or process --refit-when-cheaper"
    if found.requests_left is None:
        return f"{said}, which is not cheaper within {found.ahead} such runs"
    return f"{said}, which is cheaper after {plural(found.requests_left, 'such run')}"
