"""Estimators in files: one .npz of plain arrays and a JSON header, read without pickle.

Arrays: header (UTF-8 bytes), parameters (outputs*d, 1), order (n,), features (n, d), labels (n,), zeroed (n,). The header has
the estimator's parameters and classes, the state of its noise and of its stream, the requests so far and the guarantee.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from os import PathLike
from typing import Any, Final, TypeVar

import numpy as np

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
Estimator = TypeVar("Estimator")


def write(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator; the file is replaced once the new one is complete."""
    run: Run = model._run
    classes = getattr(model, "classes_", None)
    names = getattr(model, "feature_names_in_", None)
    header = {
        "format": FORMAT,
        "kind": type(model).__name__,
        "params": model.get_params(deep=False),
        "n_features": model.n_features_in_,
        "names": None if names is None else names.tolist(),
        "classes": None if classes is None else {"values": classes.tolist(), "dtype": classes.dtype.str},
        "generator": run.generators[0].bit_generator.state,
        "sigma": model.sigma_,
        "stream": model._stream.to_json(),
        "requests": model.requests_,
        "steps": model.steps_run_,
        "guarantee": None if model._guarantee is None else model._guarantee.to_json(),
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


def read(kind: type[Estimator], path: str | PathLike[str]) -> Estimator:
    """The estimator of this class that :func:`write` wrote, or InputError."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in _ARRAYS}
        header = json.loads(arrays["header"].tobytes().decode())
        if header["format"] != FORMAT:
            raise InputError(f"its format is {header['format']!r}, but this version reads {FORMAT} only")
        if header["kind"] != kind.__name__:
            raise InputError(f"it holds a {header['kind']}, not a {kind.__name__}")
        return _restored(kind, header, arrays)
    except OSError as error:
        raise InputError(f"path {name} cannot be read: {error.strerror}") from None
    except InputError as error:
        raise InputError(f"path {name} cannot be loaded: {error}") from None
    except _DAMAGE as error:
        raise InputError(f"path {name} must be a file that save wrote, undamaged ({type(error).__name__})") from None


def _restored(kind: type[Estimator], header: dict[str, Any], arrays: dict[str, Any]) -> Estimator:
    model: Any = kind(**header["params"])
    if header["classes"] is not None:
        model.classes_ = np.array(header["classes"]["values"], dtype=np.dtype(header["classes"]["dtype"]))
        if model.classes_.ndim != 1 or model.classes_.size < 2:
            raise ValueError("classes")
    model.n_features_in_ = int(header["n_features"])
    if header["names"] is not None:
        model.feature_names_in_ = np.array(header["names"], dtype=object)
    bits = np.random.PCG64(0)
    bits.state = header["generator"]
    features, labels, zeroed, order = (arrays[name] for name in ("features", "labels", "zeroed", "order"))
    n = zeroed.size
    if features.ndim != 2 or not n or not (features.shape[0] == labels.size == n) or zeroed.dtype != bool:
        raise ValueError("rows")
    if order.dtype != np.int64 or not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError("order")
    # Where in the cycle the run stands follows from what has been run.
    run = Run(
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
    model._restore(run, header)
    return model


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON types."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"got {value!r}")
