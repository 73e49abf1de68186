"""Files that appear whole or not at all, by one writer after the other."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from accountant.numerics import atomic, atomic_file, locked_file, remove_unfinished

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions, links and signals of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for sync in (False, True):
        for before in (0o600, 0o644, 0o640, 0o666, 0o755):
            file.write_text("old")
            file.chmod(before)
            with atomic_file(file, mode=0o600, sync=sync) as part:
                assert mode(part) == 0o600
                part.write_text("new")
                assert file.read_text() == "old"
                assert part.parent == tmp_path
            assert (file.read_text(), mode(file)) == ("new", before)
    assert names(tmp_path) == ["file"]


def test_a_new_file_has_the_permissions_that_are_asked_for(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        for name, asked, found in (("a", None, 0o640), ("b", 0o600, 0o600), ("c", 0o666, 0o640)):
            with atomic_file(tmp_path / name, mode=asked) as part:
                part.write_text(name)
            assert mode(tmp_path / name) == found
    finally:
        os.umask(old)


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    target, link, dangling = tmp_path / "deep" / "file", tmp_path / "link", tmp_path / "dangling"
    target.write_text("old")
    link.symlink_to(target)
    dangling.symlink_to("deep/later")
    for path in (link, dangling):
        with atomic_file(path) as part:
            part.write_text("new")
        assert path.is_symlink()
        assert path.read_text() == "new"
    assert names(tmp_path / "deep") == ["file", "later"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_what_fails(error: type[BaseException], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def fail() -> None:
        with atomic_file(file) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ["file"]
    assert file.read_text() == "old"


def test_what_is_no_file_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    started = []
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null"), Path("/")):
        with pytest.raises(OSError, match="no file"), atomic_file(path):
            started.append(path)
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "none" / "file"):
        started.append(tmp_path)
    assert not started
    assert names(tmp_path) == ["pipe"]


def test_two_writers_have_parts_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with atomic_file(file) as one, atomic_file(file) as two:
        one.write_text("one")
        two.write_text("two")
    assert one != two
    # The one that ends last stands.
    assert file.read_text() == "one"
    assert names(tmp_path) == ["file"]


WRITER = """
import os, signal, sys, threading, time
from accountant.numerics import atomic_file
# Whatever started the tests may ignore them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
{setting}
with atomic_file(sys.argv[1]) as part:
    part.write_text("half")
    print("ready", flush=True)
    {wait}
"""


def ended(path: Path, number: int, *, setting: str = "", wait: str = "time.sleep(60)") -> int:
    """Exit code of a writer that got a signal in its midst."""
    code = WRITER.format(setting=setting, wait=wait)
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        return process.wait(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_leave_nothing_and_end_the_process_as_ever(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    assert ended(tmp_path / "file", number) == -number
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_handlers_of_others_are_left_alone(tmp_path: Path) -> None:
    own = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))"
    assert ended(tmp_path / "a", signal.SIGTERM, setting=own) == 7
    # As nohup does.
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert ended(tmp_path / "b", signal.SIGHUP, setting=ignored, wait="time.sleep(1)") == 0
    assert names(tmp_path) == ["b"]
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with atomic_file(tmp_path / "c"), atomic_file(tmp_path / "d"):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_forked_child_leaves_its_parents_file(tmp_path: Path) -> None:
    fork = "pid = os.fork()\n    if not pid: os.kill(os.getpid(), signal.SIGTERM)\n    os.waitpid(pid, 0); assert part.exists()"
    code = WRITER.format(setting="", wait=fork)
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "file")], check=True, capture_output=True)
    assert (tmp_path / "file").read_text() == "half"


def test_threads_other_than_the_first_write_too(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_file(tmp_path / "file") as part:
            part.write_text("new")

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert (tmp_path / "file").read_text() == "new"


def test_names_of_any_length(tmp_path: Path) -> None:
    for name in ("x" * 250, "ε" * 120):
        with locked_file(tmp_path / name), atomic_file(tmp_path / name) as part:
            part.write_text(name)
        assert (tmp_path / name).read_text() == name


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    assert ended(tmp_path / "file", signal.SIGKILL) == -signal.SIGKILL
    assert len(names(tmp_path)) == 1
    others = [".file.part", ".file.0123.part", ".other.0123456789abcdef.part", ".file.0123456789abcdeg.part", "file"]
    for name in others:
        (tmp_path / name).touch()
    with locked_file(tmp_path / "file"):
        remove_unfinished(tmp_path / "file")
    assert names(tmp_path) == sorted(others)


def test_a_lock_is_for_one_and_leaves_nothing(tmp_path: Path) -> None:
    file, inside, most = tmp_path / "file", [0], [0]

    def work() -> None:
        for _ in range(20):
            with locked_file(file):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.0002)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert names(tmp_path) == []
    with (
        locked_file(file),
        pytest.raises(OSError, match=r"another process has been writing it for 0.02 seconds"),
        locked_file(file, wait=0.02),
    ):
        pass
    with pytest.raises(ZeroDivisionError), locked_file(file):
        _ = 1 / 0
    assert names(tmp_path) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = "import sys, time; from accountant.numerics import locked_file\nwith locked_file(sys.argv[1]):\n"
    code += " print('ready', flush=True)\n time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "file")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(OSError, match="another process"), locked_file(tmp_path / "file", wait=0.05):
            pass
        process.kill()
        process.wait()
    with locked_file(tmp_path / "file", wait=5):
        pass
    assert names(tmp_path) == []


def test_folders_that_cannot_be_synced_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        real(handle)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    with atomic_file(tmp_path / "file", sync=True) as part:
        part.write_text("new")
    monkeypatch.setattr(atomic.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"), atomic_file(tmp_path / "file", sync=True) as part:
        part.write_text("newer")
    assert (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == ["file"]
