"""Noisy steps that both runs share: fine-tuning with clipped gradients and the like, from starts that are not too far apart.

What is compared: retraining without the records (or starting from the public initialisation), clipping the model alike, then
the same noisy steps on the same retained data. The deleted records are in no step that is accounted for, so neither their
number nor their batches count, and sigma is the standard deviation of one step's noise:

    x <- x - step_size g(x) + sigma N(0, I).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, ClassVar, Final

from accountant.numerics import InputError, choice, number, shown

#: Where the reference starts: a clipped model, or the centre of the ball, which is public.
CLIPPED: Final = "clipped"
CENTRE: Final = "centre"
STARTS: Final = (CLIPPED, CENTRE)


@dataclass(frozen=True, kw_only=True)
class Stepping:
    """What all of them have: step size, decay, start and projection. Raises InputError for a value outside its domain.

    The start distance is 2 start_clip (start_clip, where the reference starts at the centre), and never more than the diameter
    2 model_clip where every step clips the model: both models are clipped to the smaller of the two before the first step. One
    of the two is needed.
    """

    step_size: float = field(metadata={"help": "gamma > 0, step size."})
    start_clip: float | None = field(
        default=None, metadata={"help": "C0 > 0, norm that both models are clipped to before the first noisy step."}
    )
    model_clip: float | None = field(
        default=None, metadata={"help": "R > 0, norm that every step clips the model to, after its noise; default: none."}
    )
    weight_decay: float = field(
        default=0.0, metadata={"help": "lambda >= 0, decay of the model in every step, at most 1/gamma."}
    )
    start: str = field(
        default=CLIPPED, metadata={"help": "Where the reference starts: clipped (any clipped model) or centre (of the ball)."}
    )

    #: What runs, in one word; shell, TOML and JSON have it as ``algorithm``.
    name: ClassVar[str]
    #: What a step is, in words.
    meaning: ClassVar[str]

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "step_size", number("step_size", self.step_size, above=0))
        for name in ("start_clip", "model_clip"):
            if getattr(self, name) is not None:
                set_(self, name, number(name, getattr(self, name), above=0))
        set_(self, "weight_decay", number("weight_decay", self.weight_decay, at_least=0))
        if self.step_size * self.weight_decay > 1:
            raise InputError(f"weight_decay must be at most 1/step_size = {1 / self.step_size:g}, got {self.weight_decay}")
        choice("start", self.start, STARTS)

    @property
    def _left(self) -> Fraction:
        return abs(1 - Fraction(self.step_size) * Fraction(self.weight_decay))

    @property
    def rho(self) -> float:
        """|1 - gamma lambda|, what decay leaves of the model in a step, rounded up: near 0 it is all that counts."""
        rho = float(self._left)
        return rho if rho >= self._left else math.nextafter(rho, math.inf)

    @property
    def lost(self) -> float:
        """1 - rho, to more digits than rho has near 1, rounded down: 1 only where nothing is left."""
        lost = float(1 - self._left)
        return lost if lost <= 1 - self._left else math.nextafter(lost, 0.0)

    @property
    def diameter(self) -> float:
        """2R, +inf where no step clips the model."""
        return math.inf if self.model_clip is None else 2 * self.model_clip

    @property
    def start_distance(self) -> float:
        """How far apart the two models can be before the first step; +inf where nothing is said."""
        apart = math.inf
        if self.start_clip is not None:
            apart = self.start_clip if self.start == CENTRE else 2 * self.start_clip
        return min(apart, self.diameter)

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON types."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, kw_only=True)
class FineTuning(Stepping):
    """x <- Clip_R(x - gamma (clip_C(g(x)) + lambda x) + sigma N(0, I)): the gradient of a *batch*, clipped; any loss.

    gradient_clip: C, what the gradient of every batch is clipped to, in all parameters together. clip_first: the model is
    clipped before the noise of each step instead of after it, as published "model clipping" does; gradients need no clip then.

    >>> FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0).start_distance
    2.0
    """

    gradient_clip: float | None = field(
        default=None, metadata={"help": "C > 0, norm that the gradient of every batch is clipped to."}
    )
    clip_first: bool = field(
        default=False, metadata={"help": "Whether a step clips the model before its noise (published model clipping)."}
    )

    name: ClassVar[str] = "fine-tuning"
    meaning: ClassVar[str] = "gradients of batches are clipped in all parameters together, whatever the loss is"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient_clip is not None:
            object.__setattr__(self, "gradient_clip", number("gradient_clip", self.gradient_clip, above=0))
        if not isinstance(self.clip_first, bool):
            raise InputError(f"clip_first must be true or false, got {self.clip_first!r}")
        if self.clip_first and self.model_clip is None:
            raise InputError("clip_first needs model_clip, the norm that the model is clipped to before the noise of each step")
        if self.gradient_clip is None and not self.clip_first:
            raise InputError("gradient_clip must be given: without it nothing bounds how far one step moves two models apart")


@dataclass(frozen=True, kw_only=True)
class ConvexNonsmooth(Stepping):
    """x <- Proj_R(x - gamma (g(x) + lambda x) + sigma N(0, I)), g(x) a subgradient of norm at most G, by one common rule.

    Losses like the hinge and penalties like the 1-norm, which are convex and G-Lipschitz and no more.

    >>> ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0).rho
    1.0
    """

    lipschitz: float = field(metadata={"help": "G > 0, bound on the norm of the subgradient of every batch."})

    name: ClassVar[str] = "convex-nonsmooth"
    meaning: ClassVar[str] = "every batch's loss is convex, and both runs take subgradients by the same rule"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lipschitz", number("lipschitz", self.lipschitz, above=0))


@dataclass(frozen=True, kw_only=True)
class SmoothNonconvex(Stepping):
    """x <- Proj_R(x - gamma (grad f(x) + lambda x) + sigma N(0, I)), the batch's loss L-smooth, clipped gradients or not.

    >>> SmoothNonconvex(step_size=0.01, smoothness=1.0, model_clip=1.0).diameter
    2.0
    """

    smoothness: float = field(metadata={"help": "L > 0, smoothness of every batch's loss."})
    gradient_clip: float | None = field(
        default=None, metadata={"help": "C > 0, norm that the gradient of every batch is clipped to, if it is."}
    )

    name: ClassVar[str] = "smooth-nonconvex"
    meaning: ClassVar[str] = "every batch's loss is smooth, convex or not"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "smoothness", number("smoothness", self.smoothness, above=0))
        if self.gradient_clip is not None:
            object.__setattr__(self, "gradient_clip", number("gradient_clip", self.gradient_clip, above=0))


@dataclass(frozen=True, kw_only=True)
class _Hoelder(Stepping):
    """Gradients (or subgradients, by one common rule) of every batch with ||g(x) - g(y)|| <= L ||x - y||^kappa."""

    hoelder_constant: float = field(
        metadata={"help": "L > 0 of ||g(x) - g(y)|| <= L ||x - y||^kappa, for the gradient g of every batch."}
    )
    hoelder_exponent: float = field(
        metadata={"help": "kappa, 0 <= kappa < 1; 0: gradients differ by at most L, as a hinge's subgradients do."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        set_ = object.__setattr__
        set_(self, "hoelder_constant", number("hoelder_constant", self.hoelder_constant, above=0))
        exponent = number("hoelder_exponent", self.hoelder_exponent, at_least=0)
        if exponent >= 1:
            raise InputError(
                f"hoelder_exponent must be from 0 to less than 1, got {shown(exponent)}: 1 is "
                "smoothness, which has bounds of its own"
            )
        set_(self, "hoelder_exponent", exponent)


@dataclass(frozen=True, kw_only=True)
class ConvexHoelder(_Hoelder):
    """x <- Proj_R(x - gamma (g(x) + lambda x) + sigma N(0, I)), ||g(x) - g(y)|| <= L ||x - y||^kappa, g of a convex loss.

    Convex, and with that gradient, on the whole space: a batch's hinge of rows of norm up to r has L = r and kappa = 0, and
    powers p of absolute errors, 1 < p < 2, have kappa = p - 1.

    >>> ConvexHoelder(step_size=0.01, hoelder_constant=1.0, hoelder_exponent=0.5, start_clip=1.0).rho
    1.0
    """

    name: ClassVar[str] = "convex-hoelder"
    meaning: ClassVar[str] = (
        "every batch's loss is convex on the whole space, with gradients ||g(x) - g(y)|| <= hoelder_constant ||x - y||^"
        "hoelder_exponent; where there are several subgradients both runs take them by the same rule"
    )


@dataclass(frozen=True, kw_only=True)
class HoelderNonconvex(_Hoelder):
    """The same steps where nothing is known to be convex.

    >>> HoelderNonconvex(step_size=0.01, hoelder_constant=1.0, hoelder_exponent=0.5, model_clip=1.0).diameter
    2.0
    """

    name: ClassVar[str] = "hoelder-nonconvex"
    meaning: ClassVar[str] = (
        "every batch's loss, convex or not, has gradients ||g(x) - g(y)|| <= hoelder_constant ||x - y||^hoelder_exponent"
    )


#: The algorithms whose steps both runs share, by the word that names them.
STEPPING: Final[dict[str, type[Stepping]]] = {
    kind.name: kind for kind in (FineTuning, ConvexNonsmooth, SmoothNonconvex, ConvexHoelder, HoelderNonconvex)
}
