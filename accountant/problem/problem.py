"""The learning problem: what is known of the data and the loss, and what a deletion changes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from accountant.numerics import InputError, choice, integer, number


class Adjacency(NamedTuple):
    """How two neighbouring datasets differ; ``factor`` is the sensitivity of a step in units of eta M/|B_j|."""

    factor: float
    meaning: str


ADJACENCIES: Final[dict[str, Adjacency]] = {
    "replace": Adjacency(2.0, "the deleted point is replaced by another"),
    "zero-out": Adjacency(1.0, "the deleted point's gradient is dropped, its batch keeps its divisor"),
    "remove": Adjacency(1.0, "the deleted record leaves, and nobody else moves (own draws of batches only)"),
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A loss over ``n`` points, each term ``smoothness``-smooth and ``strong_convexity``-strongly convex.

    The fields' ``help`` metadata gives meaning and domain; the command line shows the same words. The bound M on the data
    part of the gradient holds by construction or by clipping; a regulariser common to all points cancels and does not count.
    Raises InputError for a value outside its domain.

    >>> Problem(n=1000, smoothness=1.0, strong_convexity=0.1)
    Problem(n=1000, smoothness=1.0, strong_convexity=0.1, lipschitz=1.0, adjacency='replace')
    >>> Problem(n=1000, smoothness=1.0, strong_convexity=2.0)
    Traceback (most recent call last):
    accountant.numerics.validation.InputError: strong_convexity must be at most smoothness = 1.0, got 2.0
    """

    n: int = field(metadata={"help": "Number of training points, from 1."})
    smoothness: float = field(metadata={"help": "L > 0, smoothness of every point's loss."})
    strong_convexity: float = field(
        default=0.0, metadata={"help": "m, strong convexity of every point's loss, 0 <= m <= L; 0: convex."}
    )
    lipschitz: float = field(
        default=1.0, metadata={"help": "M > 0, bound on the norm of the data part of a per-sample gradient."}
    )
    adjacency: str = field(
        default="replace",
        metadata={"help": "What a deletion does: replace (another point), zero-out (no gradient) or remove (own draws)."},
    )

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "n", integer("n", self.n, at_least=1))
        set_(self, "smoothness", number("smoothness", self.smoothness, above=0))
        set_(self, "strong_convexity", number("strong_convexity", self.strong_convexity, at_least=0))
        set_(self, "lipschitz", number("lipschitz", self.lipschitz, above=0))
        choice("adjacency", self.adjacency, ADJACENCIES)
        if self.strong_convexity > self.smoothness:
            raise InputError(f"strong_convexity must be at most smoothness = {self.smoothness}, got {self.strong_convexity}")

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return asdict(self)
