"""What commands write besides their answer: files that appear whole or not at all, and progress."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
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


@contextmanager
def rereadable(name: str, path: str) -> Iterator[str | Path]:
    """A file that can be read several times: itself, or a copy of a pipe or (for -) of standard input."""
    if path != "-" and (not os.path.exists(path) or os.path.isfile(path) or os.path.isdir(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "table"
        try:
            with open(copy, "wb") as file, nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as source:
                shutil.copyfileobj(source, file)
        except OSError as error:
            raise InputError(f"{name} {path} cannot be read: {error.strerror}") from None
        yield copy


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
def progress(what: str, *, counted: bool = True) -> Iterator[Progress]:
    """Shows on standard error how far the work is once it has taken two seconds, if somebody watches.

    A bar and a percentage where the work that there is has been counted, else what is done so far and a wheel that turns;
    always the time that has gone by. counted: False for work in parts that take so unlike times that a share says nothing.
    """
    bar = _Bar(what, counted=counted)
    try:
        yield bar.update
    finally:
        bar.stop()


class _Bar:
    """What is shown of work in progress; a thread of its own begins it, so that it is seen while nothing is told."""

    def __init__(self, what: str, *, counted: bool) -> None:
        self._what, self._counted, self._began = what, counted, time.monotonic()
        self._done, self._total = 0, 0
        self._shown: Any = None
        self._over = False
        self._lock = threading.Lock()
        self._watched = sys.stderr.isatty()
        self._timer = threading.Timer(_PATIENCE, self._start)
        self._timer.daemon = True
        if self._watched:
            self._timer.start()

    def update(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        if self._watched and time.monotonic() - self._began >= _PATIENCE:
            self._start()
        if self._shown is not None:
            self._tell()

    def stop(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._shown is not None:
                self._shown.stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._over or self._shown is not None:
                return
            style = "line" if (sys.stderr.encoding or "ascii").lower() not in ("utf-8", "utf8") else "dots"
            columns = [SpinnerColumn(style), TextColumn("{task.description}", markup=False)]
            columns += [BarColumn()] if self._counted else []
            columns += [TextColumn("{task.fields[so_far]}", markup=False), TimeElapsedColumn()]
            # What is printed meanwhile goes where it belongs.
            shown = Progress(
                *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
            )
            # From when the work began, not from when it is first shown.
            task = shown.add_task(self._what, total=None, so_far="")
            shown.tasks[0].start_time = shown.get_time() - (time.monotonic() - self._began)
            shown.start()
            self._shown, self._task = shown, task
        self._tell()

    def _tell(self) -> None:
        done, total = self._done, self._total
        if not self._counted:
            self._shown.update(self._task, so_far="")
        elif total:
            # All that can be counted may be done and the last of it still be at work.
            share = min(100 * done // total, 99 if done < total else 100)
            self._shown.update(self._task, completed=done, total=total, so_far=f"{share:d} %")
        else:
            self._shown.update(self._task, completed=done, total=None, so_far=f"{done}" if done else "")
