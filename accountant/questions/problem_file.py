"""Problem files: TOML with the words of the options, as people write it. Numbers may be texts such as "1e3" or "1/n"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, Final

from accountant.numerics import InputError, all_bytes, truth, typed_count, typed_delta, typed_number
from accountant.problem import DERIVED, LOSS_WORDS, PNSGD, STEPPING, Problem

#: What runs: noisy SGD on batches, unless the setting says one of the algorithms whose steps both runs share.
ALGORITHM: Final = "algorithm"
#: The loss that the constants come from.
LOSS: Final = "loss"
#: Keys by the constructor they belong to; a TOML file may use these names as tables, or no tables at all.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "problem": (*(f.name for f in fields(Problem)), *LOSS_WORDS),
    "algorithm": tuple(f.name for f in fields(PNSGD) if f.name != "problem"),
    "accountant": ("bound", "batches", "reference", "group_size"),
}
STEP_FIELDS: Final = tuple(dict.fromkeys(f.name for kind in STEPPING.values() for f in fields(kind)))
#: Keys of those algorithms that noisy SGD on batches does not have.
STEP_KEYS: Final = tuple(name for name in STEP_FIELDS if name not in {n for k in KEYS.values() for n in k})
#: What is asked for, which a file may say too, as keys or in a table [target].
TARGET: Final = ("sigma", "epsilon", "delta")
#: How long unlearning is, of which a call says at most one.
LENGTH: Final = ("epochs", "steps")
#: How many requests are expected: a number, or a rate and how long it lasts.
TRAFFIC: Final = ("requests", "for")
#: A list of phases in a file, ``[[schedule]]``.
SCHEDULE: Final = "schedule"
#: The published problem that a file begins with.
PRESET: Final = "preset"
#: As an option's value: back to the default, whatever the preset or the file says.
DEFAULT: Final = "default"
#: Names that the options have, by those of the arguments.
SPELLED: Final = {"rounding": "float", "rounding_share": "float_share"}
#: Words that a text may be where otherwise a number stands.
_WORDS: Final = (DEFAULT, "full", "n")
_COUNTS: Final = frozenset(
    ("n", "classes", "batch_size", "learn_epochs", "dimension", "largest_n", "group_size", "epochs", "steps")
)
_NUMBERS: Final = frozenset(
    (*DERIVED, "l2", "feature_bound", "clip", "width", "target_bound", "step_size", "radius", "rounding_share", "sigma",
     "public_share", "norm_class", "epsilon", "start_clip", "model_clip", "weight_decay", "gradient_clip", "hoelder_constant",
     "hoelder_exponent")
)  # fmt: skip
_TRUTHS: Final = frozenset(("intercept", "redraw", "clip_first"))
#: What people call a key that has another name here.
_MEANT: Final = {
    "eps": "epsilon", "lambda": "l2", "lam": "l2", "regularisation": "l2", "regularization": "l2", "weight_decay": "l2",
    "batch": "batch_size", "b": "batch_size", "eta": "step_size", "lr": "step_size", "learning_rate": "step_size",
    "noise": "sigma", "k": "epochs", "dataset": "preset", "max_norm": "feature_bound", "b_max": "feature_bound",
    "fit_intercept": "intercept", "bias": "intercept", "l": "smoothness", "m": "strong_convexity", "mu": "strong_convexity",
    "max_grad_norm": "clip", "gradient_clip": "clip", "over": "for", "duration": "for", "size": "n", "points": "group_size",
}  # fmt: skip
#: The largest settings file that is read.
_MAX_BYTES: Final = 1 << 20


def read_toml(path: str | PathLike[str]) -> dict[str, Any]:
    """The settings in a TOML file, flattened; InputError for a file that cannot be read and for unknown keys.

    Keys may have dashes or underscores, and be in tables [problem], [algorithm], [accountant] and [target] or in none. The key
    ``algorithm`` is a word, or a table whose ``name`` is that word. Numbers come back as numbers, however they are written;
    of delta over n its text does, until n is known.
    """
    # What a call without a file need not load.
    import tomllib

    try:
        data = tomllib.loads(all_bytes("problem", path, _MAX_BYTES).decode("utf-8-sig"))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"problem file {path} is not TOML: {error}") from None
    settings: dict[str, Any] = {}
    tables = {**KEYS, ALGORITHM: (*KEYS[ALGORITHM], *STEP_FIELDS), "target": (*TARGET, *LENGTH, *TRAFFIC)}
    everywhere = tuple(dict.fromkeys(sum(tables.values(), (PRESET, SCHEDULE, ALGORITHM))))
    for key, value in data.items():
        entries, allowed = [(key, value)], everywhere
        if isinstance(value, dict):
            if key not in tables:
                raise InputError(f"table [{key}] in {path} is unknown: use {', '.join(tables)}, or no tables")
            entries, allowed = list(value.items()), tables[key]
            if key == ALGORITHM:
                entries = [(ALGORITHM if name == "name" else name, entry) for name, entry in entries]
                allowed = (ALGORITHM, *allowed)
        for written, entry in entries:
            name = _named(written)
            if name not in allowed:
                raise InputError(_unknown(written, path, allowed))
            if name in settings:
                raise InputError(f"key {written!r} stands twice in {path}")
            settings[name] = as_typed(name, entry)
    return settings


def _named(written: str) -> str:
    """The argument's name of a key."""
    name = written.replace("-", "_")
    return {spelled: own for own, spelled in SPELLED.items()}.get(name, name)


def _unknown(written: str, path: object, allowed: Iterable[str]) -> str:
    """The refusal of a key, with the one that is probably meant."""
    import difflib

    keys = {name.replace("_", "-"): name for name in allowed}
    plain = written.replace("_", "-").lower()
    known = _MEANT.get(plain.replace("-", "_"), "").replace("_", "-")
    near = [known] if known in keys else difflib.get_close_matches(plain, keys, n=1)
    more = f"did you mean {near[0]}?" if near else f"it must be one of {', '.join(keys)}"
    return f"key {written!r} in {path} is unknown: {more}"


def as_typed(name: str, value: Any) -> Any:
    """A setting's value from what a file says: texts that are numbers as numbers; InputError for those that are none.

    >>> as_typed("n", "1e3"), as_typed("n", 1e3), as_typed("l2", "10^-3"), as_typed("batch_size", "full")
    (1000, 1000, 0.001, 'full')
    """
    if isinstance(value, float) and name in _COUNTS and value.is_integer():
        return int(value)
    if not isinstance(value, str) or value in _WORDS:
        return value
    try:
        if name in _COUNTS:
            return typed_count(value)
        if name in _NUMBERS:
            return typed_number(value)
        if name == "delta":
            typed = typed_delta(value)
            return typed if isinstance(typed, float) else str(typed)
    except ValueError as error:
        raise InputError(f"{name} must be {error}, got {value!r}") from None
    return truth(name, value) if name in _TRUTHS else value


def settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with a number for a delta that is said by n; InputError where n is not known."""
    delta = settings.get("delta")
    if not isinstance(delta, str) or delta == DEFAULT:
        return dict(settings)
    return {**settings, "delta": delta_of(delta, settings.get("n"))}


def delta_of(delta: Any, n: Any) -> float:
    """delta as a number; InputError for a text such as 1/n where n is not known.

    >>> delta_of("1/n^2", 1000)
    1e-06
    """
    try:
        typed = typed_delta(str(delta))
    except ValueError as error:
        raise InputError(f"delta must be {error}, got {delta!r}") from None
    if isinstance(typed, float):
        return typed
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"delta must be a number where n is not known, got {typed}")
    return typed.at(n)
