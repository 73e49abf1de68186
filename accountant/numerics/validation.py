"""One way to refuse bad input: a sentence that names the argument, its value and the allowed range."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Largest count (steps, epochs, points) that doubles still hold exactly.
MAX_COUNT = 2**53
#: Sizes of the numbers that problems are made of; between them no formula here over- or underflows unannounced.
SMALLEST, LARGEST = 1e-300, 1e300


class InputError(ValueError):
    """An argument is outside its domain, or a combination of arguments proves nothing.

    The text is ``message``, one sentence that begins with the argument's name, then ``; `` and the ``hint`` where there is one.
    missing: names of arguments that must be given and are not. A name is that of the argument in Python; a shell shows it as it
    is typed there.

    >>> print(InputError("preset must be one of mnist, cifar10, got 'mnits'", hint="did you mean mnist?"))
    preset must be one of mnist, cifar10, got 'mnits'; did you mean mnist?
    """

    def __init__(self, message: str = "", *, hint: str | None = None, missing: Iterable[str] = ()) -> None:
        super().__init__(message if hint is None else f"{message}; {hint}")
        self.message, self.hint, self.missing = message, hint, tuple(missing)


class MissingExtraError(InputError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs {package}, which is not installed: pip install 'unlearning-accountant[{extra}]'")


class UnreachableError(InputError):
    """No value of the unknown reaches the target; the message says which limit stops it."""


def _range_text(above: float | None, at_least: float | None, below: float | None, at_most: float | None) -> str:
    """The range in words, "from" and "to" with their ends: above 0, from 0 to 1, above 0 and below 1."""
    if at_least is not None and above is None and below is None:
        return f"from {limit_of(at_least)}" + ("" if at_most is None else f" to {limit_of(at_most)}")
    ends = {"above": above, "at least": at_least, "below": below, "at most": at_most}
    return " and ".join(f"{word} {limit_of(end)}" for word, end in ends.items() if end is not None)


def _from_to(at_least: int, at_most: int, got: object = None) -> str:
    """The range of counts; the largest of all is said only to who exceeds it."""
    told = at_most < MAX_COUNT or (isinstance(got, Real) and cast(float, got) > MAX_COUNT)
    return f"from {limit_of(at_least)} to {limit_of(at_most)}" if told else f"from {limit_of(at_least)}"


def limit_of(end: float) -> str:
    """A number that ends a range as people write it: 2^53, 1e300, 0.5."""
    if end == MAX_COUNT:
        return "2^53"
    text, short = shown(end), f"{end:g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    return short if ("e" in text or len(text) > 8) and float(short) == end else text


def shown(value: float) -> str:
    """A number with every digit that it has, whole ones without a point."""
    whole = math.isfinite(value) and value == math.floor(value) and abs(value) <= MAX_COUNT
    return str(int(value)) if whole else repr(float(value))


def number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return ``value`` as a float in the given range, zero or of a size from 1e-300 to 1e300, or raise InputError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        allowed = f"a number {_range_text(above, at_least, below, at_most)}".rstrip()
        raise InputError(f"{name} must be {allowed}, got {value!r}")
    real = cast(float, value)
    return float(numbers(name, real, above=above, at_least=at_least, below=below, at_most=at_most, sized=True))


def integer(name: str, value: object, *, at_least: int, at_most: int = MAX_COUNT) -> int:
    """Return ``value`` as an int between ``at_least`` and ``at_most``, or raise :class:`InputError`."""
    if isinstance(value, Integral) and not isinstance(value, bool) and at_least <= int(value) <= at_most:
        return int(value)
    raise InputError(f"{name} must be a whole number {_from_to(at_least, at_most, value)}, got {value!r}")


def numbers(
    name: str,
    value: ArrayLike,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    whole: bool = False,
    finite: bool = True,
    sized: bool = False,
) -> NDArray[np.float64]:
    """Return ``value`` as a float array whose every entry is in the range, or raise :class:`InputError`.

    ``finite=False`` admits +infinity (a diameter that does not bind); NaN never passes. ``sized`` asks for entries that are
    zero or of a size from 1e-300 to 1e300.
    """
    allowed = f"a {'whole ' if whole else ''}number {_range_text(above, at_least, below, at_most)}".rstrip()
    array = _real_array(name, value, allowed)
    inside = np.isfinite(array) if finite else ~np.isnan(array)
    if above is not None:
        inside &= array > above
    if at_least is not None:
        inside &= array >= at_least
    if below is not None:
        inside &= array < below
    if at_most is not None:
        inside &= array <= at_most
    if whole:
        inside &= array == np.floor(array)
    if not inside.all():
        first = float(array[~inside].flat[0])
        if not math.isfinite(first) and not whole:
            allowed = f"a finite {allowed.removeprefix('a ')}"
        if at_most == MAX_COUNT and first <= MAX_COUNT:
            allowed = allowed.removesuffix(" to 2^53")
        raise InputError(f"{name} must be {allowed}, got {shown(first)}")
    odd = (array != 0) & ((np.abs(array) < SMALLEST) | (np.abs(array) > LARGEST)) if sized else ~inside
    if odd.any():
        raise InputError(f"{name} must be 1e-300 to 1e300 in size, got {shown(float(array[odd].flat[0]))}")
    return array


def _real_array(name: str, value: ArrayLike, allowed: str) -> NDArray[np.float64]:
    """A copy of ``value`` as an array of doubles."""
    # Where nobody has imported numpy.ma, which is slow, there are no masked arrays.
    if "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray) and value.mask.any():
        raise InputError(f"{name} must have no masked entries, got {int(value.mask.sum())} of them")
    try:
        raw = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} must be a number or a rectangular array, got {value!r}") from None
    if raw.dtype.kind not in "iuf" and not _all_real(raw):
        raise InputError(f"{name} must be {allowed}, got {value!r}")
    try:
        return np.array(raw, dtype=np.float64)
    except OverflowError:
        raise InputError(f"{name} must be {allowed}, got {value!r}") from None


def _all_real(raw: NDArray[Any]) -> bool:
    if raw.dtype.kind != "O":
        return False
    return all(isinstance(item, Real) and not isinstance(item, bool) for item in raw.flat)


def word_or_count(name: str, value: object, *, words: tuple[str, ...], count: str, at_least: int, at_most: int) -> str | int:
    """Return one of the ``words``, or a whole number in the range (which may come as text); ``count`` says what it counts."""
    if isinstance(value, str):
        if value in words:
            return value
        if value.isascii() and value.isdigit() and len(value) <= len(str(MAX_COUNT)):
            value = int(value)
    if isinstance(value, Integral) and not isinstance(value, bool) and at_least <= int(value) <= at_most:
        return int(value)
    hint = _meant(value, words)
    raise InputError(
        f"{name} must be {', '.join(words)} or {count} {_from_to(at_least, at_most, value)}, got {value!r}", hint=hint
    )


def checked_mixture(
    weights: ArrayLike, name: str, values: ArrayLike, *, at_most: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check probabilities (J,) that sum to one and the values (..., J) >= 0 of the components that they weigh."""
    w = numbers("weights", weights, at_least=0, at_most=1)
    array = numbers(name, values, at_least=0, at_most=at_most)
    if w.ndim != 1 or not array.ndim or array.shape[-1] != w.size or not w.size:
        raise InputError(f"weights must have shape (J,) and {name} (..., J), got {w.shape} and {array.shape}")
    if not abs(w.sum() - 1) <= 1e-13:
        raise InputError(f"weights must sum to 1, got {w.sum()}")
    return w, array


def truth(name: str, text: str) -> bool:
    """yes or no, as people and TOML say them, or raise :class:`InputError`."""
    words = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in words:
        raise InputError(f"{name} must be yes or no, got {text[:40]!r}")
    return words[text.lower()]


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of the allowed words, or raise :class:`InputError` naming them."""
    words = list(allowed)
    if not isinstance(value, str) or value not in words:
        raise InputError(f"{name} must be one of {', '.join(words)}, got {value!r}", hint=_meant(value, words))
    return value


def _meant(value: object, words: Iterable[str]) -> str | None:
    """The word that was meant, as a question."""
    found = closest(value, words) if isinstance(value, str) else None
    return f"did you mean {found}?" if found else None


def closest(typed: str, words: Iterable[str]) -> str | None:
    """The word that was meant by ``typed``, in any case; None where none is near.

    >>> closest("MNITS", ["mnist", "cifar10"]), closest("hinge", ["ridge", "smoothed-hinge"]), closest("x", ["mnist"])
    ('mnist', 'smoothed-hinge', None)
    """
    from difflib import get_close_matches

    by_case, word = {each.lower(): each for each in words}, typed.lower()
    whole = [each for each in by_case if word in each.split("-")]
    near = get_close_matches(word, by_case, n=1, cutoff=0.6)
    # Another first letter is another word, unless the rest is nearly the same: Total is not optimal.
    found = whole if len(whole) == 1 else near if near and near[0][0] == word[0] else get_close_matches(word, near, cutoff=0.75)
    return by_case[found[0]] if found else None
