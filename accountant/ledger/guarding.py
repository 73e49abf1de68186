"""A call of a backend: in a thread of its own, so that the lease stays ours meanwhile and one that hangs is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from accountant.ledger.backends import RunFailedError
from accountant.ledger.database import DatabaseError
from accountant.ledger.lease import Lease

_T = TypeVar("_T")


def guarded(lease: Lease, call: Callable[[], _T], timeout: float | None) -> _T:
    """What ``call`` returns or raises; RunFailedError after ``timeout`` seconds, after which its result goes nowhere.

    LeaseLostError where another worker takes over meanwhile.
    """
    found: list[_T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True, name="ledger run")
    until = None if timeout is None else time.monotonic() + timeout
    thread.start()
    while thread.is_alive():
        left = lease.seconds / 3 if until is None else min(lease.seconds / 3, until - time.monotonic())
        if left <= 0:
            raise RunFailedError(f"the backend was given up after timeout = {timeout:g} seconds")
        thread.join(left)
        if thread.is_alive():
            # A database that is away may be back before anything is to be written.
            with suppress(DatabaseError):
                lease.prolong()
    if raised:
        raise raised[0]
    return found[0]
