"""From words to an accountant: presets, TOML files and single options, each overriding the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from os import PathLike
from typing import Any, Final, NamedTuple

from accountant.numerics import InputError, choice, number
from accountant.problem import LOSS_WORDS, PRESET_DIMENSIONS, STEPPING, Problem, Schedule, Stepping, preset
from accountant.questions.accountant import UnlearningAccountant
from accountant.questions.problem_file import (
    ALGORITHM,
    DEFAULT,
    KEYS,
    LENGTH,
    LOSS,
    PRESET,
    SCHEDULE,
    STEP_KEYS,
    TARGET,
    read_toml,
    settled,
)
from accountant.questions.setup import Setup

#: What runs unless the setting says otherwise: noisy SGD on batches.
BATCHES: Final = "pnsgd"


def merged(
    options: Mapping[str, Any],
    *,
    preset_name: str | None = None,
    problem_file: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """The settings of a preset or a file (which may begin with one), with ``options`` (None: not given) on top, as JSON types.

    The words of a loss stay what they are: :class:`~accountant.questions.Setup` makes constants of them.
    """
    if preset_name is not None and problem_file is not None:
        raise InputError("give either preset or problem, got both")
    settings: dict[str, Any] = {} if problem_file is None else read_toml(problem_file)
    if any(name in options for name in LENGTH):
        settings = {name: value for name, value in settings.items() if name not in LENGTH}
    settings |= {name: value for name, value in options.items() if value is not None}
    preset_name = settings.pop(PRESET, None) if preset_name is None else preset_name
    if preset_name is not None:
        known = preset(preset_name).to_dict() | {"dimension": PRESET_DIMENSIONS[preset_name], PRESET: preset_name}
        settings = known | settings
        for name in (name for name in (LOSS, *LOSS_WORDS) if settings.get(name, DEFAULT) != DEFAULT):
            raise InputError(
                f"{name} must be left out with preset={preset_name}, which says smoothness and all else of the loss"
            )
    if preset_name is not None and settings.get(ALGORITHM, BATCHES) in STEPPING:
        raise InputError(
            f"preset must be left out for {settings[ALGORITHM]}: presets are problems of {BATCHES}, got {preset_name}"
        )
    return settled({name: value for name, value in settings.items() if not isinstance(value, str) or value != DEFAULT})


def check_complete(settings: Mapping[str, Any]) -> None:
    """InputError where the problem lacks a constant."""
    derived = ("smoothness",) if LOSS in settings else ()
    missing = [f.name for f in fields(Problem) if f.default is MISSING and f.name not in (*settings, *derived)]
    if missing:
        loss = " (smoothness also by loss)" if "smoothness" in missing else ""
        raise InputError(
            f"{' and '.join(missing)} must be given: directly, by a preset or by a problem file{loss}", missing=missing
        )


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
        told = f"{' and '.join(missing)} must be given for {name}: directly, or by a problem file"
        raise InputError(told, missing=missing)
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
