"""Killed at every write, with a full disk, a database that goes away, a clock set back: nothing is lost, nothing is released
without its entry, nothing runs twice with the same noise. Every test ends by ``verify`` and a search for who is gone."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import count_calls, disk_full_from, killed_at_call, killed_at_statement
from ledger_scenes import Scene, check_kills
from ledgers import DAY, NAMES, START, Clock, Server, begun, check_end, kinds

from accountant.ledger import DatabaseError, LeaseLostError, Ledger, RunFailedError

CALLS = ("pwrite64", "fdatasync", "fsync", "rename", "unlink", "write", "ftruncate", "chmod", "openat", "sendto")
GONE = Scene.gone


@pytest.fixture
def scene(tmp_path: Path, url: str | None, request: pytest.FixtureRequest) -> Scene:
    return Scene(tmp_path, None if url is None else request.getfixturevalue("postgresql"))


@pytest.mark.parametrize(("first", "step"), [(0, 24), *(pytest.param(at, 6, marks=pytest.mark.slow) for at in range(6))])
def test_killed_at_any_statement(scene: Scene, first: int, step: int) -> None:
    check_kills(scene, first, step)


def test_killed_again_while_it_recovers(scene: Scene) -> None:
    draws = np.random.default_rng(3)
    for _ in range(4):
        scene.begin()
        for _ in range(4):
            killed_at_statement(scene.process, int(draws.integers(5, 80)))
        with scene.open() as ledger:
            assert ledger.verify().findings == ()
            ledger.process(everything=True)
            assert kinds(ledger).count("released") == 1
            check_end(ledger, released=2, gone=GONE)


@pytest.mark.parametrize("number", range(0, 25, 3))
def test_a_request_whose_adding_was_killed_is_recorded_whole_or_not_at_all(scene: Scene, number: int) -> None:
    scene.begin()

    def job() -> None:
        with scene.open() as ledger:
            ledger.add([NAMES[9], NAMES[10]])

    killed = killed_at_statement(job, number)
    with scene.open() as ledger:
        there = ledger.status().waiting
        assert there in (2, 4)
        assert killed or there == 4
        assert ledger.verify().findings == ()
        ledger.add([NAMES[9], NAMES[10]])
        assert ledger.status().waiting == 4


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kills", [3, pytest.param(10_000, marks=pytest.mark.campaign)])
def test_killed_at_any_system_call_that_writes(
    scene: Scene, tmp_path: Path, call: str, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # System calls are counted by thread, so all are to be made by one.
    for file in ("working", "worker"):
        monkeypatch.setattr(f"accountant.ledger.{file}.guarded", lambda lease, called, timeout: called())
    log = tmp_path / "log"
    scene.begin()
    most = count_calls(scene.process, log)
    # Opening to read changes nothing, but is counted by strace.
    last = most.get(call, 0) + (most.get("openat, reading", 0) if call == "openat" else 0)
    for number in range(1, last + 1, max(last // kills, 1)):
        scene.begin()
        killed_at_call(scene.process, call, number, log)
        scene.check_recovery()


@pytest.mark.integration
@pytest.mark.parametrize(
    ("first", "step"), [(1, 40), *(pytest.param(at, 20, marks=pytest.mark.slow) for at in range(2, 20, 3))]
)
def test_a_full_disk_loses_nothing(scene: Scene, tmp_path: Path, first: int, step: int) -> None:
    def job() -> None:
        with contextlib.suppress(DatabaseError, RunFailedError, OSError, ValueError), scene.open() as ledger:
            ledger.process(everything=True)

    for number in range(first, 220, step):
        scene.begin()
        disk_full_from(job, number, tmp_path / "log")
        scene.check_recovery()


@pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.integration)], indirect=True)
def test_a_connection_that_is_cut_loses_nothing(scene: Scene, postgresql: Server) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid != pg_backend_pid()"
    for phase in ("begin", "run", "save"):
        scene.begin()
        statement = cut.format(scene.database.rsplit("/", 1)[1])
        with scene.open() as ledger, contextlib.suppress(DatabaseError, LeaseLostError):
            ledger.process(Interrupted(ledger, phase, partial(postgresql.tell, "postgres", statement)), everything=True)
        scene.check_recovery()


@pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.integration)], indirect=True)
def test_a_server_that_goes_down_at_once_loses_nothing(scene: Scene, postgresql: Server) -> None:
    for phase in ("run", "save"):
        scene.begin()
        with scene.open() as ledger:
            with pytest.raises(DatabaseError, match=r"^database postgresql\+psycopg://"):
                ledger.process(Interrupted(ledger, phase, postgresql.stop), everything=True)
            with pytest.raises(DatabaseError):
                ledger.add([NAMES[11]])
        postgresql.start()
        scene.check_recovery()


class Interrupted:
    """The estimator's backend, with something that happens at one of its calls."""

    name, declared = "estimator", False

    def __init__(self, ledger: Ledger, phase: str, happens: Callable[[], Any]) -> None:
        from accountant.ledger import backend_of

        self._inner: Any = backend_of(ledger.settings)
        self._phase, self._happens = phase, happens

    def _at(self, phase: str) -> None:
        if phase == self._phase:
            self._happens()

    def plan(self, rows: Any) -> Any:
        self._at("begin")
        return self._inner.plan(rows)

    def run(self, plan: Any, rows: Any) -> Any:
        result = self._inner.run(plan, rows)
        self._at("run")
        return result

    def save(self, model: Any, path: Path) -> None:
        self._inner.save(model, path)
        self._at("save")


def test_a_worker_whose_lease_was_taken_over_writes_nothing_more(scene: Scene) -> None:
    """As when it was stopped for longer than its lease, on another machine."""
    scene.begin()

    def overtake() -> None:
        from sqlalchemy import update

        from accountant.ledger.schema import LEASE

        with scene.open() as other, other._database.writing() as connection:
            connection.execute(update(LEASE).values(holder="0" * 32, host="elsewhere", expires=2**62))

    with scene.open() as ledger:
        before = len(kinds(ledger))
        with pytest.raises(LeaseLostError):
            ledger.process(Interrupted(ledger, "save", overtake), everything=True)
        assert kinds(ledger)[before:] == ["intent", "run"]
        from sqlalchemy import update

        from accountant.ledger.schema import LEASE

        with ledger._database.writing() as connection:
            connection.execute(update(LEASE).values(expires=0))
    scene.check_recovery()


def test_a_clock_that_runs_backwards_is_told_once_and_time_never_falls(tmp_path: Path, url: str | None) -> None:
    clock = Clock()
    with begun(tmp_path, url, clock=clock) as ledger:
        ledger.add([NAMES[0]])
        clock.now = START - 3 * DAY
        ledger.add([NAMES[1]])
        clock.now += 1_000_000
        ledger.add([NAMES[2]])
        clock.now = START + DAY
        ledger.add([NAMES[3]])
        entries = list(ledger.entries())
        assert [entry.kind for entry in entries] == ["begun", "received", "clock", "received", "received", "received"]
        assert [entry.time - START for entry in entries] == [0, 0, 0, 0, 0, DAY]
        assert entries[2].content == {"read": START - 3 * DAY, "behind": 3 * DAY}
        # Deadlines go by the clock as it is, which may have been ahead before.
        assert entries[3].content["due"] == START + 27 * DAY
        ledger.process(everything=True)
        check_end(ledger, released=4, gone=tuple(NAMES[:4]))


def test_a_clock_that_ran_ahead_once_puts_no_deadline_off(tmp_path: Path, url: str | None) -> None:
    clock = Clock(START + 30_000 * DAY)
    with begun(tmp_path, url, clock=clock) as ledger:
        clock.now = START
        ledger.add([NAMES[0]])
        ledger.add([NAMES[1]], due=START + DAY)
        assert ledger.status().earliest_due == START + DAY
        clock.now = START + 2 * DAY
        assert ledger.status().overdue == 1
        assert ledger.process().run is not None
        ledger.add([NAMES[2]])
        clock.now += 29 * DAY
        assert ledger.process().run is not None
        check_end(ledger, released=3, gone=tuple(NAMES[:3]))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    import subprocess

    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.integration
def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    with begun(small_disk) as ledger:
        ledger.add(GONE)
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        with pytest.raises((DatabaseError, RunFailedError)):
            ledger.process(everything=True)
        filler.unlink()
        ledger.process(everything=True)
        check_end(ledger, released=2, gone=GONE)
