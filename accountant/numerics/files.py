"""Reading files of a bounded size: of whatever kind a file is, never more of it is held than was asked for."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

from accountant.numerics.validation import InputError


def first_bytes(name: str, path: str | PathLike[str], most: int) -> bytes:
    """The first ``most`` bytes of a file, fewer where it ends before; InputError says that the ``name`` file cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be read: {error.strerror}") from None


def all_bytes(name: str, path: str | PathLike[str], most: int) -> bytes:
    """A whole file of at most ``most`` bytes; InputError for a larger one and for one that cannot be read."""
    content = first_bytes(name, path, most + 1)
    if len(content) > most:
        raise InputError(f"{name} file {path} must be at most {most} bytes")
    return content


def read_json(name: str, text: str) -> Any:
    """The value that JSON text says; InputError for text that is none, and for a key that stands twice in one object.

    >>> read_json("guarantee", '{"kind": "gdp"}')
    {'kind': 'gdp'}
    """
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{name} must be JSON text, got {str(text)[:40]!r} ({error})") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; readers differ in which of two equal keys they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twin!r} stands twice")
    return found
