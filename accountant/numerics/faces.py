"""Faces: what a room hands on to the other rooms, each name read from its file only when somebody asks for it.

That keeps the structure and the start-up apart: a room is imported by its face alone, and a command loads what it uses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module


def face(room: str, **files: str) -> tuple[Callable[[str], object], tuple[str, ...]]:
    """``__getattr__`` and ``__all__`` of the package ``room`` (PEP 562), whose files hand on the names in ``files``.

    >>> __getattr__, __all__ = face("accountant.curves", gdp="gdp_delta gdp_mu", renyi="rdp_epsilon")
    >>> __all__
    ('gdp_delta', 'gdp_mu', 'rdp_epsilon')
    """
    file_of = {name: file for file, names in files.items() for name in names.split()}

    def handed_on(name: str) -> object:
        if name not in file_of:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{room}.{file_of[name]}"), name)
        # Found at once from now on.
        setattr(sys.modules[room], name, value)
        return value

    return handed_on, tuple(file_of)
