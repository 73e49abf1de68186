"""The history of a saved model: which states a file went through, so that nobody overwrites one that he has not seen."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Final, Self

from accountant.numerics import InputError, integer

#: Latest states that are remembered.
_MOST: Final = 1000


class OvertakenError(InputError):
    """A saved model has moved on, or become another one, since it was loaded or saved: load it again and repeat the request."""


@dataclass(frozen=True)
class History:
    """What an estimator was before.

    fit: a name of the fit. generation: the number of states that were saved since. states: a random name of each, the last one
    at the end, at most 1000. Not in the files: places, that it was loaded from or saved to, links resolved; changed, whether it
    is in another state now than the last one saved.
    """

    fit: str
    generation: int = 0
    states: tuple[str, ...] = ()
    places: frozenset[str] = frozenset()
    changed: bool = False

    @classmethod
    def begun(cls) -> Self:
        """That of a new fit."""
        return cls(secrets.token_hex(16), changed=True)

    def moved(self) -> Self:
        """After a request."""
        return replace(self, changed=True)

    def at(self, path: str | PathLike[str]) -> Self:
        """The estimator is now what this file holds."""
        return replace(self, places=self.places | {os.path.realpath(path)})

    def saved(self, path: str | PathLike[str]) -> Self:
        """In this file, as one state more if it is another one."""
        if not self.changed:
            return self.at(path)
        states = (*self.states, secrets.token_hex(8))[-_MOST:]
        return replace(self, generation=self.generation + 1, states=states, changed=False).at(path)

    def check_replaces(self, there: History | None, path: str | PathLike[str]) -> None:
        """OvertakenError if the file at ``path``, of the history ``there`` (None: it is no model), must not be replaced."""
        name, again = os.fspath(path), "load it again and repeat what was done since; nothing was written"
        if there is not None and there.fit == self.fit:
            if there.states[-1] not in self.states:
                raise OvertakenError(
                    f"path {name} holds generation {there.generation} of this model, which somebody else has saved since this "
                    f"one was at generation {self.generation}: {again}"
                )
        elif os.path.realpath(path) in self.places:
            what = "no model any more" if there is None else "another model"
            raise OvertakenError(f"path {name} holds {what}, since this one was loaded from it or saved to it: {again}")

    def to_dict(self) -> dict[str, object]:
        """JSON types only."""
        return {"fit": self.fit, "generation": self.generation, "states": list(self.states)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` gave."""
        fit, states = data["fit"], tuple(data["states"])
        if not states or not all(isinstance(text, str) and text for text in (fit, *states)):
            raise ValueError("history")
        return cls(fit, integer("generation", data["generation"], at_least=0), states)
