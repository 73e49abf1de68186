"""Models, ledgers and servers for the tests of the deletion service, and what they all must satisfy in the end."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from accountant.ledger import Ledger
from accountant.trainer import PNSGDClassifier

N = 120
#: Names that no other text contains by accident.
NAMES = [f"subject-{number:04d}-q" for number in range(N)]
START = 1_700_000_000_000_000
DAY = 86_400_000_000


def features(count: int = N) -> np.ndarray:
    """The rows of the models here, (count, 2)."""
    return np.random.default_rng(5).uniform(-0.5, 0.5, (count, 2))


@cache
def _saved(names: tuple[str, ...]) -> bytes:
    """A model file of as many records, two features."""
    X = features(len(names))
    model = PNSGDClassifier(epsilon=1.0, delta=1e-3, batch_size=40, regularisation=0.2, learn_epochs=3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        model.fit(X, X[:, 0] > 0, ids=names).save(path)
        return path.read_bytes()


def model_file(folder: Path, names: Sequence[str] = NAMES) -> Path:
    path = folder / "model.npz"
    path.write_bytes(_saved(tuple(names)))
    return path


class Clock:
    """Microseconds that move as they are told."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def begun(folder: Path, url: str | None = None, clock: Clock | None = None, **settings: object) -> Ledger:
    """A ledger of a new model in this folder, on this database (a SQLite file beside it)."""
    database = folder / "deletions.db" if url is None else url
    return Ledger.create(database, model=model_file(folder), clock=clock, **settings)


def kinds(ledger: Ledger) -> list[str]:
    return [entry.kind for entry in ledger.entries()]


def check_end(ledger: Ledger, *, released: int, waiting: int = 0, gone: tuple[str, ...] = ()) -> None:
    """What holds at the end of every test: all is valid, all requests are where they should be, nobody gone is to be found."""
    found = ledger.verify()
    assert found.findings == ()
    status = ledger.status()
    assert (status.released, status.waiting, status.running, status.saved) == (released, waiting, 0, 0)
    entries = list(ledger.entries())
    for entry in entries:
        assert not any(name in entry.body for name in NAMES)
    model = PNSGDClassifier.load(ledger.settings.model)
    assert not set(gone) & set(model.ids_)
    # Each run that was released is one request of the model, and every record left once.
    assert sum(entry.kind == "released" for entry in entries) == len(model.requests_)
    assert sum(len(request) for request in model.requests_) == released == N - len(model.ids_)
    check_no_rows(Path(ledger.settings.model).parent, gone)


def check_no_rows(folder: Path, gone: tuple[str, ...]) -> None:
    """No file of the folder names one that is gone or has his row, and none of a run is left."""
    rows = features()
    searched = [name.encode() for name in gone] + [rows[NAMES.index(name)].tobytes() for name in gone if name in NAMES]
    model = (folder / "model.npz").read_bytes()
    stays = NAMES.index(next(name for name in PNSGDClassifier.load(folder / "model.npz").ids_ if name in NAMES))
    # What is not gone is found that way.
    assert rows[stays].tobytes() in model
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".json" and "data" not in path.parts:
            content = path.read_bytes()
            assert [each for each in searched if each in content] == [], path
            assert ".run" not in path.name, path
            assert path.stat().st_mode & 0o077 == 0 or path.suffix in (".py", ".csv", ".lock"), path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


#: A file system in memory: what survives the end of a process survives there, too.
_FAST = "/dev/shm"


class Server:
    """A PostgreSQL of our own in a new folder, run by the user postgres where we are root, which it refuses to be run by."""

    def __init__(self) -> None:
        fast = _FAST if os.access(_FAST, os.W_OK) else None
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="ledger-pg-", dir=fast)), free_port()
        self._root = os.getuid() == 0
        if self._root:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"
        )
        self.start()

    def _run(self, *words: str) -> None:
        program = shutil.which(words[0]) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{words[0]}")))
        line = [program, *words[1:]]
        if self._root:
            line = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *line]
        subprocess.run(line, check=True, capture_output=True, cwd="/", env={**os.environ, "HOME": str(self.folder)})

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=60"
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", options, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"ledger_{time.monotonic_ns()}"
        self.tell("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def tell(self, name: str, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement)

    def close(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder)


@contextmanager
def server() -> Iterator[Server]:
    """A throw-away server; the test is skipped where there is none to be had."""
    pytest.importorskip("psycopg")
    if shutil.which("initdb") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL is installed")
    made = Server()
    try:
        yield made
    finally:
        made.close()
