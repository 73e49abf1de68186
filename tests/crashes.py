"""Processes that are killed at a chosen moment: at a statement of the database, or at a system call."""

import os
import re
import shutil
import signal
import socket
import subprocess
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

#: System calls that change files, or send to a server, as strace calls them; ? where not every machine has it.
WRITES = (
    "write", "pwrite64", "fsync", "fdatasync", "?rename", "?renameat", "?renameat2", "?unlink", "?unlinkat", "ftruncate",
    "?chmod", "?fchmodat", "openat", "sendto",
)  # fmt: skip
Job = Callable[[], None]
#: By process, what it says when it ends badly.
_TOLD: dict[int, socket.socket] = {}


def _child(job: Job, before: Job = lambda: None) -> int:
    """The process of a job, which never returns here."""
    listens, told = socket.socketpair()
    child = os.fork()
    if child:
        told.close()
        _TOLD[child] = listens
        return child
    code = 9
    try:
        before()
        job()
        code = 0
    except BaseException:
        # Where writing to a stream fails, too, a socket may do.
        told.sendall(traceback.format_exc()[-4000:].encode())
    finally:
        os._exit(code)


def _killed(child: int) -> bool:
    """Whether it was killed; it must have ended well otherwise."""
    _, status = os.waitpid(child, 0)
    with _TOLD.pop(child) as listens:
        told = listens.recv(5000).decode()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    if os.WEXITSTATUS(status):
        pytest.fail(f"the process ended with {os.WEXITSTATUS(status)}: {told}")
    return False


def killed_at_statement(job: Job, number: int) -> bool:
    """Run the job in a process that is killed before its statement (or commit) of this number; False: it has fewer."""

    def install() -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        left = [number]

        def hook(*_: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        for name in ("before_cursor_execute", "commit"):
            event.listen(Engine, name, hook)

    return _killed(_child(job, install))


def _traced(job: Job, words: list[str], log: Path) -> bool:
    """Run the job under strace, which is there from its first line on."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    ready, go = os.pipe()

    def wait() -> None:
        os.close(go)
        os.read(ready, 1)

    child = _child(job, wait)
    os.close(ready)
    line = [program, "-f", "-q", "-o", str(log), *words, "-p", str(child)]
    with subprocess.Popen(line, stderr=subprocess.PIPE) as tracer:
        while not _is_traced(child):
            if tracer.poll() is not None:
                os.close(go)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                assert tracer.stderr is not None
                pytest.skip(f"strace cannot attach: {tracer.stderr.read().decode()[:80]}")
        os.write(go, b"x")
        os.close(go)
        ended = _killed(child)
        tracer.wait()
    return ended


def _is_traced(process: int) -> bool:
    text = Path(f"/proc/{process}/status").read_text()
    return re.search(r"TracerPid:\s+0\n", text) is None


def count_calls(job: Job, log: Path, calls: Iterable[str] = WRITES) -> dict[str, int]:
    """How often the job makes each of these system calls; of several processes, that which makes it most often."""
    assert not _traced(job, ["-e", f"trace={','.join(calls)}"], log)
    found: dict[tuple[str, str], int] = {}
    for line in log.read_text().splitlines():
        match = re.match(r"(\d+)\s+(\w+)\(", line)
        if match:
            reads = match[2] == "openat" and "O_CREAT" not in line
            key = match[1], "openat, reading" if reads else match[2]
            found[key] = found.get(key, 0) + 1
    most: dict[str, int] = {}
    for (_, call), count in found.items():
        most[call] = max(count, most.get(call, 0))
    return most


def killed_at_call(job: Job, call: str, number: int, log: Path) -> bool:
    """Run the job in a process that is killed at its system call of this kind and number (from 1); False: it has fewer."""
    return _traced(job, ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"], log)


def disk_full_from(job: Job, number: int, log: Path) -> None:
    """Run the job in a process that finds the disk full from its write of this number on; it may end as it likes."""
    calls = "write,pwrite64"
    _traced(job, ["-e", f"trace={calls}", "-e", f"inject={calls}:error=ENOSPC:when={number}+"], log)
