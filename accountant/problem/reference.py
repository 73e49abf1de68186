"""What "retraining" means: the run that an unlearned model must be indistinguishable from (theory section 1).

A reference of a number of epochs starts anywhere in the ball, even where that number is what learning and unlearning
together run: "matched" is the word for a common start, and so more unlearning never proves less.
"""

from __future__ import annotations

from typing import Final

from accountant.numerics import MAX_COUNT, word_or_count

MATCHED: Final = "matched"
CONVERGED: Final = "converged"
#: "matched", "converged", or a number of retraining epochs.
Reference = str | int

#: Where deleted points lie: averaged over the draw of the batch order, wherever they do most, in fresh orders in learning.
RANDOM: Final = "random"
WORST: Final = "worst"
RESHUFFLE: Final = "reshuffle"
#: One of these words, the position of a batch, or numbers of points per batch.
Batches = str | int | tuple[int, ...]


def parse_reference(value: object) -> Reference:
    """Check a reference; a number of epochs may come as text. Raises InputError."""
    return word_or_count(
        "reference", value, words=(MATCHED, CONVERGED), count="a number of retraining epochs", at_least=1, at_most=MAX_COUNT
    )


def describe(reference: Reference) -> str:
    """The reference in words, for the list of assumptions."""
    if reference == MATCHED:
        return "matched: retraining starts from the same initial law and runs as many steps as learning and unlearning"
    if reference == CONVERGED:
        return "converged: retraining has run until its law no longer changes"
    return (
        f"{reference} epochs of retraining from any start in the ball, plus the steps by which unlearning exceeds whole epochs"
    )
