"""What a reproduction is: rows of reported and computed numbers side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from accountant.methods import METHODS, BoundMethod
from accountant.numerics import Printed
from accountant.tables import TABLES, builtin
from accountant.verification import Claim, Claims

#: A row, by column: words, numbers and None, as JSON has them.
Record = dict[str, Any]


@dataclass(frozen=True)
class Reproduction:
    """Rows with ``reported`` and ``ours`` (None: nothing reported, or nothing to compute) and their relative ``difference``.

    Where digits were asked for, ``precise`` of a row has ``ours`` and ``optimal`` as decimals rounded up (None: they come from
    no bound of noisy SGD, so doubles only).
    """

    name: str
    title: str
    provenance: str
    columns: tuple[str, ...]
    rows: tuple[Record, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """JSON types."""
        return {
            "name": self.name,
            "title": self.title,
            "provenance": self.provenance,
            "columns": list(self.columns),
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
            "largest_difference": self.largest_difference,
        }

    @property
    def largest_difference(self) -> float | None:
        """Largest relative difference of any row that has one."""
        found = [abs(row["difference"]) for row in self.rows if row.get("difference") is not None]
        return max(found) if found else None


def made(
    name: str,
    columns: tuple[str, ...],
    rows: list[Record],
    notes: tuple[str, ...],
    *,
    title: str | None = None,
    provenance: tuple[str, ...] | None = None,
) -> Reproduction:
    """A reproduction, with title and provenance of the shipped tables that it is compared with."""
    sources = [TABLES[source] for source in provenance or (name,)]
    said = "; ".join(dict.fromkeys(source.provenance for source in sources))
    return Reproduction(name, title or sources[0].title, said, columns, tuple(rows), notes)


def compared(key: Record, reported: float | None, ours: float | None, **more: object) -> Record:
    """A row: what it is about, the two numbers and their relative difference, and more columns."""
    difference = None if reported is None or ours is None or reported == 0 else ours / reported - 1
    return {**key, "reported": reported, "ours": ours, "difference": difference, **more}


def claims_of(name: str) -> Iterator[Claim]:
    """The claims of a shipped table."""
    return (claim for claim in Claims(builtin(name).table()) if isinstance(claim, Claim))


def given(printed: Printed | None) -> float:
    """A number that every row of the shipped tables has."""
    assert printed is not None
    return float(printed.value)


def size_of(claim: Claim) -> int | str:
    """The batch size of a claim's run, "full" for all points."""
    size = claim.setup.algorithm.batch_size
    return "full" if size == claim.setup.problem.n else size


def recomputed(key: Record, claim: Claim, digits: int | None) -> Record:
    """sigma of the claim's method and of the tightest one, beside the reported one."""
    epsilon, setup, best = given(claim.epsilon), claim.setup, METHODS[claim.method.tightest]
    question = {"epsilon": np.array([epsilon]), "delta": np.array([claim.delta]), "steps": np.array([claim.steps])}
    ours, optimal = (float(method.sigma(setup, **question)[0]) for method in (claim.method, best))
    reported = given(claim.sigma)
    more: Record = {}
    if digits is not None:
        more["precise"] = {
            column: str(method.enclose(setup, "sigma", digits=digits, epsilon=epsilon, delta=claim.delta, steps=claim.steps))
            if isinstance(method, BoundMethod) else None
            for column, method in (("ours", claim.method), ("optimal", best))
        }  # fmt: skip
    return compared(key, reported, ours, optimal=optimal, ratio=reported / optimal, **more)
