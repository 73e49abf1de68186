"""Streams as text: the state of the past requests, and what it belongs to, restored exactly or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from accountant.numerics import MAX_COUNT, InputError, integer, number, read_json
from accountant.requests.classes import restored_classes
from accountant.requests.past import PastLaw
from accountant.requests.state import StreamState

#: Version of the JSON form.
FORMAT: Final = 1
_KEYS: Final = ("format", "pending", "settings", "state")
_WHOLE: Final = ("requests", "points", "steps", "since")
_NAMES: Final = {*_WHOLE, "distance", "tracked", "mu", "span"}
#: What a state has only where there is any, and none had before.
_LATER: Final = {"inserted", "law", "classes", "waiting"}


def written(settings: Mapping[str, Any], state: StreamState, pending: int) -> str:
    """A stream in one line of JSON."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    law = values.pop("law")
    values |= {} if law is None else {"law": law.to_dict()}
    for name in ("inserted", "classes", "waiting"):
        if not values[name]:
            # As before records could join, or had classes of norm.
            del values[name]
    data = {"format": FORMAT, "settings": settings, "state": values, "pending": pending}
    return json.dumps(data, allow_nan=False)


def read(text: str) -> dict[str, Any]:
    """The parts of a stream in JSON; InputError for anything else."""
    data = read_json("stream state", text)
    if not isinstance(data, dict) or set(data) != set(_KEYS):
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise InputError(f"stream state must have exactly the keys {', '.join(_KEYS)}, got {found}")
    if type(data["format"]) is not int or data["format"] != FORMAT:
        raise InputError(f"stream state must have format {FORMAT}, the only one this version reads, got {data['format']!r}")
    return data


def check_same(saved: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse a state that was saved under other settings."""
    mine = json.loads(json.dumps(settings))
    for name in sorted(mine.keys() | saved.keys()):
        if mine.get(name) != saved.get(name):
            raise InputError(f"stream state belongs to {name} = {saved.get(name)!r}, but the accountant has {mine.get(name)!r}")


def restored(values: Any, pending: Any, *, n: int, most: int | None, finite: bool, own: float = 1.0) -> tuple[StreamState, int]:
    """The state and the points that wait; ``most``: records ever in, at most, where records join; own: the class of all.

    finite: the state of the optimal bound after learning of finitely many epochs.
    """
    if not isinstance(values, dict) or set(values) - _LATER != _NAMES:
        raise InputError(f"stream state must hold {', '.join(sorted(_NAMES))}, got {values!r}")
    values = {"inserted": 0, "law": None, "classes": [], "waiting": 0.0, **values}
    room = 0 if most is None else most - n
    values["inserted"] = integer("inserted of the stream state", values["inserted"], at_least=0, at_most=room)
    there = n + values["inserted"]
    for name in _WHOLE:
        integer(f"{name} of the stream state", values[name], at_least=0, at_most=there if name == "points" else MAX_COUNT)
    for name in _NAMES - set(_WHOLE):
        values[name] = number(f"{name} of the stream state", values[name], at_least=0)
    odd = values["points"] < values["requests"] or values["since"] > values["steps"]
    left = ("points", "distance", "tracked", "mu", "span") if values["inserted"] else _NAMES
    odd |= values["requests"] == 0 and (any(values[name] > 0 for name in left) or values["law"] is not None)
    odd |= finite and values["requests"] > 0 and values["span"] < values["steps"] + 1
    if odd:
        raise InputError(f"stream state must be one that a stream has saved, got {values!r}")
    if values["law"] is not None:
        values["law"] = PastLaw.from_dict(values["law"])
    values["classes"] = restored_classes(values["classes"], values["points"], own)
    values["waiting"] = number("waiting of the stream state", values["waiting"], at_least=0, at_most=own)
    waiting = integer("pending of the stream state", pending, at_least=0, at_most=there - values["points"])
    if values["waiting"] and not waiting:
        raise InputError(f"waiting of the stream state must be 0 where nobody waits, got {values['waiting']!r}")
    return StreamState(**values), waiting
