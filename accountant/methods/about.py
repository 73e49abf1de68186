"""What every row says of itself beside its numbers: what runs, for which losses, data and requests, since when, whose code."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

#: Classes of losses, by the word that tables have, with what is assumed of every point's loss.
LOSSES: Final = {
    "convex": "smooth and convex",
    "strong": "smooth and strongly convex",
    "curved": "smooth and strongly convex, with a Hessian that has a Lipschitz constant",
    "smooth": "smooth, convex or not",
    "lipschitz": "convex and Lipschitz, smooth or not",
    "hoelder": "with gradients that are Hölder continuous, convex or not",
    "any": "whatever it is: gradients or models are clipped, or nothing rests on it",
}
#: What becomes of a deleted record: the values of ``adjacency``.
DATA: Final = ("replace", "zero-out", "remove")
#: What may be asked: one record; several at once; one request after another; requests that depend on earlier releases.
REQUESTS: Final = ("one", "group", "stream", "adaptive")
#: ``code`` of what is this package's own.
OURS: Final = "this package"

Losses = Literal["convex", "strong", "curved", "smooth", "lipschitz", "hoelder", "any"]
Data = Literal["replace", "zero-out", "remove"]
Requests = Literal["one", "group", "stream", "adaptive"]


class About(NamedTuple):
    """The columns of a row that are no numbers. Every method has one, as the attribute ``about``.

    >>> About("gradient descent", losses="strong", data=("replace",), requests=("one",), code=None, year=2021).year
    2021
    """

    #: What is run to unlearn, in a few words.
    runs: str
    #: The widest class of losses that it is stated for.
    losses: Losses
    #: What may become of the deleted record.
    data: tuple[Data, ...]
    #: What may be asked; adaptive requests may depend on what was released before.
    requests: tuple[Requests, ...]
    #: Where public code is: a repository on GitHub, words, OURS, or None where none is known.
    code: str | None
    #: Of the first version that was published; None: of what is this package's own.
    year: int | None

    def to_dict(self) -> dict[str, object]:
        """JSON types."""
        return self._asdict() | {"data": list(self.data), "requests": list(self.requests)}
