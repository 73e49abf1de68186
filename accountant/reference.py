"""What "retraining" means: the run that an unlearned model must be indistinguishable from (theory section 1).

A reference of a number of epochs starts anywhere in the ball, even where that number is what learning and unlearning
together run: "matched" is the word for a common start, and so more unlearning never proves less.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from accountant.validation import MAX_COUNT, InputError

MATCHED: Final = "matched"
CONVERGED: Final = "converged"

#: "matched", "converged", or a number of retraining epochs.
Reference = str | int


def parse_reference(value: object) -> Reference:
    """Check a reference; a whole number of epochs may come as text. Raises InputError."""
    if value in (MATCHED, CONVERGED):
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    is_count = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_count and 1 <= int(value) <= MAX_COUNT:  # type: ignore[call-overload]
        return int(value)  # type: ignore[call-overload]
    raise InputError(
        f"reference must be {MATCHED}, {CONVERGED} or a number of retraining epochs from 1, got {value!r}"
    )


def describe(reference: Reference) -> str:
    """The reference in words, for the list of assumptions."""
    if reference == MATCHED:
        return "matched: retraining starts from the same initial law and runs as many steps as learning and unlearning"
    if reference == CONVERGED:
        return "converged: retraining has run until its law no longer changes"
    return (
        f"{reference} epochs of retraining from any start in the ball, plus the steps by which unlearning exceeds "
        "whole epochs"
    )
