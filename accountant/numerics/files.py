"""Reading files of a bounded size: of whatever kind a file is, never more of it is held than was asked for."""

from __future__ import annotations

from os import PathLike

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
