"""Where a report comes from: what was typed, when, which version, which files, which settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from os import PathLike
from os.path import isfile
from typing import Any, Final

from accountant.numerics import InputError

#: The words after ``accountant``, as they were typed; empty where a function was called.
TYPED: Final[ContextVar[tuple[str, ...]]] = ContextVar("accountant_typed", default=())
#: A password in the address of a database.
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):.*@", re.DOTALL)
#: Settings by the letters that people know them by, in the order in which they are told.
_LETTERS: Final = {
    "preset": "Dataset", "n": "n, records", "smoothness": "L, smoothness", "strong_convexity": "m, strong convexity",
    "lipschitz": "M, Lipschitz", "dimension": "Parameters", "adjacency": "Adjacency", "batch_size": "b, batch size",
    "step_size": "η, step size", "radius": "Radius", "learn_epochs": "Epochs of learning", "assignment": "Assignment",
    "steps_per_epoch": "Steps per epoch", "bound": "Bound", "batches": "Batches", "reference": "Reference",
    "group_size": "Records at once", "sigma": "σ, noise", "epsilon": "ε", "delta": "δ",
}  # fmt: skip


def typed() -> str:
    """The command as it was typed, without passwords; empty where there was none.

    >>> token = TYPED.set(("ledger", "report", "--db", "postgresql://me:secret@host/a b"))
    >>> typed()
    "accountant ledger report --db 'postgresql://me:***@host/a b'"
    >>> TYPED.reset(token)
    """
    words = [_PASSWORD.sub(r"\1:***@", word) for word in TYPED.get()]
    return shlex.join(("accountant", *words)) if words else ""


def today() -> str:
    """The time now, to the minute, in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def sha256(name: str, path: str | PathLike[str]) -> str:
    """The digest of a file; InputError, which calls it ``name``, where it cannot be read."""
    import hashlib  # Loads OpenSSL, which no command should wait for that writes no report.

    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be read: {error.strerror}") from None


def read(**paths: str | None) -> list[tuple[str, str, str]]:
    """Files as :func:`lines` takes them, by what they are: those that were given and can be read twice."""
    told = {what.capitalize(): path for what, path in paths.items() if path is not None and isfile(path)}
    return [(what, path, sha256(what.lower(), path)) for what, path in told.items()]


def lines(
    command: str, *, files: Iterable[tuple[str, str, str]] = (), settings: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    """Name and value of everything: command, date, version, files (what, name, digest) and settings that are known."""
    from accountant._version import __version__

    told = [("Command", typed() or f"accountant {command}"), ("Made on", today()), ("Version", f"accountant {__version__}")]
    for what, name, digest in files:
        told += [(what, name), ("SHA-256", digest)]
    return told + said(settings or {})


def said(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings by name, those that everybody asks for first."""
    known = {name: value for name, value in settings.items() if value is not None}
    names = [*(name for name in _LETTERS if name in known), *(name for name in known if name not in _LETTERS)]
    return [(_LETTERS.get(name, name.replace("_", " ").capitalize()), _shown(known[name])) for name in names]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
