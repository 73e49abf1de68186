"""Identifiers of records: text or integers, told apart, so that a record's draw follows from what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Final

import numpy as np

from accountant.numerics import InputError

#: What a record may be called.
Identifier = str | int
#: Of integers; what Python writes and reads as decimals has fewer than ten times as many.
_BITS: Final = 1024


def identifier(name: str, value: object) -> Identifier:
    """One identifier in plain Python, or InputError that calls it ``name``.

    >>> identifier("ids", np.int64(7)), identifier("ids", np.str_("7"))
    (7, '7')
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)) and int(value).bit_length() <= _BITS:
        return int(value)
    raise InputError(f"{name} must be text or integers of at most {_BITS} bits, got {str(value)[:40]!r}")


def identifiers(name: str, values: object, count: int | None = None) -> tuple[Identifier, ...]:
    """One or more identifiers, ``count`` of them if that is given, each once; of arrays, lists, and what pandas has.

    >>> identifiers("ids", ["a17", 4])
    ('a17', 4)
    """
    found = tuple(identifier(name, value) for value in _listed(name, values))
    if count is not None and len(found) != count:
        raise InputError(f"{name} must be one for each of the {count} rows, got {len(found)}")
    if not found:
        raise InputError(f"{name} must name one or more records, got none")
    twice = first_twice(found)
    if twice is not None:
        raise InputError(f"{name} must name every record once, got {twice!r} more than once")
    return found


def encoded(value: Identifier) -> bytes:
    """The bytes of an identifier, different for any two that differ in type or value.

    >>> encoded(1), encoded("1")
    (b'i1', b't1')
    """
    return b"i%x" % value if isinstance(value, int) else b"t" + value.encode("utf-8", "surrogatepass")


def first_twice(values: Sequence[Any]) -> Any:
    """The first of the values that was there before, None if all differ."""
    if len(set(values)) == len(values):
        return None
    seen: set[Any] = set()
    return next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]


def _listed(name: str, values: Any) -> list[Any]:
    """The entries of a one-dimensional list, array, Index or Series."""
    if hasattr(values, "tolist"):
        if getattr(values, "ndim", 1) != 1:
            raise InputError(f"{name} must be one-dimensional, got shape {values.shape}")
        listed: list[Any] = values.tolist()
        return listed
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InputError(f"{name} must be a list of identifiers, got {values!r}")
    return list(values)
