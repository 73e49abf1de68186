"""The learning problem: what is known of the data and the loss, and what a deletion changes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from accountant.numerics import InputError, choice, integer, number
from accountant.problem.derivation import DERIVED, Derivation
from accountant.problem.deriving import derive


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
    loss: where the constants come from, as :meth:`from_loss` fills it; None of constants that are given by hand, and of any
    that are not what it says. Raises InputError for a value outside its domain.

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

    loss: Derivation | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "n", integer("n", self.n, at_least=1))
        set_(self, "smoothness", number("smoothness", self.smoothness, above=0))
        set_(self, "strong_convexity", number("strong_convexity", self.strong_convexity, at_least=0))
        set_(self, "lipschitz", number("lipschitz", self.lipschitz, above=0))
        choice("adjacency", self.adjacency, ADJACENCIES)
        if self.strong_convexity > self.smoothness:
            raise InputError(f"strong_convexity must be at most smoothness = {self.smoothness}, got {self.strong_convexity}")
        if self.loss is not None:
            if not isinstance(self.loss, Derivation):
                raise InputError(f"loss must be left out here, as Problem.from_loss fills it, got {self.loss!r}")
            if not self.loss.says(**{name: getattr(self, name) for name in DERIVED}):
                set_(self, "loss", None)

    @classmethod
    def from_loss(
        cls, loss: str, *, n: int, l2: float, feature_bound: float, intercept: bool | None = None, clip: float | None = None,
        classes: int | None = None, width: float | None = None, target_bound: float | None = None,
        radius: float | None = None, adjacency: str = "replace",
    ) -> Problem:  # fmt: skip
        """The problem of ``n`` points under a loss; arguments and refusals as of :func:`~accountant.problem.derive`.

        The intercept is counted unless ``intercept=False``: a constant feature 1 makes rows of norm B rows of norm
        sqrt(B^2 + 1).

        >>> Problem.from_loss("logistic", n=1000, l2=0.001, feature_bound=1.0)
        Problem(n=1000, smoothness=0.501, strong_convexity=0.001, lipschitz=1.4142135623730951, adjacency='replace')
        >>> Problem.from_loss("logistic", n=1000, l2=0.001, feature_bound=1.0, intercept=False).smoothness
        0.251
        """
        found = derive(
            loss, l2=l2, feature_bound=feature_bound, intercept=intercept, clip=clip, classes=classes, width=width,
            target_bound=target_bound, radius=radius,
        )  # fmt: skip
        return cls(n=n, adjacency=adjacency, loss=found, **{name: getattr(found, name) for name in DERIVED})

    def to_dict(self) -> dict[str, Any]:
        """The constructor's numbers and words, as JSON types; ``loss.to_dict()`` has where they come from."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "loss"}
