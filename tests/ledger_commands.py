"""Ledgers whose trainer is somebody else's: a command, numpy only, with its data and constants."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accountant.ledger import Ledger

FINETUNE = Path(__file__).parent / "fixtures" / "finetune.py"
ROWS = 60
#: Of people; no other text contains them by accident.
PEOPLE = [f"person-{number:03d}-z" for number in range(ROWS)]
#: The constants of the script, and the target.
PROBLEM = {
    "algorithm": "fine-tuning", "step_size": 0.1, "gradient_clip": 1.0, "start_clip": 1.0, "epsilon": 1.0, "delta": 1e-4,
}  # fmt: skip
STEPS = 20
LINE = f"{sys.executable} finetune.py --steps {{steps}} --without {{file}}"


def features() -> np.ndarray:
    """The rows of all people, (60, 3)."""
    return np.random.default_rng(7).uniform(-1, 1, (ROWS, 3))


def trainer(folder: Path) -> Path:
    """Its files, and the model, which is returned."""
    X = features()
    np.savez(folder / "data.npz", X=X, y=(X[:, 0] > 0).astype(float), ids=np.arange(ROWS) + 1000)
    np.savez(folder / "model.npz", w=np.array([2.0, 0.5, -0.5]))
    for name in ("data.npz", "model.npz"):
        (folder / name).chmod(0o600)
    shutil.copy(FINETUNE, folder / "finetune.py")
    return folder / "model.npz"


def people() -> dict[str, list[int]]:
    """A row each, and the last two share one person."""
    rows = {name: [1000 + number] for number, name in enumerate(PEOPLE[:-1])}
    return {**rows, PEOPLE[-2]: [1000 + ROWS - 2, 1000 + ROWS - 1]}


def commanded(folder: Path, url: str | None = None, *, be: str = "good", **settings: Any) -> Ledger:
    """A ledger whose backend is the command."""
    arguments = {"run": f"{LINE} --be {be}", "problem": PROBLEM, "steps": STEPS, **settings.pop("arguments", {})}
    return Ledger.create(
        folder / "deletions.db" if url is None else url, model=trainer(folder), subjects=people(), backend="command",
        arguments={name: value for name, value in arguments.items() if value is not None}, **settings,
    )  # fmt: skip


def log(folder: Path) -> list[dict[str, Any]]:
    """What the script was called with, each time."""
    path = folder / "log.txt"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def check_end(ledger: Ledger, *, released: int, waiting: int = 0, gone: tuple[int, ...] = ()) -> None:
    """All is valid, requests are where they should be, and neither a row that is gone nor a file with one is left."""
    assert ledger.verify().findings == ()
    status = ledger.status()
    assert (status.released, status.waiting, status.running, status.saved) == (released, waiting, 0, 0)
    folder = Path(ledger.settings.model).parent
    for entry in ledger.entries():
        assert not any(name in entry.body for name in PEOPLE)
    left = [path.name for path in folder.iterdir() if ".run" in path.name]
    assert left == []
    assert not set(np.load(folder / "data.npz")["ids"].tolist()) & set(gone)
    assert np.isfinite(np.load(folder / "model.npz")["w"]).all()
    check_no_rows(folder, gone)


def check_no_rows(folder: Path, gone: Sequence[int]) -> None:
    """No file but the operator's own list and the script's log holds a row that is gone, nor whose it was; rows that stay are
    found that way."""
    rows, names = features(), [name for name, numbers in people().items() if set(numbers) & set(gone)]
    stays = next(number for number in range(1000, 1000 + ROWS) if number not in gone)
    assert rows[stays - 1000].tobytes() in (folder / "data.npz").read_bytes()
    assert f"[{stays}]".encode() in (folder / "model.subjects.db").read_bytes()
    searched = [rows[number - 1000].tobytes() for number in gone] + [name.encode() for name in names]
    searched += [json.dumps(people()[name], separators=(",", ":")).encode() for name in names]
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".txt", ".csv"):
            content = path.read_bytes()
            assert [each for each in searched if each in content] == [], path
