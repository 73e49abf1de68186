"""The last few answers of a question that comes back at once: by who answers a request after who looked for its steps."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

Answer = TypeVar("Answer")
#: The numbers of steps that a steady stream tries, and a few more.
_KEPT: Final = 4


class Lately:
    """Answers by what was asked, as few as these; no pickle takes them along. What is kept must not be changed."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[Hashable, Any], ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Lately, ()

    def answer(self, question: Hashable, find: Callable[[], Answer]) -> Answer:
        """What was found for this question, or is found now."""
        for known, answer in self._kept:
            if known == question:
                found: Answer = answer
                return found
        found = find()
        # In one piece: streams that share a rule may ask from several threads.
        self._kept = ((question, found), *self._kept[: _KEPT - 1])
        return found
