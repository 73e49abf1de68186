"""Files of a run: the new model beside the old one until it is recorded, then in its place; the certificate by its digest."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from accountant.numerics import InputError, remove_unfinished, sync_folder


class DamageError(RuntimeError):
    """Files are not what the ledger says: nothing is done until somebody has looked; the message says at what."""


def staged_path(model: Path, intent: int) -> Path:
    """Where the model of a run is written first."""
    return model.with_name(f"{model.name}.run{intent}")


def file_digest(path: Path, name: str = "model") -> str:
    """SHA-256 of a file, 64 hexadecimal digits; InputError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{name} file {path} cannot be read: {error.strerror}") from None


def digest_there(path: Path) -> str | None:
    """The same, None where no file is."""
    return file_digest(path) if path.exists() else None


def sealed(staged: Path) -> str:
    """The digest of a staged file, which is its owner's alone and on the disk with its name."""
    os.chmod(staged, 0o600)
    handle = os.open(staged, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_folder(staged.parent)
    return file_digest(staged)


def copy_new(source: Path, staged: Path) -> None:
    """A copy of a file, its owner's alone, where there is none."""
    with open(source, "rb") as file, open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
        shutil.copyfileobj(file, copy)


def place(staged: Path, model: Path) -> None:
    """Put it in the model's place, for good."""
    os.replace(staged, model)
    sync_folder(model.parent)


def discard(staged: Path) -> None:
    """Remove it, and what a process that was killed may have left of it."""
    remove_unfinished(staged)
    with suppress(FileNotFoundError):
        staged.unlink()
    with suppress(FileNotFoundError):
        staged.with_name(f".{staged.name}.lock").unlink()
    sync_folder(staged.parent)


def run_folder_prefix(model: Path) -> str:
    """How the names of folders begin in which runs that are declared keep their files, beside the model."""
    return f".{model.name}.run-"


def discard_folders(model: Path) -> None:
    """Remove those that a crash left: they hold rows."""
    left = [path for path in model.parent.iterdir() if path.name.startswith(run_folder_prefix(model))]
    for path in left:
        shutil.rmtree(path)
    if left:
        sync_folder(model.parent)


def filed(part: Path, folder: Path) -> str:
    """Keep a certificate under its digest, which is returned."""
    digest = sealed(part)
    place(part, certificate_path(folder, digest))
    return digest


def certificate_path(folder: Path, digest: str) -> Path:
    """Where the certificate with this digest is."""
    return folder / f"{digest}.json"
