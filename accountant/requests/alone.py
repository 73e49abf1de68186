"""One thread at a time: what changes a state never runs beside itself, and copies have a lock of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")
Owner = TypeVar("Owner", bound="Alone")


class Alone:
    """An object with a lock that no copy and no pickle takes along."""

    _lock: threading.RLock

    def __new__(cls, *_: object, **__: object) -> Any:
        made = super().__new__(cls)
        made._lock = threading.RLock()
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}


def alone(method: Callable[Concatenate[Owner, Asked], Answer]) -> Callable[Concatenate[Owner, Asked], Answer]:
    """The method, which waits until no other one of the object runs in another thread."""

    @wraps(method)
    def waiting(self: Owner, *arguments: Asked.args, **options: Asked.kwargs) -> Answer:
        with self._lock:
            return method(self, *arguments, **options)

    return cast(Callable[Concatenate[Owner, Asked], Answer], waiting)
