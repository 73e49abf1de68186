"""Where L, m and M of a problem come from: a loss, and the arithmetic that leads to them, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from accountant.numerics import digits, shown

#: The constants that follow from a loss.
DERIVED: Final = ("smoothness", "strong_convexity", "lipschitz")
LAMBDA: Final = "λ"
#: scikit-learn's linear models leave the intercept out of the penalty: the loss is then flat in it.
ALL_REGULARISED: Final = "the intercept's too (scikit-learn leaves it out: then m = 0)"


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """A loss with what was said of it, and the constants that follow; made by :func:`~accountant.problem.derive`.

    loss: its name. l2: lambda. feature_bound: B, of rows without the constant feature of an intercept. intercept_given: whether
    somebody said so, or it was taken, for the larger constants. clip, classes, width, target_bound: None where they do not
    matter. radius: of the ball that M rests on, None where it rests on none. lines: how each of the constants comes about.
    """

    loss: str
    l2: float
    feature_bound: float
    intercept: bool
    intercept_given: bool = True
    clip: float | None = None
    classes: int | None = None
    width: float | None = None
    target_bound: float | None = None
    radius: float | None = None
    smoothness: float
    strong_convexity: float
    lipschitz: float
    lines: tuple[str, ...]

    @property
    def about(self) -> str:
        """The loss and its rows in words.

        >>> from accountant.problem import derive
        >>> derive("logistic", l2=0.001, feature_bound=1.0, intercept=False).about
        "logistic loss, rows of norm at most B = 1, an intercept's 1 included, λ = 0.001"
        """
        more = [
            f"{name} = {shown(value)}"
            for name, value in (("h", self.width), ("Y", self.target_bound), ("R", self.radius), ("C", self.clip))
            if value is not None
        ]
        return ", ".join([self.rows, f"{LAMBDA} = {shown(self.l2)}{self.everything if self.l2 else ''}", *more])

    @property
    def everything(self) -> str:
        """Of lambda, what it is over where there is an intercept, as people know it otherwise; else nothing."""
        return f" over all parameters, {ALL_REGULARISED}" if self.intercept else ""

    @property
    def rows(self) -> str:
        """The loss, and what its rows are, in words."""
        classes = f" of {self.classes} classes" if self.classes is not None else ""
        rows = f"rows of norm at most B = {shown(self.feature_bound)}"
        # Without: the estimators have their constant feature in B, and whoever forgot his own reads it here.
        rows += " and a constant feature 1 for the intercept" if self.intercept else ", an intercept's 1 included"
        return f"{self.loss} loss{classes}, {rows}"

    def says(self, *, smoothness: float, strong_convexity: float, lipschitz: float) -> bool:
        """Whether these are the constants that follow."""
        own = (self.smoothness, self.strong_convexity, self.lipschitz)
        return own == (smoothness, strong_convexity, lipschitz)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types."""
        from dataclasses import asdict

        return {**asdict(self), "lines": list(self.lines)}


def lines_of(smoothness: float, curved: str, strong_convexity: float, lipschitz: float, bounds: list[str]) -> tuple[str, ...]:
    """How the constants come about: ``curved`` is L without lambda, ``bounds`` what M is the least of."""
    most = bounds[0] if len(bounds) == 1 else f"min({', '.join(bounds)})"
    return (
        f"L = {curved} + {LAMBDA} = {digits(smoothness, 10)}",
        f"m = {LAMBDA} = {digits(strong_convexity, 10, down=True)}",
        f"M = {most} = {digits(lipschitz, 10)}",
    )
