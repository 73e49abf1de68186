"""How a report of the deletion service says numbers: for people who read contracts, and never less than they are."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from accountant.ledger import ReportedRun

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def guarantee_sentence(run: ReportedRun) -> str:
    """What a run's guarantee says, for people who read contracts; numbers are rounded up."""
    given = "if what ran is what the operator declares, which this program did not see, then " if run.declared else ""
    if run.what == "refit":
        said = (
            "the model was learned again, from the start, on the records that were left, with fresh random draws. None of the "
            "deleted records was used for it."
        )
    elif run.epsilon is None or run.delta is None:
        said = run.statement
    else:
        said = (
            "whatever anybody concludes from the model as it is now, by whatever means: that conclusion is at most "
            f"{factor(run.epsilon)} times as likely as it would be from a model that was made without the deleted records, "
            f"apart from a chance of at most {up(run.delta)}{_one_in(run.delta)}. (At most 1 times as likely, apart from a "
            "chance of 0, would mean: no difference at all.)"
        )
    return (given + said)[0].upper() + (given + said)[1:]


def _one_in(delta: float) -> str:
    """As a fraction of one, which is not smaller than delta."""
    if not 0 < delta <= 0.5:
        return ""
    whole = Context(prec=3, rounding=ROUND_FLOOR).divide(Decimal(1), _decimal(delta)).to_integral_value(ROUND_FLOOR)
    return f" (1 in {int(whole):,})" if whole < 10**12 else ""


def up(value: float | None) -> str:
    """Six digits, rounded up.

    >>> up(1.0), up(0.1), up(2.0000001), up(1e-9), up(None)
    ('1', '0.1', '2.00001', '1e-9', '–')
    """
    if value is None:
        return "–"
    return _plain(Context(prec=6, rounding=ROUND_CEILING).plus(_decimal(value)))


def factor(epsilon: float) -> str:
    """e to the epsilon in three digits, rounded up.

    >>> factor(0.0), factor(1.0), factor(20.0)
    ('1', '2.72', '486,000,000')
    """
    if epsilon == 0:
        return "1"
    exact = Context(prec=40).exp(_decimal(epsilon)).next_plus()
    found = Context(prec=3, rounding=ROUND_CEILING).plus(exact)
    return f"{found:,f}" if 0 <= found.adjusted() < 9 else _plain(found)


def _decimal(value: float) -> Decimal:
    """As entries say it: 0.1 is a tenth."""
    return Decimal(repr(float(value)))


def _plain(value: Decimal) -> str:
    value = value.normalize()
    return f"{value:f}" if -5 <= value.adjusted() < 9 else f"{value:e}".replace("e+", "e")


def long(seconds: float | None) -> str:
    """A length of time in its two largest units, rounded up.

    >>> long(None), long(0.2), long(61), long(2_592_000), long(100_000.5)
    ('–', '1 s', '1 min 1 s', '30 d', '1 d 4 h')
    """
    if seconds is None:
        return "–"
    whole = -int(-seconds // 1)
    for (large, name), (small, other) in pairwise(_UNITS):
        if whole >= large:
            count, rest = divmod(-(-whole // small) * small, large)
            return f"{count:,} {name}" + (f" {rest // small} {other}" if rest else "")
    return f"{whole} s"
