"""``accountant ledger join``: records that come into the model, with whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from accountant.commands import paths
from accountant.commands.ledger import (
    DB,
    DbOption,
    JsonOption,
    OperatorOption,
    PlaceOption,
    csv_rows,
    opened,
    row_of,
    subject_rows,
)
from accountant.commands.ledger_runs import show_processed
from accountant.commands.options import COUNT
from accountant.numerics import InputError, integer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Columns that hold no feature.
SUBJECT, ROW, LABEL = "subject", "row", "label"


class Newcomers(NamedTuple):
    """Records of a file: features (k, d), labels, what they are called, whose they are, what the features are called."""

    features: NDArray[np.float64]
    labels: list[Any]
    ids: list[str | int]
    subjects: dict[str, list[str | int]]
    columns: list[str] | None


def join(
    *,
    db: DbOption = DB,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="CSV with subject, label, features and, unless it is the subject, row; or .npz with X, y, subject and row.",
        ),
        paths.Read(),
    ] = None,
    epochs: Annotated[int, typer.Option("--learn-epochs", **COUNT, help="Epochs of learning with them.")] = 1,
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Of another trainer: the model that it made with the new records, to be copied."),
        paths.Read(),
    ] = None,
    subjects: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --model: CSV with columns subject and row."), paths.Read()
    ] = None,
    operator: OperatorOption = None,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Let records join the model, so that requests for them are known; exit codes as for process.

    Example: accountant ledger join --data new.csv --learn-epochs 2
    """
    if (data is None) == (model is None):
        raise InputError("data or model must be given, and not both: who joins")
    if (model is None) != (subjects is None):
        raise InputError("subjects must be given with model, and only there: a file of data says itself who joins")
    integer("epochs", epochs, at_least=0)
    found = None if data is None else newcomers(data)
    known = found.subjects if found is not None else subject_rows(subjects or "")
    with opened(db, operator=operator, place=place) as ledger:
        if found is None:
            done = ledger.join(lambda _: Path(model or ""), known)
        else:
            done = ledger.join_rows(
                found.features, found.labels, known, ids=found.ids, columns=found.columns, epochs=epochs
            )  # fmt: skip
        show_processed(json, "ledger join", done)


def newcomers(path: str) -> Newcomers:
    """The records of a CSV or .npz file; InputError, which names no subject, for anything else."""
    return _of_arrays(path) if path.endswith(".npz") else _of_text(path)


def _of_text(path: str) -> Newcomers:
    import numpy as np

    lines = csv_rows("data", path, (SUBJECT, LABEL))
    if not lines:
        raise InputError(f"data file {path} must hold a record, got none")
    columns = [name for name in lines[0] if name not in (SUBJECT, ROW, LABEL)]
    try:
        features = np.array([[float(line[name]) for name in columns] for line in lines], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"data file {path} must hold numbers in all columns but {SUBJECT}, {ROW} and {LABEL}") from None
    names = [line[SUBJECT] for line in lines]
    ids = [row_of(line.get(ROW) or line[SUBJECT]) for line in lines]
    return Newcomers(features, [line[LABEL] for line in lines], ids, _whose(names, ids), columns)


def _of_arrays(path: str) -> Newcomers:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: Mapping[str, NDArray[Any]] = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"data file {path} cannot be read as .npz: {error}") from None
    for name in ("X", "y", SUBJECT):
        if name not in arrays:
            raise InputError(f"data file {path} must hold an array {name}, got {', '.join(sorted(arrays)) or 'none'}")
    names = [str(name) for name in arrays[SUBJECT].tolist()]
    ids = arrays.get(ROW, arrays[SUBJECT]).tolist()
    if not len(arrays["X"]) == len(arrays["y"]) == len(names) == len(ids):
        raise InputError(f"data file {path} must hold as many labels, subjects and rows as records")
    return Newcomers(arrays["X"].astype(np.float64), arrays["y"].tolist(), ids, _whose(names, ids), None)


def _whose(names: Sequence[str], ids: Sequence[str | int]) -> dict[str, list[str | int]]:
    found: dict[str, list[str | int]] = {}
    for name, row in zip(names, ids, strict=True):
        found.setdefault(name, []).append(row)
    return found
