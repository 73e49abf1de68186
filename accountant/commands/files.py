"""What commands write besides their answer: files that appear whole or not at all, and progress."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from accountant.numerics import InputError, Progress, first_bytes

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


@contextmanager
def replacing(name: str, path: str | None) -> Iterator[Path | None]:
    """An empty file beside ``path`` that takes its place at the end, if all goes well; InputError now if it could not."""
    if path is None:
        yield None
        return
    target = Path(os.path.realpath(path))
    if not target.name:
        raise InputError(f"{name} file {path} cannot be written: it is no file")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
            raise InputError(f"{name} file {path} cannot be written: it exists and is no file that may be replaced")
        part.touch(exist_ok=False)
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be written: {error.strerror}") from None
    try:
        yield part
        os.replace(part, target)
    except BrokenPipeError:
        # Nobody reads standard output any more, which is not the file's affair.
        raise
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """A CSV file of rows (at least one) that have the same columns."""
    with open(path, "w", newline="", encoding="utf-8") as file:
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
