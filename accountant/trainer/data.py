"""Two digits as data: MNIST from files, or scikit-learn's small digits; and the points that replace deleted ones.

Preparation is that of the published experiments: pixels scaled to [-1/2, 1/2], flattened, every row divided by its 2-norm;
label +1 for a 3, -1 for an 8; of MNIST the first 11264 training rows, all 3s before all 8s.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import Floats, InputError, MissingExtraError, first_bytes, integer
from accountant.problem import PRESETS
from accountant.trainer.points import row_norms

#: Rows that the published experiments keep of MNIST.
MNIST_ROWS: Final = PRESETS["mnist"].n
_POSITIVE, _NEGATIVE = 3, 8
_ARRAYS: Final = ("train_images", "train_labels", "test_images", "test_labels")
#: File names of the four arrays in MNIST's own format, with or without .gz.
_IDX: Final = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
#: More pixels than MNIST has by far: a header that asks for them is a broken file.
_MOST: Final = 1 << 32
#: What reading a damaged file may raise.
_DAMAGE: Final = (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, NotImplementedError)


@dataclass(frozen=True)
class Digits:
    """features (n, d) of unit rows and labels (n,) of +1 and -1, and the same for testing."""

    features: Floats
    labels: NDArray[np.int64]
    test_features: Floats
    test_labels: NDArray[np.int64]


def load(path: str | PathLike[str] | None = None, *, rows: int | None = None) -> Digits:
    """Digits 3 and 8: MNIST from ``path``, or scikit-learn's 8 x 8 digits (extra ``sklearn``) without one.

    path: a .npz file with train_images (n, 28, 28), train_labels, test_images, test_labels, or a folder with MNIST's four IDX
        files, plain or .gz. rows: training rows that are kept, from the front; default 11264 of MNIST, else all.
    Raises InputError for files that cannot be read, are damaged or hold other things.
    """
    return load_digits(rows=rows) if path is None else load_mnist(path, rows=MNIST_ROWS if rows is None else rows)


def load_mnist(path: str | PathLike[str], *, rows: int | None = MNIST_ROWS) -> Digits:
    """MNIST's 3s and 8s; arguments and errors as for :func:`load`, rows=None keeps all."""
    place = Path(path)
    images, labels, test_images, test_labels = _idx_arrays(place) if place.is_dir() else _npz_arrays(place)
    train = _prepared(place, "training", images, labels, 255)
    test = _prepared(place, "test", test_images, test_labels, 255)
    if train[0].shape[1] != test[0].shape[1]:
        raise InputError(f"data in {place} must have images of one size, got {images.shape[1:]} and {test_images.shape[1:]}")
    return _kept(*train, *test, rows)


def load_digits(*, rows: int | None = None) -> Digits:
    """scikit-learn's digits 3 and 8 (357 images of 8 x 8), 3s first; every fifth of each digit is for testing.

    The images come writer by writer: the last ones would be other people's.
    """
    try:
        from sklearn.datasets import load_digits as load_bunch
    except ImportError:
        raise MissingExtraError("data without a path", "scikit-learn", "sklearn") from None
    bunch = load_bunch()
    parts: list[Any] = [[], []]
    for digit in (_POSITIVE, _NEGATIVE):
        own = np.flatnonzero(bunch.target == digit)
        tested = np.arange(own.size) % 5 == 4
        parts[0].append(own[~tested])
        parts[1].append(own[tested])
    train, test = (np.concatenate(part) for part in parts)
    place = Path("scikit-learn's digits")
    return _kept(
        *_prepared(place, "training", bunch.images[train], bunch.target[train], 16),
        *_prepared(place, "test", bunch.images[test], bunch.target[test], 16),
        rows,
    )


def random_points(count: int, dimension: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """What replaces deleted points in the published experiments: uniform unit vectors (count, dimension), random labels.

    >>> vectors, labels = random_points(2, 5, np.random.default_rng(0))
    >>> vectors.shape, set(labels.tolist()) <= {-1, 1}
    ((2, 5), True)
    """
    vectors = rng.standard_normal((integer("count", count, at_least=1), integer("dimension", dimension, at_least=1)))
    return vectors / row_norms(vectors)[:, None], rng.choice(np.array([-1, 1]), size=count)


def unit_rows(features: ArrayLike) -> Floats:
    """Every row (n, d) divided by its 2-norm; InputError for a row of zeros or of something else than finite numbers.

    >>> unit_rows([[3, 4], [0, 2]]).tolist()
    [[0.6, 0.8], [0.0, 1.0]]
    """
    x = np.asarray(features, dtype=np.float64)
    norms = row_norms(x)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(f"features must have rows of a finite norm > 0, got {norms[row]} in row {row}")
    return x / norms[:, None]


def _kept(x: Floats, y: NDArray[np.int64], test_x: Floats, test_y: NDArray[np.int64], rows: int | None) -> Digits:
    count = y.size if rows is None else integer("rows", rows, at_least=1, at_most=y.size)
    return Digits(x[:count], y[:count], test_x, test_y)


def _prepared(place: Path, what: str, images: Any, labels: Any, white: int) -> tuple[Floats, NDArray[np.int64]]:
    """Unit rows and labels of the 3s and then the 8s."""
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.dtype.kind not in "uif" or labels.dtype.kind not in "ui":
        raise InputError(
            f"{what} data in {place} must be images (n, height, width) and labels (n,), got {images.shape} {images.dtype} and "
            f"{labels.shape} {labels.dtype}"
        )
    order = np.concatenate([np.flatnonzero(labels == digit) for digit in (_POSITIVE, _NEGATIVE)])
    if not order.size:
        raise InputError(f"{what} data in {place} must have images of the digits {_POSITIVE} or {_NEGATIVE}, got none")
    pixels = images[order].reshape(order.size, -1).astype(np.float64)
    if not ((pixels >= 0) & (pixels <= white)).all():
        raise InputError(f"{what} data in {place} must have pixels from 0 to {white}")
    return unit_rows(pixels / white - 0.5), np.where(labels[order] == _POSITIVE, 1, -1)


def _npz_arrays(place: Path) -> list[Any]:
    try:
        with open(place, "rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array")
            missing = [name for name in _ARRAYS if name not in file]
            if missing:
                raise ValueError(f"no array {missing[0]}")
            return [file[name] for name in _ARRAYS]
    except OSError as error:
        raise InputError(f"data file {place} cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise InputError(f"data file {place} must be a .npz file of {', '.join(_ARRAYS)}: {_words(error)}") from None


def _idx_arrays(folder: Path) -> list[Any]:
    arrays = []
    for name, dimensions in zip(_IDX, (3, 1, 3, 1), strict=True):
        found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if not found:
            raise InputError(f"data folder {folder} must have a file {name} or {name}.gz")
        arrays.append(read_idx(found[0], dimensions=dimensions))
    return arrays


def read_idx(path: str | PathLike[str], *, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes in MNIST's IDX format, plain or gzip-compressed; InputError for anything else."""
    place = Path(path)
    packed = first_bytes("data", place, 2) == b"\x1f\x8b"
    try:
        with gzip.open(place) if packed else open(place, "rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes([0, 0, 8, dimensions]):
                raise ValueError(f"its header must say bytes in {dimensions} dimensions")
            shape = tuple(int(size) for size in np.frombuffer(head, ">u4", offset=4))
            count = int(np.prod(shape, dtype=object))
            if count > _MOST:
                raise ValueError(f"its header asks for {count} bytes")
            # One more than there should be, to see whether there is more.
            body = file.read(count + 1)
        if len(body) != count:
            raise ValueError(f"{count} bytes of data are announced, {'more' if len(body) > count else len(body)} are there")
        return np.frombuffer(body, np.uint8).reshape(shape)
    except _DAMAGE as error:
        raise InputError(f"data file {place} must be in IDX format: {_words(error)}") from None
    except OSError as error:
        raise InputError(f"data file {place} cannot be read: {error.strerror or error}") from None


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
