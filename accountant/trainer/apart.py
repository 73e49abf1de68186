"""Rows of a saved model in a folder beside its file, one file per block: a request writes only the block that it changed.

The folder is ``NAME.rows`` beside the file NAME, which lists the blocks that are its rows. Names are digests of contents: a
block that runs share is written once, and read back it must be what was written. Blocks come before the file that lists them,
and those that it does not list are removed after it, under the lock of the file: at any moment the file on the disk has all
its blocks, and when the writer returns there are no others. A removed row was in a block that is listed no more, so that file
is gone, as a whole file is that is replaced; what a file system keeps of removed files is its own affair. A process that ends
between the two leaves blocks that nobody lists, which the next one to write removes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np

from accountant.numerics import atomic_file, sync_folder
from accountant.trainer.rows import Block, Rows
from accountant.trainer.sparse_rows import SparseRows

_SPARSE: Final = ("data", "indices", "indptr")


def folder_of(path: str | PathLike[str]) -> Path:
    """Where the rows of a file are; links are resolved."""
    target = Path(os.path.realpath(path))
    return target.with_name(f"{target.name}.rows")


def write_rows(path: str | PathLike[str], rows: Rows | SparseRows) -> list[str]:
    """The names of all blocks, of which those that were not there are on the disk now. The caller has the lock of the file."""
    folder = folder_of(path)
    folder.mkdir(mode=0o700, exist_ok=True)
    names = [block.digest if isinstance(block, Block) else _digest(_arrays(block)) for block in rows.blocks]
    for name, block in zip(names, rows.blocks, strict=True):
        file = folder / f"{name}.npz"
        if not _whole(file, block):
            with atomic_file(file, mode=0o600, sync=True) as part, open(part, "wb") as stream:
                np.savez(stream, **_arrays(block))
    return names


def _whole(file: Path, block: Any) -> bool:
    """Whether a block is there; one that was cut short is none. What rots in its place is seen when it is read."""
    with suppress(FileNotFoundError):
        return file.stat().st_size > sum(array.nbytes for array in _arrays(block).values())
    return False


def remove_others(path: str | PathLike[str], names: Sequence[str]) -> None:
    """Remove what is in the folder and is none of these blocks, and an empty folder. The caller has the lock of the file."""
    folder, listed = folder_of(path), {f"{name}.npz" for name in names}
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        # Folders are somebody else's, and no reason to leave a block with removed rows.
        if file.name not in listed and (file.is_symlink() or not file.is_dir()):
            file.unlink()
    sync_folder(folder)
    if not names:
        with suppress(OSError):
            folder.rmdir()


def read_rows(path: str | PathLike[str], names: Sequence[str]) -> Rows | SparseRows:
    """The rows that a file lists; ValueError where a block is not what was written, OSError where it is not there."""
    blocks: list[Any] = []
    for name in names:
        if not (isinstance(name, str) and name.isalnum()):
            raise ValueError("name of a block")
        with open(folder_of(path) / f"{name}.npz", "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        if _digest(arrays) != name:
            raise ValueError("content of a block")
        blocks.append(_block(arrays))
    if not blocks or len({(type(block), _columns(block)) for block in blocks}) > 1:
        raise ValueError("blocks")
    return Rows(tuple(blocks)) if isinstance(blocks[0], Block) else SparseRows(tuple(blocks))


def _arrays(block: Any) -> dict[str, Any]:
    if isinstance(block, Block):
        return {"rows": block.array}
    return {**{name: getattr(block, name) for name in _SPARSE}, "columns": np.array(block.shape[1])}


def _columns(block: Any) -> tuple[int, object]:
    array = block.array if isinstance(block, Block) else block
    return int(array.shape[1]), array.dtype


def _block(arrays: dict[str, Any]) -> Any:
    if "rows" in arrays:
        rows = arrays["rows"]
        if rows.ndim != 2 or rows.dtype not in (np.float32, np.float64):
            raise ValueError("rows")
        return Block(np.ascontiguousarray(rows))
    from scipy.sparse import csr_array

    matrix = csr_array(tuple(arrays[name] for name in _SPARSE), shape=(arrays["indptr"].size - 1, int(arrays["columns"])))
    matrix.check_format()
    return matrix


def _digest(arrays: dict[str, Any]) -> str:
    if list(arrays) == ["rows"]:
        return Block(np.ascontiguousarray(arrays["rows"])).digest
    digest = hashlib.blake2b(digest_size=16)
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
