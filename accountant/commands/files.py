"""What commands write besides their answer: files that appear whole or not at all, and progress."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from accountant.numerics import InputError, Progress, atomic_file, first_bytes

#: Seconds of work without a word.
_PATIENCE: Final = 2.0


def contents(name: str, path: str, most: int) -> bytes:
    """The first ``most`` bytes of a file, of standard input for -; InputError where it cannot be read."""
    if path != "-":
        return first_bytes(name, path, most)
    try:
        return sys.stdin.buffer.read(most)
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be read: {error.strerror}") from None


def of_data(path: str, values: Mapping[str, Any]) -> Iterable[str]:
    """The files that data are read from: one, or those of a folder in MNIST's IDX format."""
    return map(str, Path(path).glob("*-idx*")) if Path(path).is_dir() else (path,)


@contextmanager
def replacing(name: str, path: str | None) -> Iterator[Path | None]:
    """An empty file beside ``path`` that takes its place at the end, if all goes well; InputError now if it could not."""
    if path is None:
        yield None
        return
    try:
        with atomic_file(path) as part:
            yield part
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be written: {error.strerror}") from None


def writing(path: Path, *, newline: str | None = None) -> IO[str]:
    """A file of text in UTF-8, with escapes for what no text may hold: bytes of a file's name that are none of a character."""
    return open(path, "w", newline=newline, encoding="utf-8", errors="backslashreplace")


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV file of rows (at least one) that have the same columns."""
    with writing(path, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Shows a bar on standard error once the work has taken two seconds, if somebody watches."""
    started = time.monotonic()
    bars: list[Any] = []

    def show(done: int, total: int) -> None:
        if not bars:
            if time.monotonic() - started < _PATIENCE or not sys.stderr.isatty():
                return
            from rich.console import Console
            from rich.progress import Progress

            bars.append(Progress(console=Console(stderr=True), transient=True))
            bars[0].add_task(what)
            bars[0].start()
        bars[0].update(bars[0].task_ids[0], completed=done, total=total or None)

    try:
        yield show
    finally:
        for bar in bars:
            bar.stop()
