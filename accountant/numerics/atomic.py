"""Files that appear whole or not at all, one writer after the other.

A file that is replaced keeps its permissions (and owner and group, where the system lets them be set); links that lead to it
stay links. What is not kept: other hard links to the old file, access lists and extended attributes.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import FrameType
from typing import Final

try:
    import fcntl
except ImportError:  # pragma: no cover
    # Windows has another call; where there is neither, writers are not kept apart.
    fcntl = None  # type: ignore[assignment]

#: Signals that end a process without its ``finally`` clauses, where the system has them.
_ENDS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
#: Unfinished files, and the process that writes each: a forked child must not remove its parent's.
_UNFINISHED: Final[dict[Path, int]] = {}
#: Seconds between two looks at a lock.
_PAUSE: Final = 0.005
#: What syncing a folder says where the file system cannot.
_NO_SYNC: Final = {errno.EINVAL, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTSUP}


@contextmanager
def atomic_file(
    path: str | PathLike[str], *, mode: int | None = None, sync: bool = False, secret: bool = False
) -> Iterator[Path]:
    """An empty file beside ``path``, of a name of its own, that takes its place when the block ends without an exception.

    mode: permissions of a file that was not there, by default those of any new file; one that was there keeps its own.
    secret: nobody but the owner may read it, whoever might read the one that was there.
    sync: the content, and the name, are on the disk when the block has ended (fsync of file and folder).
    The unfinished file is removed by exceptions and, if this is the main thread, by SIGTERM and SIGHUP where nobody else
    handles them. Raises OSError, before the block for what is no file that may be replaced, and of everything else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(Path(folder) / "answer.txt") as part:
    ...         _ = part.write_text("42")
    ...     print([path.name for path in Path(folder).iterdir()])
    ['answer.txt']
    """
    target = Path(os.path.realpath(path))
    if not target.name:
        raise OSError(errno.EINVAL, "it is no file", os.fspath(path))
    part = target.with_name(f"{_hidden(target)}.{os.urandom(8).hex()}.part")
    with _removed_at_the_end(part):
        old = _replaceable(target)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if old else 0o666 if mode is None else mode))
        yield part
        if old:
            _permit_as(part, old)
        if secret:
            os.chmod(part, stat.S_IMODE(part.stat().st_mode) & 0o700)
        if sync:
            _sync(part, os.O_RDWR)
        os.replace(part, target)
        if sync:
            sync_folder(target.parent)


@contextmanager
def locked_file(path: str | PathLike[str], *, wait: float = 60.0) -> Iterator[None]:
    """Alone with ``path`` among all threads and processes that ask for this; the file need not be there.

    The lock is one of the system on the empty file ``.NAME.lock`` beside it, which goes with the lock, so a process that dies
    holds none. It is advice: who does not ask is not kept out. Where Python has neither fcntl nor msvcrt nobody is.
    wait: seconds after which OSError (EAGAIN) says that another one has it.
    """
    target = Path(os.path.realpath(path))
    side, until = target.with_name(f"{_hidden(target)}.lock"), time.monotonic() + wait
    while True:
        # Read-only is enough for a lock, and all that other users of a shared folder have.
        handle = os.open(side, os.O_RDONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            taken = _taken(handle, until)
            # Whoever had it may have removed the file that we waited at.
            current = taken and _same(handle, side)
        except BaseException:
            os.close(handle)
            raise
        if current:
            break
        os.close(handle)
        if not taken:
            raise OSError(errno.EAGAIN, f"another process has been writing it for {wait:g} seconds", os.fspath(path))
    try:
        yield
    finally:
        with suppress(OSError):
            # Windows removes no file that is open.
            side.unlink(missing_ok=True)
        _release(handle)
        os.close(handle)


def remove_unfinished(path: str | PathLike[str]) -> None:
    """Remove what processes that were killed have left of ``path``: inside :func:`locked_file`, if all writers are."""
    target = Path(os.path.realpath(path))
    begin = f"{_hidden(target)}."
    for part in target.parent.iterdir():
        token = part.name.removeprefix(begin).removesuffix(".part")
        if part.name == f"{begin}{token}.part" and len(token) == 16 and not set(token) - set("0123456789abcdef"):
            part.unlink(missing_ok=True)


def _hidden(target: Path) -> str:
    """How the names of files beside it begin: its own, or the beginning of a long one and what tells it from others."""
    name = target.name
    if len(name) <= 50:
        return f".{name}"
    # Slow to import, and few names are that long.
    import hashlib

    return f".{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def _taken(handle: int, until: float) -> bool:
    """Whether the lock could be had in time."""
    while True:
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:  # pragma: no cover
                _windows(handle, "LK_NBLCK")
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise
        if time.monotonic() >= until:
            return False
        time.sleep(_PAUSE)


def _release(handle: int) -> None:
    if fcntl is not None:
        # A forked child may have the handle, too: closing ours alone would not do.
        fcntl.flock(handle, fcntl.LOCK_UN)
    else:  # pragma: no cover
        _windows(handle, "LK_UNLCK")


def _windows(handle: int, what: str) -> None:  # pragma: no cover
    try:
        import msvcrt
    except ImportError:
        return
    os.lseek(handle, 0, os.SEEK_SET)
    msvcrt.locking(handle, getattr(msvcrt, what), 1)  # type: ignore[attr-defined]


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


def _replaceable(target: Path) -> os.stat_result | None:
    """The status of the file that will be replaced, if there is one; OSError for what must not be."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return None
    if not (stat.S_ISREG(old.st_mode) and os.access(target, os.W_OK)):
        raise OSError(errno.EEXIST, "it exists and is no file that may be replaced", os.fspath(target))
    return old


def _permit_as(part: Path, old: os.stat_result) -> None:
    """Give a file the owner, group and permissions of another, as far as the system lets us."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    new = part.stat()
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(OSError):
            os.chown(part, -1, old.st_gid)
        with suppress(OSError):
            os.chown(part, old.st_uid, -1)
        if part.stat().st_gid != old.st_gid:
            # What one group might do is nothing that another may.
            mode &= ~0o070
    os.chmod(part, mode)


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Names in a folder are on the disk when this returns, where the file system can; OSError where it fails."""
    try:
        _sync(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


@contextmanager
def _removed_at_the_end(part: Path) -> Iterator[None]:
    """Removes ``part``, if it is still there, however the block ends."""
    replaced = []
    # Handlers can be set by the main thread only; the other threads' files are then removed by its handler, if it has one.
    if threading.current_thread() is threading.main_thread():
        for number in _ENDS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _end)
                replaced.append(number)
    _UNFINISHED[part] = os.getpid()
    try:
        yield
    finally:
        part.unlink(missing_ok=True)
        _UNFINISHED.pop(part, None)
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    """Remove what is unfinished, then end as the signal would have ended the process."""
    for part, process in list(_UNFINISHED.items()):
        if process == os.getpid():
            with suppress(OSError):
                part.unlink()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
