"""Estimators in files: one .npz of plain arrays and a JSON header, read without pickle.

Arrays: header (UTF-8 bytes), parameters (outputs*d, 1), order (n,), features (n, d), labels (n,), zeroed (n,), and row_labels
(m,), row_label_rows (m,) of rows that X called by integers of its own. The header has the estimator's parameters and classes,
its stream, the requests so far, the guarantee, the history of the file and, only if ``random_state`` was given, the state of
the noise. Where records draw their batches by themselves order is empty, and there are the key of the draws and what records
are called, with arrays (n,) of :mod:`accountant.trainer.saved_draws`. kept (m,), after ``refit``: the numbers that its rows had
before. Labels of records with weights have two fields, label and weight. Sparse rows are features (m,), those that are not
zero, indices (m,) and indptr (n + 1,) of CSR.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError, atomic_file, locked_file, remove_unfinished
from accountant.problem import PARTITION
from accountant.trainer.apart import folder_of, read_rows, remove_others, write_rows
from accountant.trainer.history import History
from accountant.trainer.labels import LOST, NONE, NUMBERS, OWN, RowLabels, as_objects
from accountant.trainer.noise import Noise, fresh_noise
from accountant.trainer.points import is_sparse
from accountant.trainer.rows import Rows
from accountant.trainer.runs import Run
from accountant.trainer.saved_draws import DRAW_ARRAYS, draws_arrays
from accountant.trainer.sparse_rows import SparseRows

#: Version of the file format. In the first there was no history, and always the state of the noise; before the third no draws.
FORMAT: Final = 3
#: Of a file whose rows are apart, in blocks that its header lists.
_APART: Final = 4
_FORMATS: Final = (1, 2, 3, 4)
_ARRAYS: Final = ("header", "parameters", "order", "features", "labels", "zeroed")
_LABELS: Final = ("row_labels", "row_label_rows")
_KEPT: Final = "kept"
_SPARSE: Final = ("indices", "indptr")
#: Of a file whose noise comes again.
REPLAYABLE: Final = "random_state was given: whoever has this file can draw the noise of all later requests, and subtract it"
#: What reading a damaged file may raise.
_DAMAGE: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Saved:
    """What a file holds of a fitted estimator; read from a file, the numbers of its header are not checked yet.

    kind: its class. params: the constructor's arguments. n_features: columns of X, names: theirs, (n_features,), if they have
    any. classes: (k,), of a classifier. sigma: the noise. stream, guarantee: as their ``to_json`` wrote them. requests: the
    rows of each, steps: its length. run: parameters (outputs*d, 1), order (n,), features (n, d), labels (n,), zeroed (n,).
    noise: of one trial. row_labels: what X called its rows. history: of the file. draws: as ``draws_header`` has them; None for
    a partition. fitted: what else fit found out, as JSON types. rows: those that are kept apart, as they lie in blocks. What
    tells of rows, noise or key is in no repr.
    """

    kind: str
    params: Mapping[str, object] = field(repr=False)
    n_features: int
    names: NDArray[np.object_] | None
    classes: NDArray[np.generic] | None
    sigma: float
    stream: str = field(repr=False)
    requests: Sequence[Sequence[int]]
    steps: Sequence[int]
    guarantee: str | None = field(repr=False)
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)
    noise: Noise = field(repr=False)
    row_labels: RowLabels = field(repr=False)
    history: History
    draws: Mapping[str, Any] | None = field(repr=False)
    fitted: Mapping[str, Any] = field(default_factory=dict)
    rows: Rows | SparseRows | None = field(default=None, repr=False)


def arrays_of(run: Run, *, apart: bool = False) -> dict[str, NDArray[Any]]:
    """What a file holds of a run of one trial, without rows that are kept apart."""
    return {
        "parameters": run.parameters,
        "order": run.orders[0] if run.draws is None else np.empty(0, dtype=np.int64),
        **({} if apart else _row_arrays(run)),
        "labels": run.labels,
        "zeroed": run.zeroed,
        **draws_arrays(run.draws),
    }


def _row_arrays(run: Run) -> dict[str, NDArray[Any]]:
    """The rows; sparse ones as the three arrays of CSR, features those that are not zero."""
    rows = run.features
    if not is_sparse(rows):
        return {"features": rows}
    sparse: Any = rows
    return {"features": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr}


def write(saved: Saved, path: str | PathLike[str], *, before: History) -> None:
    """Write a fitted estimator, after whoever is writing the file now; it is on the disk when this returns.

    OvertakenError, with nothing written, where an estimator with the history ``before`` has not seen what the file holds now.
    """
    header, arrays = _header(saved), {**saved.arrays, **_label_arrays(saved.row_labels)}
    try:
        json.dumps(header, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"parameters and classes must be text, finite numbers or booleans to be saved: {error}") from None
    try:
        # New ones are readable by their owner only, and so is every one that holds a key.
        with locked_file(path):
            _check_place(before, path)
            # A process that was killed may have left rows that are removed since.
            remove_unfinished(path)
            blocks = [] if saved.rows is None else write_rows(path, saved.rows)
            text = json.dumps({**header, "blocks": blocks} if blocks else header, default=_plain, allow_nan=False)
            with atomic_file(path, mode=0o600, sync=True, secret=saved.draws is not None) as part, open(part, "wb") as file:
                np.savez(file, header=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
            remove_others(path, blocks)
    except OSError as error:
        raise InputError(f"path {os.fspath(path)} cannot be written: {error.strerror}") from None


@contextmanager
def reading(path: str | PathLike[str], kind: str) -> Iterator[Saved]:
    """What :func:`write` wrote of an estimator of this class; what goes wrong in the block becomes an InputError, too."""
    name = os.fspath(path)
    try:
        yield _read(path, kind)
    except OSError as error:
        raise InputError(f"path {name} cannot be read: {error.strerror}") from None
    except InputError as error:
        raise InputError(f"path {name} cannot be loaded: {error}") from None
    except _DAMAGE as error:
        raise InputError(f"path {name} must be a file that save wrote, undamaged ({type(error).__name__})") from None


def _read(path: str | PathLike[str], kind: str) -> Saved:
    for left in (2, 1, 0):
        with open(path, "rb") as file:
            with np.load(file, allow_pickle=False) as archive:
                known = (*_ARRAYS, *_LABELS, *DRAW_ARRAYS, _KEPT, *_SPARSE)
                arrays = {key: archive[key] for key in known if key in archive.files}
            header = _read_header(arrays)
            if header["kind"] != kind:
                raise InputError(f"it holds a {header['kind']}, not a {kind}")
            file.seek(0)
            history = _history(header, file).at(path)
        if header["format"] != _APART:
            return _saved(header, arrays, history)
        try:
            rows = read_rows(path, header["blocks"])
        except FileNotFoundError:
            # Somebody may have saved in between, and removed what this state listed.
            if left:
                continue
            raise InputError(f"its rows must be in the folder {folder_of(path)} beside it, and some are not") from None
        return replace(_saved(header, {**arrays, "features": rows.whole()}, history), rows=rows)
    raise AssertionError


def _header(saved: Saved) -> dict[str, object]:
    classes, noise, labels = saved.classes, saved.noise, saved.row_labels
    texts = labels.values is not None and all(type(label) is str for label in labels.values.tolist())
    kept = labels.kind != OWN or texts or labels.values is None or labels.values.dtype != object
    header = {
        "format": FORMAT if saved.rows is None else _APART,
        "kind": saved.kind,
        "params": saved.params,
        "n_features": saved.n_features,
        "names": None if saved.names is None else saved.names.tolist(),
        "classes": None if classes is None else {"values": classes.tolist(), "dtype": classes.dtype.str},
        "sigma": saved.sigma,
        "stream": saved.stream,
        "requests": saved.requests,
        "steps": saved.steps,
        "guarantee": saved.guarantee,
        "row_labels": {
            "kind": labels.kind if kept else LOST,
            "texts": labels.values.tolist() if texts and labels.values is not None and labels.rows is not None else None,
        },
        "history": saved.history.to_dict(),
        "draws": saved.draws,
        "fitted": saved.fitted,
        "generator": noise.generators[0].bit_generator.state if noise.replayable else None,
    }
    return {**header, "note": REPLAYABLE} if noise.replayable else header


def _label_arrays(labels: RowLabels) -> dict[str, NDArray[Any]]:
    if labels.values is None or labels.rows is None:
        return {}
    whole = labels.values.dtype != object
    return {"row_label_rows": labels.rows, **({"row_labels": labels.values} if whole else {})}


def _read_header(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(arrays["header"].tobytes().decode())
    if header["format"] not in _FORMATS:
        raise InputError(f"its format is {header['format']!r}, but this version reads {' and '.join(map(str, _FORMATS))} only")
    return header


def _history(header: Mapping[str, Any], file: Any) -> History:
    """The history of a file; one of the first format is known by what is in it."""
    if header["format"] == 1:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        return History(digest, 0, (digest,))
    return History.from_dict(header["history"])


def _check_place(history: History, path: str | PathLike[str]) -> None:
    """InputError if a file would be replaced that has moved on, or has become another, since the estimator was there."""
    try:
        with open(path, "rb") as file:
            with np.load(file, allow_pickle=False) as archive:
                header = _read_header({"header": archive["header"]})
            file.seek(0)
            there = _history(header, file)
    except FileNotFoundError:
        return
    except _DAMAGE:
        # No model: replaced like any other file, unless there was one.
        there = None
    history.check_replaces(there, path)


def _saved(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], history: History) -> Saved:
    classes, names = header["classes"], header["names"]
    if classes is not None:
        classes = np.array(classes["values"], dtype=np.dtype(classes["dtype"]))
        if classes.ndim != 1 or classes.size < 2:
            raise ValueError("classes")
    arrays = _with_sparse(header, arrays)
    features, labels, zeroed, order = (arrays[name] for name in ("features", "labels", "zeroed", "order"))
    n = zeroed.size
    if features.ndim != 2 or not n or not (features.shape[0] == labels.size == n) or zeroed.dtype != bool:
        raise ValueError("rows")
    draws, params = header.get("draws"), header["params"]
    fitted = header.get("fitted", {})
    count = int(fitted.get("count", n if draws is None else draws["came"]))
    kept = arrays.get(_KEPT)
    if kept is not None and (kept.dtype != np.int64 or kept.ndim != 1 or (np.diff(kept, prepend=-1) <= 0).any()):
        raise ValueError("kept")
    if kept is not None and (not kept.size or kept[-1] >= count):
        raise ValueError("kept")
    if order.dtype != np.int64 or not np.array_equal(np.sort(order), np.arange(n if draws is None else 0)):
        raise ValueError("order")
    if header["format"] < 3:
        params = {**params, "assignment": PARTITION, "largest_n": None}
    return Saved(
        kind=header["kind"],
        params=params,
        n_features=int(header["n_features"]),
        names=None if names is None else np.array(names, dtype=object),
        classes=classes,
        sigma=header["sigma"],
        stream=header["stream"],
        requests=header["requests"],
        steps=header["steps"],
        guarantee=header["guarantee"],
        arrays=arrays,
        noise=_noise(header),
        row_labels=_row_labels(header, arrays, count),
        history=history,
        draws=draws,
        fitted=fitted,
    )


def _with_sparse(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, Any]:
    """With sparse rows as a matrix; ValueError where the arrays of one do not fit together."""
    if not set(_SPARSE) & set(arrays):
        return arrays
    from scipy.sparse import csr_array

    parts = (arrays["features"], arrays["indices"], arrays["indptr"])
    if parts[0].dtype != np.float64:
        raise ValueError("features")
    rows = csr_array(parts, shape=(arrays["zeroed"].size, int(header["fitted"]["columns"])))
    rows.check_format()
    return {**{name: array for name, array in arrays.items() if name not in _SPARSE}, "features": rows}


def _noise(header: Mapping[str, Any]) -> Noise:
    """Fresh, unless ``random_state`` was given; the first format kept the state of what has none, too."""
    if header["params"]["random_state"] is None:
        return fresh_noise(1)
    bits = np.random.PCG64(0)
    bits.state = header["generator"]
    return Noise([np.random.Generator(bits)], replayable=True)


def _row_labels(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], n: int) -> RowLabels:
    said = header.get("row_labels")
    if said is None or said["kind"] in (NONE, NUMBERS, LOST):
        return RowLabels(n, NONE if said is None else said["kind"])
    texts, rows = said["texts"], arrays["row_label_rows"]
    values = arrays["row_labels"] if texts is None else as_objects(texts)
    if said["kind"] != OWN or rows.shape != values.shape or rows.dtype != np.int64 or values.ndim != 1:
        raise ValueError("row_labels")
    if np.unique(rows).size < rows.size or (rows < 0).any() or (rows >= n).any() or (values.dtype.kind not in "iO"):
        raise ValueError("row_labels")
    return RowLabels(n, OWN, values, rows)


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as JSON types."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"got {value!r}")
