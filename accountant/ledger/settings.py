"""What a ledger is told once: the model, the deadline, what runs, and where the key and the subjects are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from accountant.ledger.chain import canonical_text
from accountant.numerics import InputError, choice, number

#: Seconds.
DAY: Final = 86_400.0
#: Places on this machine, which a restored ledger may have elsewhere; they are in no entry.
PLACES: Final = ("model", "key", "subjects", "certificates", "sign")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a ledger; times in seconds.

    model: the file that is replaced by every run. deadline: from the receipt of a request until it must be done.
    backend: what runs, with its arguments (JSON types). key: the file of the key. subjects: database (file or URL) of who has
    which rows. certificates: the folder of certificates, sign: the file of the Ed25519 key that signs them (None: nobody does).
    margin, floor: a run begins margin times its estimated seconds, and floor besides, before the earliest deadline.
    timeout: of one run, after which it is given up; None: never. lease: after which a worker that says nothing is dead.
    """

    model: str
    key: str
    subjects: str
    certificates: str
    sign: str | None = None
    deadline: float = 30 * DAY
    backend: str = "estimator"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    margin: float = 10.0
    floor: float = DAY
    timeout: float | None = None
    lease: float = 60.0

    def __post_init__(self) -> None:
        number("deadline", self.deadline, above=0)
        number("margin", self.margin, at_least=1)
        number("floor", self.floor, at_least=0)
        number("lease", self.lease, at_least=1)
        if self.timeout is not None:
            number("timeout", self.timeout, above=0)
        if not self.floor < self.deadline:
            raise InputError(f"floor must be below deadline = {self.deadline:g} seconds, got {self.floor:g}")

    @property
    def model_path(self) -> Path:
        return Path(self.model)

    @property
    def public(self) -> dict[str, Any]:
        """Without the places on this machine: what the first entry holds."""
        return {name: value for name, value in asdict(self).items() if name not in PLACES}

    def at(self, places: Mapping[str, str]) -> Self:
        """With these places instead; InputError for a name that is none of PLACES."""
        for name in places:
            choice("places", name, PLACES)
        return replace(self, **{name: os.path.realpath(path) if "://" not in path else path for name, path in places.items()})  # type: ignore[arg-type]

    def to_json(self) -> str:
        return canonical_text(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What :meth:`to_json` gave; InputError for settings of a newer program."""
        values = json.loads(text)
        unknown = set(values) - {each.name for each in fields(cls)}
        if unknown:
            raise InputError(f"settings of the ledger hold {min(unknown)!r}, which this program does not know: it is older")
        return cls(**values)


def beside(path: str | os.PathLike[str], end: str) -> str:
    """A file or folder beside another one, of its name and this end.

    >>> beside("/data/model.npz", ".key")
    '/data/model.key'
    """
    return os.fspath(Path(os.path.realpath(path)).with_suffix("")) + end


def absolute(place: str | os.PathLike[str]) -> str:
    """A place that means the same in whichever folder it is read; the URL of a database stays.

    >>> absolute("/data/../keys/model.key"), absolute("postgresql://host/subjects")
    ('/keys/model.key', 'postgresql://host/subjects')
    """
    said = os.fspath(place)
    return said if "://" in said else os.path.abspath(said)
