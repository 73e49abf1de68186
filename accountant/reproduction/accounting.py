"""The accounting side of the published tables and figures, computed anew beside what was reported.

Reported: the shipped tables (``tables/shipped.py`` says where each is from). Figures of noise, cost and lists of epochs are
tables, too: what a picture of them would show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accountant.numerics import InputError, Progress, choice
from accountant.reproduction.figures import figure2, figure3b, figure3d
from accountant.reproduction.finetuning import noisy_finetuning
from accountant.reproduction.records import Reproduction
from accountant.reproduction.tables import table1, table2, table3


def reproduce(name: str, *, digits: int | None = None, progress: Progress | None = None) -> Reproduction:
    """One of TARGETS, its noise and epochs also to ``digits`` digits; InputError for other names, or where there are none.

    >>> table1 = reproduce("table1")
    >>> table1.columns, table1.largest_difference < 1e-3
    (('preset', 'constant', 'reported', 'ours', 'difference'), True)
    """
    make = _MAKERS[choice("what", name, TARGETS)]
    if digits is not None:
        check_digits(name)
    return make(progress or (lambda done, total: None), digits)


def check_digits(name: str) -> None:
    """InputError for the targets that no bound computes anything of."""
    if name in ("table1", "table2", "noisy-finetuning"):
        raise InputError(
            f"precision must be left out for {name}: its numbers come from no bound on batches, and have no more digits"
        )


_MAKERS: Final[dict[str, Callable[[Progress, int | None], Reproduction]]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "figure2": figure2,
    "figure3b": figure3b,
    "figure3d": figure3d,
    "noisy-finetuning": noisy_finetuning,
}
#: What can be reproduced.
TARGETS: Final = tuple(_MAKERS)
