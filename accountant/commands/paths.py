"""What a call reads and what it writes, said where the option is declared: no file may be both, and none be written twice."""

from __future__ import annotations

import inspect
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from accountant.numerics import InputError


def _itself(path: str, values: Mapping[str, Any]) -> Iterable[str]:
    return (path,)


@dataclass(frozen=True)
class Read:
    """In the annotation of an option: its value is a path that is read, - standing for standard input.

    files: the files that a value stands for, from it and from the values of all options of the call.
    """

    files: Callable[[str, Mapping[str, Any]], Iterable[str]] = _itself


@dataclass(frozen=True)
class Written:
    """In the annotation of an option: its value is a path that is written; ``files`` as in :class:`Read`."""

    files: Callable[[str, Mapping[str, Any]], Iterable[str]] = _itself


@dataclass(frozen=True)
class _File:
    option: str
    path: str
    #: Device and inode, the same for all links; the resolved name of a file that is not there.
    identity: tuple[int, int] | str


def marks(parameters: Iterable[inspect.Parameter]) -> dict[str, Read | Written]:
    """Those of the parameters, by name, that stand for paths."""
    found = ((parameter.name, mark) for parameter in parameters for mark in get_args(parameter.annotation)[1:])
    return {name: mark for name, mark in found if isinstance(mark, Read | Written)}


def check(marked: Mapping[str, Read | Written], values: Mapping[str, Any]) -> None:
    """InputError if a file that a call writes is one that it reads, or is written twice, under whatever names and links."""
    given = {name: mark for name, mark in marked.items() if values.get(name) is not None}
    taken = [file for name, mark in given.items() if isinstance(mark, Read) for file in _files(name, mark, values)]
    written = [file for name, mark in given.items() if isinstance(mark, Written) for file in _files(name, mark, values)]
    for file in [*_redirected(), *written]:
        for other in taken:
            if file.identity == other.identity:
                got = f", got {file.path!r}" if file.path else ""
                raise InputError(f"{file.option} must be another file than {other.option}{got}")
        taken.append(file)


def _files(name: str, mark: Read | Written, values: Mapping[str, Any]) -> Iterator[_File]:
    for path in mark.files(values[name], values):
        if isinstance(mark, Read) and path == "-":
            yield from _regular(name, path, 0)
        else:
            yield _File(name, path, _identity(path))


def _redirected() -> Iterator[_File]:
    """Standard output, where it goes to a file."""
    try:
        yield from _regular("standard output", "", sys.stdout.fileno())
    except (OSError, ValueError):
        return


def _regular(name: str, path: str, handle: int) -> Iterator[_File]:
    try:
        status = os.fstat(handle)
    except OSError:
        return
    if stat.S_ISREG(status.st_mode):
        yield _File(name, path, (status.st_dev, status.st_ino))


def _identity(path: str) -> tuple[int, int] | str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.normcase(os.path.realpath(path))
    return status.st_dev, status.st_ino
