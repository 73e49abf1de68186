"""Estimators in files: one .npz of plain arrays and a JSON header, read without pickle.

Arrays: header (UTF-8 bytes), parameters (outputs*d, 1), order (n,), features (n, d), labels (n,), zeroed (n,). The header has
the estimator's parameters and classes, the state of its noise and of its stream, the requests so far and the guarantee.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError
from accountant.trainer.training import Run

#: Version of the file format.
FORMAT: Final = 1
_ARRAYS: Final = ("header", "parameters", "order", "features", "labels", "zeroed")
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
    rows of each, steps: its length. run: of one trial; from a file, its counts and its place in the cycle are 0.
    """

    kind: str
    params: Mapping[str, object]
    n_features: int
    names: NDArray[np.object_] | None
    classes: NDArray[np.generic] | None
    sigma: float
    stream: str
    requests: Sequence[Sequence[int]]
    steps: Sequence[int]
    guarantee: str | None
    run: Run


def write(saved: Saved, path: str | PathLike[str]) -> None:
    """Write a fitted estimator; the file is replaced once the new one is complete."""
    run, classes = saved.run, saved.classes
    header = {
        "format": FORMAT,
        "kind": saved.kind,
        "params": saved.params,
        "n_features": saved.n_features,
        "names": None if saved.names is None else saved.names.tolist(),
        "classes": None if classes is None else {"values": classes.tolist(), "dtype": classes.dtype.str},
        "generator": run.generators[0].bit_generator.state,
        "sigma": saved.sigma,
        "stream": saved.stream,
        "requests": saved.requests,
        "steps": saved.steps,
        "guarantee": saved.guarantee,
    }
    try:
        text = json.dumps(header, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"parameters and classes must be text, finite numbers or booleans to be saved: {error}") from None
    part = f"{os.fspath(path)}.part"
    try:
        # Readable by the owner only.
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            np.savez(
                file,
                header=np.frombuffer(text.encode(), dtype=np.uint8),
                parameters=run.parameters,
                order=run.orders[0],
                features=run.features,
                labels=run.labels,
                zeroed=run.zeroed,
            )
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"path {os.fspath(path)} cannot be written: {error.strerror}") from None


@contextmanager
def reading(path: str | PathLike[str], kind: str) -> Iterator[Saved]:
    """What :func:`write` wrote of an estimator of this class; what goes wrong in the block becomes an InputError, too."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in _ARRAYS}
        header = json.loads(arrays["header"].tobytes().decode())
        if header["format"] != FORMAT:
            raise InputError(f"its format is {header['format']!r}, but this version reads {FORMAT} only")
        if header["kind"] != kind:
            raise InputError(f"it holds a {header['kind']}, not a {kind}")
        yield _saved(header, _run(header, arrays))
    except OSError as error:
        raise InputError(f"path {name} cannot be read: {error.strerror}") from None
    except InputError as error:
        raise InputError(f"path {name} cannot be loaded: {error}") from None
    except _DAMAGE as error:
        raise InputError(f"path {name} must be a file that save wrote, undamaged ({type(error).__name__})") from None


def _saved(header: Mapping[str, Any], run: Run) -> Saved:
    classes, names = header["classes"], header["names"]
    if classes is not None:
        classes = np.array(classes["values"], dtype=np.dtype(classes["dtype"]))
        if classes.ndim != 1 or classes.size < 2:
            raise ValueError("classes")
    return Saved(
        kind=header["kind"],
        params=header["params"],
        n_features=int(header["n_features"]),
        names=None if names is None else np.array(names, dtype=object),
        classes=classes,
        sigma=header["sigma"],
        stream=header["stream"],
        requests=header["requests"],
        steps=header["steps"],
        guarantee=header["guarantee"],
        run=run,
    )


def _run(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Run:
    bits = np.random.PCG64(0)
    bits.state = header["generator"]
    features, labels, zeroed, order = (arrays[name] for name in ("features", "labels", "zeroed", "order"))
    n = zeroed.size
    if features.ndim != 2 or not n or not (features.shape[0] == labels.size == n) or zeroed.dtype != bool:
        raise ValueError("rows")
    if order.dtype != np.int64 or not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError("order")
    # Where in the cycle the run stands follows from what has been run.
    return Run(
        parameters=arrays["parameters"],
        orders=order[None],
        features=features,
        labels=labels,
        steps=0,
        batch_size=0,
        next_batch=0,
        requests=0,
        zeroed=zeroed,
        generators=(np.random.Generator(bits),),
    )


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as JSON types."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"got {value!r}")
