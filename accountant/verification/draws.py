"""How records come into batches, in the words of tables: what is named is taken, what leaves it open is asked about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Final

from accountant.numerics import InputError, choice
from accountant.problem import ASSIGNMENTS

#: Words in lower case without marks.
_WORDS: Final[dict[str, str]] = {
    **{name: name for name in ASSIGNMENTS},
    "cyclic": "partition",
    "cyclicbatches": "partition",
    "fixed": "partition",
    "fixedpartition": "partition",
    "fixedbatches": "partition",
    "fixedorder": "partition",
    "secretbatches": "secret",
    "secretdraws": "secret",
    "freshdraws": "fresh",
    "poissonsampling": "poisson",
    "poissonsubsampling": "poisson",
    "poissonsampled": "poisson",
}
#: Of these it is not known whether the order is drawn once or anew in every epoch.
_SHUFFLED: Final = re.compile(r"shuffl|permut|\brr\b|without replacement", re.IGNORECASE)
#: Cells of columns that nothing reads which speak of draws, and those which answer a column called so.
_SPEAKS: Final = re.compile(r"poisson|shuffl|permut|replacement|bernoulli|secret|fresh|\bi\.?i\.?d\b", re.IGNORECASE)
_YES: Final = {"yes", "true", "1", "on", "x", "y"}
_NAMED: Final = re.compile(r"shuffl|poisson", re.IGNORECASE)
_OPEN: Final = (
    "partition (one random order, kept in every epoch), with batches=reshuffle for a new order in every epoch of learning, or "
    "secret, fresh or poisson"
)


def assignment_of(text: str) -> str:
    """The assignment that a cell names; InputError for words that leave it open.

    >>> assignment_of("Poisson sampling"), assignment_of("cyclic")
    ('poisson', 'partition')
    """
    name = _WORDS.get("".join(letter for letter in text.lower() if letter.isalnum()))
    if name is not None:
        return name
    if _SHUFFLED.search(text):
        raise InputError(f"assignment must say which: {_OPEN}, got {text[:40]!r}")
    return choice("assignment", text, ASSIGNMENTS)


def ask_for_draws(suspects: Sequence[str], cells: Mapping[str, str]) -> None:
    """InputError where a column that nothing reads may say how records are drawn: no row is one of a partition silently."""
    for column in suspects:
        text = cells.get(column, "")
        if _SPEAKS.search(text) or (_NAMED.search(column) and text.lower() in _YES):
            raise InputError(
                f"column {column!r} is not used, and the row would count as one of a fixed partition: if it says how records "
                f"come into batches say --column assignment={quote(column)}, if not --assignment partition"
            )
