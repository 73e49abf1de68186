"""A ledger with requests that wait, to be crashed again and again, and what holds when somebody has come back to it."""

import contextlib
import itertools
import shutil
from pathlib import Path
from typing import Any

import ledger_commands
import numpy as np
from crashes import killed_at_statement
from ledger_commands import PEOPLE, commanded, log
from ledgers import NAMES, Server, begun, check_end, kinds

from accountant.ledger import Ledger, RunFailedError
from accountant.trainer import PNSGDClassifier


class Scene:
    """A ledger with two requests that wait, as often as it is needed: on the same path, in a database of its own."""

    gone: tuple[str, ...] = (NAMES[3], NAMES[7])

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.folder, self._server, self._count = folder / "live", server, itertools.count()
        self._kept = folder / "kept"
        self.folder.mkdir()
        self._template = None if server is None else server.database()
        self.database = self._template or str(self.folder / "deletions.db")
        with self.made() as ledger:
            ledger.add(self.gone)
        shutil.copytree(self.folder, self._kept)

    def made(self) -> Ledger:
        return begun(self.folder, self._template)

    def begin(self) -> None:
        """All as it was."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder)
        if self._server is not None and self._template is not None:
            template = self._template.rsplit("/", 1)[1]
            if self.database != self._template:
                self._server.tell("postgres", f"DROP DATABASE {self.database.rsplit('/', 1)[1]} WITH (FORCE)")
            name = f"{template}_{next(self._count)}"
            self._server.tell("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
            self.database = self._server.url(name)

    def open(self, **options: Any) -> Ledger:
        return Ledger(self.database, **options)

    def process(self) -> None:
        with self.open() as ledger:
            ledger.process(everything=True)

    def staged(self) -> np.ndarray | None:
        """Parameters of the model that a crash left beside the old one, where it can be read."""
        for path in self.folder.glob("model.npz.run*"):
            with contextlib.suppress(ValueError):
                return PNSGDClassifier.load(path).coef_
        return None

    def check_recovery(self) -> None:
        """What a crash left is valid, and finished by whoever comes next, with other noise where it runs again."""
        left = self.staged()
        with self.open() as ledger:
            assert ledger.verify().findings == ()
            before = kinds(ledger)
            finished = ledger.process(everything=True)
            after = kinds(ledger)
            assert after[: len(before)] == before
            saved = "saved" in before
            # What was saved is what is released; what was not runs again.
            assert after.count("intent") == before.count("intent") + (not saved)
            assert after.count("saved") == after.count("released") == after.count("purged") == 1
            runs = [*finished.finished, *([] if finished.run is None else [finished.run])]
            assert [run.requests for run in runs] in ([(1, 2)], [])
            check_end(ledger, released=2, gone=self.gone)
            model = PNSGDClassifier.load(ledger.settings.model)
        if left is not None:
            assert np.array_equal(left, model.coef_) == saved


class CommandScene(Scene):
    """The same with a trainer of somebody else, whom a crash takes along."""

    gone = (PEOPLE[3], PEOPLE[-2])
    rows = (1003, 1058, 1059)

    def made(self) -> Ledger:
        return commanded(self.folder, self._template)

    def process(self) -> None:
        # A command may be what is killed: its run has failed then, and the worker goes on.
        with contextlib.suppress(RunFailedError):
            super().process()

    def check_recovery(self) -> None:
        """The same; a command that is called again is called with the same rows, and all it drew before is thrown away."""
        left = [path.read_bytes() for path in self.folder.glob("model.npz.run*")]
        with self.open() as ledger:
            assert ledger.verify().findings == ()
            before = kinds(ledger)
            ledger.process(everything=True)
            after = kinds(ledger)
            assert after[: len(before)] == before
            saved = "saved" in before
            assert after.count("intent") == before.count("intent") + (not saved)
            assert after.count("saved") == after.count("released") == after.count("purged") == 1
            called = log(self.folder)
            assert after.count("run") <= len(called) <= after.count("intent")
            assert {tuple(call["rows"]) for call in called} == {self.rows}
            ledger_commands.check_end(ledger, released=2, gone=self.rows)
            model = Path(ledger.settings.model).read_bytes()
        if left:
            assert (left[0] == model) == saved


def check_kills(scene: Scene, first: int, step: int) -> None:
    """Whichever statement of a run it is killed at, every ``step``-th from ``first`` on, what it leaves is finished."""
    for number in itertools.count(first, step):
        scene.begin()
        killed = killed_at_statement(scene.process, number)
        scene.check_recovery()
        if not killed:
            break
    assert number > 40
