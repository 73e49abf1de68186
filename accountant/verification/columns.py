"""What the columns of a table mean: which role each has, who wins where two agree, and what may be meant where none does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from shlex import quote
from typing import Final

from accountant.numerics import InputError
from accountant.verification.naming import GREEK, OTHER, ROLES, SCALED, base_role, in_words, role_of, words_of

#: What a batch is called, beside what contains "batch" or nearly does; a lot is one in the literature of privacy.
_BATCHES: Final = {"bs", "mb", "mbs", "bsize", "lot", "lots", "lotsize", "lote", "chunksize"}
#: What says how records come into batches, in the name of a column.
_DRAWS: Final = re.compile(r"sampl|shuffl|poisson|batch|order|draw|loader|replacement", re.IGNORECASE)


def like_a_batch(column: str) -> bool:
    """Whether a column's name is close to what numbers of points per batch are called.

    >>> [name for name in ("Batchgröße", "bacth", "mb size", "b.s.", "patch", "note") if like_a_batch(name)]
    ['Batchgröße', 'bacth', 'mb size', 'b.s.']
    """
    plain = "".join(letter for letter in column.lower() if letter.isalnum())
    words = {plain, *words_of(column)}
    return (
        "batch" in plain
        or words == {"b"}
        or bool(words & _BATCHES)
        or any(_close(word, "batch") for word in words if word[:1] == "b")
    )


def like_draws(column: str) -> bool:
    """Whether a column's name may be about how records come into batches.

    >>> [name for name in ("Data order", "loader", "shuffle?", "poisson", "note") if like_draws(name)]
    ['Data order', 'loader', 'shuffle?', 'poisson']
    """
    return _DRAWS.search(column) is not None


def scaled(column: str) -> bool:
    """Whether a column's name speaks of a multiple, a power, a root or a logarithm of what it is about."""
    return SCALED.search(column) is not None


def _close(word: str, other: str) -> bool:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, word, other).ratio() >= 0.75


def likely(role: str, columns: Sequence[str]) -> list[str]:
    """Of columns without a role those that may hold this one: by a word of their name, or nearly.

    >>> likely("sigma", ["noise level", "sgima", "noise_std", "σ (×10⁻³)", "note"])
    ['noise level', 'sgima']
    """
    names = [name for name in ROLES[role] if len(name) > 2]
    whole = [name for name in names if len(name) > 4 and "_" not in name]

    def fits(column: str) -> bool:
        text = column
        for letter, name in GREEK.items():
            text = text.replace(letter, f" {name} ")
        words = words_of(text)
        if SCALED.search(column) or OTHER & set(words):
            return False
        joined = f"_{'_'.join(words)}_"
        return any(f"_{name}_" in joined for name in names) or any(_close(word, name) for word in words for name in whole)

    return [column for column in columns if fits(column)]


def asked(role: str, columns: Sequence[str]) -> str:
    """The question whether one of the columns holds a role, as what to type; "" where none is likely.

    >>> asked("sigma", ["noise level", "note"])
    "did you mean --column sigma='noise level'"
    """
    found = likely(role, columns)
    return "did you mean " + " or ".join(f"--column {role}={quote(column)}" for column in found[:3]) if found else ""


def unnamed(role: str, columns: Sequence[str]) -> str:
    """What to do where no column has a role, naming those that may be about it.

    >>> unnamed("sigma", ["σ (×10⁻³)", "note"])
    "no column is called sigma, and 'σ (×10⁻³)' may be another number: write sigma itself in a column sigma, or give --sigma"
    """
    found = [column for column in columns if base_role(column) == role or role in in_words(column).lower()]
    near = [column for column in likely(role, columns) if column not in found]
    if found:
        return (
            f"no column is called {role}, and {found[0]!r} may be another number: write {role} itself in a column {role}, "
            f"or give --{role}"
        )
    told = f"say --column {role}={quote(near[0])} if that is it" if near else f"say which with --column {role}=NAME"
    return f"no column is called {role}: {told}, or give --{role}"


def assign(table: str, columns: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Column by role; ``given`` roles override what names say. InputError where two columns would have one role.

    A role that is given no column has none, whatever columns are called.
    """
    found: dict[str, str] = {}
    for role, column in given.items():
        if role not in ROLES:
            raise InputError(f"column must give one of {', '.join(ROLES)}, got {role!r}")
        if not column:
            continue
        if column not in columns:
            raise InputError(f"column {role}={column} is not in table {table}: it has {_listed(columns)}")
        found[role] = column
    taken = set(given.values())
    for column in columns:
        role = role_of(column) or ""
        if not role or column in taken or role in given:
            continue
        if role in found:
            raise InputError(
                f"table {table} has two columns for {role}, {found[role]!r} and {column!r}: keep one, or say which with "
                f"--column {role}={quote(column)}"
            )
        found[role] = column
    return found


def turned(column: Iterable[str]) -> str:
    """Whether the cells of the first column are names of columns, as a remedy; "" where they are not.

    >>> turned(["method", "sigma", "K", "eps"])
    '; names of columns stand below each other (method, sigma, K): turn the table over, so that each row is one run'
    """
    named = {role: cell for cell in column if (role := role_of(cell)) is not None}
    said = ", ".join(list(named.values())[:3])
    what = f"; names of columns stand below each other ({said}): turn the table over, so that each row is one run"
    return what if len(named) > 2 else ""


def missing(table: str, columns: Sequence[str], wanted: str, *roles: str) -> InputError:
    """A refusal that says what there is and what is needed; ``roles``: what one of the columns may hold."""
    free = [column for column in columns if role_of(column) is None]
    questions = "".join(f"; {question}" for role in roles if (question := asked(role, free)))
    if len(columns) == 1:
        questions += "; only one was found: begin with the line of names, and put commas between the cells"
    return InputError(f"table {table} needs {wanted}; it has the columns {_listed(columns)}{questions}")


def _listed(columns: Sequence[str]) -> str:
    # With an underscore a name could be read as an option's.
    shown = [repr(column[:40]) if set(column) & set("=,_") else column[:40] for column in map(str, columns[:30])]
    return ", ".join(shown) + (", ..." if len(columns) > 30 else "")
