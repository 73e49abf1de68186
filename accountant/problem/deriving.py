"""From a loss in the user's words to L, m and M, with the arithmetic written out.

Numbers are read as the decimals that they print as, the formulas are evaluated in fractions, and L and M print as no less than
what follows: 0.25 * 2 + 0.001 is 0.501, and sqrt(2) is 1.4142135623730951.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from accountant.numerics import InputError, choice, integer, number
from accountant.problem.derivation import DERIVED, Derivation, lines_of
from accountant.problem.reading import decimal
from accountant.problem.shapes import SHAPES, Shape, checked_bound

#: The words that a loss is told in, beside its name; keys of a problem file and options of the shell.
LOSS_WORDS: Final = ("l2", "feature_bound", "intercept", "clip", "classes", "width", "target_bound")
#: What those mean that every loss needs.
_NEEDED: Final = {
    "l2": "lambda of the penalty lambda/2 ||w||^2, 0 where there is none",
    "feature_bound": "a bound on the norm of every row, known before looking at them",
}
#: Losses that have no smoothness, and so no place here, by the names that people ask for, with what they are as common steps:
#: by how much their subgradients differ, for rows of norm up to B (docs/theory.md, Any modulus).
_UNSMOOTH: Final = {
    "hinge": ("hinge", "B"),
    "svm": ("hinge", "B"),
    "absolute": ("absolute error", "2 B"),
    "absolute-error": ("absolute error", "2 B"),
    "l1": ("penalty l1 |w|_1", "2 l1 sqrt(d) plus what two gradients of the loss beside it differ by at most, 2M,"),
    "lasso": (
        "penalty l1 |w|_1",
        "2 l1 sqrt(d) plus 2M of a loss whose gradients are at most M, which squares are not unless clipped,",
    ),
}
_SQUARED: Final = "B\N{SUPERSCRIPT TWO}"


def derive(
    loss: str,
    *,
    l2: float | None,
    feature_bound: float | None,
    intercept: bool | None = None,
    clip: float | None = None,
    classes: int | None = None,
    width: float | None = None,
    target_bound: float | None = None,
    radius: float | None = None,
) -> Derivation:
    """The constants of a loss, and where they come from.

    loss: logistic, multinomial, smoothed-hinge or ridge. l2: lambda >= 0 of lambda/2 ||w||^2 in every point's loss, over all
    parameters, the intercept included. feature_bound: B > 0, bound on the 2-norm of every row. intercept: whether a constant
    feature 1 is added to the rows (None: it is, which gives the larger constants). clip: C > 0, bound on the norm of the data
    part of a gradient, by clipping. classes: how many; more than 2 make logistic multinomial. width: h of the smoothed hinge,
    default 1. target_bound: Y >= 0, bound on the targets of ridge, which with the radius R of the ball that every step projects
    on bounds its gradients. Raises InputError for values outside their domain and for words that are missing or do not belong.

    >>> for line in derive("logistic", l2=0.001, feature_bound=1.0, intercept=True).lines:
    ...     print(line)
    L = (B² + 1)/4 + λ = 0.501
    m = λ = 0.001
    M = √(B² + 1) = 1.414213563
    """
    _check_smooth(loss)
    shape = SHAPES[choice("loss", loss, SHAPES)]
    missing = [name for name, value in (("l2", l2), ("feature_bound", feature_bound)) if value is None]
    if missing:
        meant = "; ".join(_NEEDED[name] for name in missing)
        raise InputError(f"{' and '.join(missing)} must be given with loss={loss}: {meant}", missing=missing)
    shape, count = _counted(shape, classes)
    if not isinstance(intercept, bool | None):
        raise InputError(f"intercept must be true or false, got {intercept!r}")
    adds = intercept is not False
    penalty, bound = number("l2", l2, at_least=0), checked_bound(feature_bound)  # type: ignore[arg-type]
    limit = None if clip is None else number("clip", clip, above=0)
    square = decimal(bound) ** 2 + adds
    wide = _wide(shape, width)
    norm = f"\N{SQUARE ROOT}({_SQUARED} + 1)" if adds else "B"
    bounds = []
    if shape.squared_steepness is not None:
        bounds = [(_root(shape.squared_steepness * square), shape.steep.format(norm))]
    reach = _reach(shape, square, norm, target_bound, radius)
    bounds += [] if reach is None else [reach]
    bounds += [] if limit is None else [(limit, "C")]
    _check_bounded(shape, bounds, limit)
    lipschitz = min(value for value, _ in bounds)
    smoothness = up(shape.curvature / (1 if wide is None else decimal(wide)) * square + decimal(penalty))
    curved = shape.curve.format(f"({_SQUARED} + 1)" if adds else _SQUARED)
    return Derivation(
        loss=shape.name, l2=penalty, feature_bound=bound, intercept=adds, intercept_given=intercept is not None, clip=limit,
        classes=count, width=wide, target_bound=None if reach is None else target_bound,
        radius=None if reach is None or lipschitz < reach[0] else radius,
        smoothness=smoothness, strong_convexity=penalty, lipschitz=lipschitz,
        lines=lines_of(smoothness, curved, penalty, lipschitz, [text for _, text in bounds]),
    )  # fmt: skip


def with_constants(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name with L, m and M, and ``loss`` as their :class:`Derivation`, in place of the words of a loss.

    InputError where a loss and constants are given, or words of a loss without one.

    >>> with_constants({"n": 10, "loss": "logistic", "l2": 0.001, "feature_bound": 1.0})["lipschitz"]
    1.4142135623730951
    """
    loss, words = settings.get("loss"), [name for name in LOSS_WORDS if settings.get(name) is not None]
    if loss is None or isinstance(loss, Derivation):
        if words:
            raise InputError(f"{' and '.join(words)} must be left out without loss, which says what they are of")
        return dict(settings)
    if both := [name for name in DERIVED if name in settings]:
        raise InputError(
            f"{' and '.join(both)} must be left out with loss={loss}, which says it already: give one or the other"
        )
    found = derive(
        loss, **{"l2": None, "feature_bound": None, "radius": settings.get("radius"), **{w: settings[w] for w in words}}
    )
    others = {name: value for name, value in settings.items() if name not in LOSS_WORDS}
    return others | {name: getattr(found, name) for name in DERIVED} | {"loss": found}


def _check_smooth(loss: str) -> None:
    """InputError, with what to do, for a loss that is known not to be smooth."""
    if loss in _UNSMOOTH:
        name, constant = _UNSMOOTH[loss]
        instead = ", or smoothed-hinge here" if name == "hinge" else ""
        raise InputError(
            f"loss must be smooth for noisy SGD on batches, got {loss}: the {name} has kinks; take algorithm convex-hoelder "
            f"with hoelder_exponent 0 and hoelder_constant {constant} for rows of norm up to B{instead}"
        )


def _counted(shape: Shape, classes: int | None) -> tuple[Shape, int | None]:
    """The loss of so many classes: logistic regression of more than two is multinomial."""
    if classes is None:
        return shape, None
    if shape.targets:
        raise InputError(f"classes must be left out for {shape.name}, whose targets are numbers, got {classes}")
    count = integer("classes", classes, at_least=2)
    if count == 2 or shape.several:
        return shape, count
    if shape.name == "logistic":
        return SHAPES["multinomial"], count
    raise InputError(f"classes must be 2 for {shape.name}, got {count}; multinomial has more")


def _wide(shape: Shape, width: float | None) -> float | None:
    """The width of a loss that has one."""
    if shape.wide:
        return 1.0 if width is None else number("width", width, above=0)
    if width is not None:
        raise InputError(f"width must be left out for {shape.name}: it is of smoothed-hinge, got {width}")
    return None


def _reach(
    shape: Shape, square: Fraction, norm: str, target_bound: float | None, radius: float | None
) -> tuple[float, str] | None:
    """What bounds gradients of squares in a ball: |<w, x> - y| ||x|| <= (R ||x|| + Y) ||x||; None without a target bound."""
    if target_bound is None:
        return None
    if not shape.targets:
        raise InputError(f"target_bound must be left out for {shape.name}: it is of ridge, got {target_bound}")
    most = number("target_bound", target_bound, at_least=0)
    if radius is None:
        raise InputError(
            "radius must be given with target_bound, for without a ball that every step projects on predictions have no bound; "
            "or give clip"
        )
    # Row and constant feature together.
    longest = decimal(_root(square))
    value = up((decimal(number("radius", radius, above=0)) * longest + decimal(most)) * longest)
    return value, f"(R\N{MIDDLE DOT}{norm} + Y)\N{MIDDLE DOT}{norm}"


def _check_bounded(shape: Shape, bounds: list[tuple[float, str]], clip: float | None) -> None:
    """InputError where gradients have no bound, and where clipping does not leave a convex loss."""
    if not bounds:
        raise InputError(
            f"clip must be given for {shape.name}, whose gradients have no bound of their own: clip each point's gradient to a "
            "norm; or give target_bound, a bound on the targets, with radius, if every step projects on a ball"
        )
    if shape.several and clip is not None and clip < bounds[0][0]:
        raise InputError(
            f"clip must be left out or at least {bounds[0][0]:.10g} for multinomial, got {clip:g}: clipping several outputs "
            "below that need not leave a convex loss"
        )


def up(exact: Fraction) -> float:
    """The double that is nearest, or the next where that prints as less.

    >>> up(Fraction(501, 1000)), up(Fraction(1, 3))
    (0.501, 0.33333333333333337)
    """
    value = float(exact)
    while decimal(value) < exact:
        value = math.nextafter(value, math.inf)
    return value


def _root(square: Fraction) -> float:
    """The square root, which prints as no less than it is."""
    value = math.sqrt(float(square))
    while decimal(value) ** 2 < square:
        value = math.nextafter(value, math.inf)
    return value
