"""From words to an accountant: presets, TOML files and single options, each overriding the one before."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from os import PathLike
from typing import Any, Final, NamedTuple

from accountant.numerics import InputError, all_bytes, choice, number
from accountant.problem import PNSGD, PRESET_DIMENSIONS, STEPPING, Problem, Schedule, Stepping, preset
from accountant.questions.accountant import UnlearningAccountant
from accountant.questions.setup import Setup

#: Keys by the constructor they belong to; a TOML file may use these names as tables, or no tables at all.
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "problem": tuple(f.name for f in fields(Problem)),
    "algorithm": tuple(f.name for f in fields(PNSGD) if f.name != "problem"),
    "accountant": ("bound", "batches", "reference", "group_size"),
}
#: What runs: noisy SGD on batches, unless the setting says one of the algorithms whose steps both runs share.
ALGORITHM: Final = "algorithm"
BATCHES: Final = "pnsgd"
#: Keys of those algorithms that noisy SGD on batches does not have.
STEP_KEYS: Final = tuple(
    dict.fromkeys(
        f.name for kind in STEPPING.values() for f in fields(kind) if f.name not in {n for k in KEYS.values() for n in k}
    )
)
_STEP_FIELDS: Final = tuple(dict.fromkeys(f.name for kind in STEPPING.values() for f in fields(kind)))
#: What is asked for, which a file may say too, as keys or in a table [target].
TARGET: Final = ("sigma", "epsilon", "delta")
#: A list of phases in a file, ``[[schedule]]``.
SCHEDULE: Final = "schedule"
#: As an option's value: back to the default, whatever the preset or the file says.
DEFAULT: Final = "default"
#: The largest settings file that is read.
_MAX_BYTES: Final = 1 << 20


def read_toml(path: str | PathLike[str]) -> dict[str, Any]:
    """The settings in a TOML file, flattened; InputError for a file that cannot be read and for unknown keys.

    The key ``algorithm`` is a word, or a table whose ``name`` is that word.
    """
    try:
        data = tomllib.loads(all_bytes("problem", path, _MAX_BYTES).decode("utf-8-sig"))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"problem file {path} is not TOML: {error}") from None
    settings: dict[str, Any] = {}
    for key, value in data.items():
        entries = [(key, value)]
        tables = {**KEYS, ALGORITHM: (*KEYS[ALGORITHM], *_STEP_FIELDS), "target": TARGET}
        allowed: tuple[str, ...] = tuple(dict.fromkeys(sum(tables.values(), (SCHEDULE, ALGORITHM))))
        if isinstance(value, dict):
            if key not in tables:
                raise InputError(f"table [{key}] in {path} is unknown: use {', '.join(tables)}, or no tables")
            entries, allowed = list(value.items()), tables[key]
            if key == ALGORITHM:
                entries = [(ALGORITHM if name == "name" else name, entry) for name, entry in entries]
                allowed = (ALGORITHM, *allowed)
        for name, entry in entries:
            if name not in allowed:
                raise InputError(f"key {name!r} in {path} is unknown: it must be one of {', '.join(allowed)}")
            if name in settings:
                raise InputError(f"key {name!r} stands twice in {path}")
            settings[name] = entry
    return settings


def merged(
    options: Mapping[str, Any],
    *,
    preset_name: str | None = None,
    problem_file: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """The settings of a preset or a file, with ``options`` (None: not given) on top."""
    if preset_name is not None and problem_file is not None:
        raise InputError("give either preset or problem, got both")
    settings: dict[str, Any] = {}
    if preset_name is not None:
        settings = preset(preset_name).to_dict() | {"dimension": PRESET_DIMENSIONS[preset_name]}
    if problem_file is not None:
        settings = read_toml(problem_file)
    settings |= {name: value for name, value in options.items() if value is not None}
    if preset_name is not None and settings.get(ALGORITHM, BATCHES) in STEPPING:
        raise InputError(
            f"preset must be left out for {settings[ALGORITHM]}: presets are problems of {BATCHES}, got {preset_name}"
        )
    return {name: value for name, value in settings.items() if not isinstance(value, str) or value != DEFAULT}


def check_complete(settings: Mapping[str, Any]) -> None:
    """InputError where the problem lacks a constant."""
    missing = [f.name for f in fields(Problem) if f.default is MISSING and f.name not in settings]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given: directly, by a preset or by a problem file")


def stepping_of(settings: Mapping[str, Any], *, scheduled: bool = False) -> Stepping | None:
    """The algorithm whose steps both runs share, where the settings name one; None for noisy SGD on batches.

    scheduled: whether a schedule may stand beside it (:func:`step_schedule`). InputError for options that the algorithm does
    not have, and for those that it needs and nobody gives.

    >>> stepping_of({"algorithm": "fine-tuning", "step_size": 0.01, "gradient_clip": 1.0, "start_clip": 1.0}).rho
    1.0
    """
    name = choice(ALGORITHM, settings.get(ALGORITHM, BATCHES), (BATCHES, *STEPPING))
    if name == BATCHES:
        for key in (key for key in STEP_KEYS if key in settings):
            own = " or ".join(word for word, kind in STEPPING.items() if key in {f.name for f in fields(kind)})
            raise InputError(f"{key} must be left out for {BATCHES}: it is an option of algorithm {own}")
        return None
    kind = STEPPING[name]
    has = {f.name for f in fields(kind)}
    known = (*dict.fromkeys(key for keys in KEYS.values() for key in keys), *STEP_KEYS, *(() if scheduled else (SCHEDULE,)))
    foreign = [key for key in known if key in settings and key not in has and (key, settings[key]) != ("bound", "optimal")]
    if foreign:
        what = "it is no option" if len(foreign) == 1 else "they are no options"
        own = ", ".join(f.name for f in fields(kind))
        raise InputError(f"{' and '.join(foreign)} must be left out: {what} of {name}, which has {own}")
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in settings]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given for {name}: directly, or by a problem file")
    return kind(**{key: settings[key] for key in has if key in settings})


def step_schedule(settings: Mapping[str, Any]) -> Schedule | None:
    """The schedule beside such an algorithm, None without one; InputError for one that is not a list of phases."""
    phases = settings.get(SCHEDULE)
    return phases if phases is None or isinstance(phases, Schedule) else Schedule.from_list(phases)


class Loaded(NamedTuple):
    """The accountant, and the target that the file says: those of sigma, epsilon and delta that it has."""

    accountant: UnlearningAccountant
    target: dict[str, float]


def load(
    options: Mapping[str, Any],
    *,
    preset_name: str | None = None,
    problem_file: str | PathLike[str] | None = None,
) -> Loaded:
    """The accountant of a preset or a file, ``options`` (None: not given) on top, and the file's target. Raises InputError."""
    return assembled(merged(options, preset_name=preset_name, problem_file=problem_file))


def assembled(settings: Mapping[str, Any]) -> Loaded:
    """The accountant of settings by name, as :func:`merged` gives them; other names are left alone. Raises InputError."""
    if stepping_of(settings) is not None:
        raise InputError(f"{ALGORITHM} must be {BATCHES} here, got {settings[ALGORITHM]}")
    check_complete(settings)
    accountant = UnlearningAccountant.of(Setup.of(settings), bound=settings.get("bound", "optimal"))
    if settings.get("group_size", accountant.group_size) != accountant.group_size:
        raise InputError(f"batches must place group_size = {settings['group_size']} points, got {accountant.group_size}")
    return Loaded(accountant, {name: number(name, settings[name], at_least=0) for name in TARGET if name in settings})
