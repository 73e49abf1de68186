"""The chain of entries: each holds the digest of the one before, so none can be changed, removed or put in unseen.

    digest = SHA-256(digest of the entry before, as hex, followed by [number,time,"kind",body])

Of the first one, what comes before is 64 zeros. The body is JSON with sorted keys and without blanks, hashed as it is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: What comes before the first entry.
NOTHING: Final = "0" * 64
#: How the closing entry of a run is called, by what ran.
CLOSES: Final = {"unlearn": "released", "refit": "refit", "join": "joined"}
KINDS: Final = (
    "begun", "received", "duplicate", "refused", "intent", "run", "saved", "released", "refit", "joined", "purged", "failed",
    "clock", "disclosed", "rotated", "certified",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One entry. number: 0, 1, 2, ...; time: microseconds since 1970, UTC; body: JSON text, as it is hashed."""

    number: int
    time: int
    kind: str
    body: str
    previous: str
    digest: str

    @property
    def content(self) -> dict[str, Any]:
        """The body, read."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def canonical_text(value: Mapping[str, object]) -> str:
    """JSON of text, finite numbers and what they make, with sorted keys, without blanks, in ASCII: one text for one value.

    >>> canonical_text({"b": [1, None], "a": "ε"})
    '{"a":"\\\\u03b5","b":[1,null]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def entry_digest(previous: str, number: int, time: int, kind: str, body: str) -> str:
    """The digest of an entry, as the head of this file says.

    >>> entry_digest(NOTHING, 0, 0, "begun", "{}")[:16]
    '2c5a22cb39af23a3'
    """
    return hashlib.sha256(f'{previous}[{number},{time},"{kind}",{body}]'.encode("utf-8", "surrogatepass")).hexdigest()


def following(previous: str, number: int, time: int, kind: str, body: Mapping[str, object]) -> Entry:
    """The entry that comes after the one with the digest ``previous``."""
    text = canonical_text(body)
    return Entry(number, time, kind, text, previous, entry_digest(previous, number, time, kind, text))


def spans(numbers: list[int]) -> list[list[int]]:
    """Rising numbers as [first, last] of their runs, which is how bodies hold them.

    >>> spans([3, 4, 5, 9])
    [[3, 5], [9, 9]]
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
