"""Who decides which batch a record is in: one partition of all records, or every record by a draw of its own.

With draws of their own (a keyed hash of the record's identifier) batch sizes are random, the divisor is the fixed b and the
regulariser stands outside of the sum:

    x <- Proj_R(x - eta (m x + 1/b sum_{i in B_j} g_i(x)) + sqrt(2 eta) sigma N(0, I)).

A record that is deleted leaves and nobody else moves (docs/theory.md, "Secret batches").
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Assignment(NamedTuple):
    """How records come into batches. own: every record draws by itself. finite: its cost grows with the length of learning."""

    meaning: str
    own: bool
    finite: bool


PARTITION: Final = "partition"
SECRET: Final = "secret"
FRESH: Final = "fresh"
POISSON: Final = "poisson"
ASSIGNMENTS: Final[dict[str, Assignment]] = {
    PARTITION: Assignment(
        "cyclic batches: one random partition, visited in the same order in every epoch of learning and unlearning",
        False,
        False,
    ),
    SECRET: Assignment(
        "every record draws its batch by itself and secretly, the same in every epoch of learning and unlearning", True, False
    ),
    FRESH: Assignment("every record draws its batch by itself and secretly, anew in every epoch", True, True),
    POISSON: Assignment("every record is in every step with probability 1/J by itself and secretly", True, True),
}
