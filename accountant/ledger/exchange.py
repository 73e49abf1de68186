"""The folder through which a run that is declared gets what it needs and gives what it made; nothing of it stays.

It lies beside the model, its owner's alone: the rows, a number in each line; a copy of the model before, so that nothing can
happen to the model itself; and what the run writes, the new model and, if it likes, a report of its steps.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from accountant.ledger.backends import Row, RunFailedError
from accountant.ledger.staging import run_folder_prefix
from accountant.numerics import sync_folder

#: The largest report that is read.
_LARGEST: Final = 1 << 16


class Exchange:
    """One run's files. file: the rows; before: the model as it was; output, report: what the run writes."""

    def __init__(self, model: Path, rows: Sequence[Row]) -> None:
        self.model = model
        self.folder = Path(tempfile.mkdtemp(prefix=run_folder_prefix(model), dir=model.parent))
        # Some programs put the end of a name there themselves where it is not.
        self.before = self.folder / f"before{model.suffix}"
        self.output = self.folder / f"after{model.suffix}"
        self.file, self.report = self.folder / "rows.txt", self.folder / "report.json"
        self._write(self.file, "".join(f"{row}\n" for row in sorted(rows, key=str)).encode())
        shutil.copyfile(model, self.before)
        os.chmod(self.before, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """The run has ended: what holds the rows and the old model goes, and all of it where it came to nothing."""
        for path in (self.file, self.before):
            with suppress(OSError):
                path.unlink()
        if kind is not None:
            self.close()

    def taken(self, said: object, planned: int) -> int:
        """The steps that ran, and the output checked; RunFailedError where there is none, or it is no new model.

        said: the steps as a function returns them, None where it does not say.
        """
        steps = self._reported() if said is None else said
        if steps is None:
            steps = planned
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise RunFailedError("the steps that it reports must be a whole number")
        try:
            found = os.lstat(self.output)
        except FileNotFoundError:
            raise RunFailedError("it wrote no model where it was told to") from None
        if not stat.S_ISREG(found.st_mode):
            raise RunFailedError("it must write the model to one file where it was told to, and made something else there")
        if not found.st_size:
            raise RunFailedError("it wrote an empty file instead of a model")
        # Neither the copy, which it may have changed, nor the file's times, which say nothing. No step may change nothing.
        if planned and filecmp.cmp(self.output, self.model, shallow=False):
            raise RunFailedError("it gave the model before, byte for byte: nothing was unlearned")
        return steps

    def hand_over(self, path: Path) -> None:
        """The output becomes the file at ``path``; the folder goes."""
        os.replace(self.output, path)
        self.close()

    def close(self) -> None:
        """Remove the folder, with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            sync_folder(self.model.parent)

    def _reported(self) -> object:
        """The steps in the report, ``{"steps": 30}``; None where there is no report."""
        try:
            with open(self.report, "rb") as file:
                text = file.read(_LARGEST + 1)
        except OSError:
            return None
        try:
            return json.loads(text)["steps"] if len(text) <= _LARGEST else ...
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RunFailedError('its report must be JSON with its steps, as {"steps": 30}') from None

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            file.write(content)
