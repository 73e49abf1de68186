"""What the columns of a table mean: their roles, the names that people give them, and who wins where two agree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from accountant.numerics import InputError

#: Role: names in lower case without marks. Single letters count as they are written, because m and M differ.
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "preset": ("preset", "dataset", "problem"),
    "n": ("n", "points_in_all", "train_size", "n_train"),
    "smoothness": ("smoothness", "L", "smoothness_constant"),
    "strong_convexity": ("strong_convexity", "m", "strong_convexity_constant", "mu_convexity"),
    "lipschitz": ("lipschitz", "M", "gradient_bound", "clip", "clipping_norm"),
    "adjacency": ("adjacency",),
    "batch_size": ("batch_size", "b", "B", "batch", "batchsize", "minibatch_size", "mini_batch_size"),
    "step_size": ("step_size", "eta", "learning_rate", "lr"),
    "radius": ("radius", "R", "projection_radius"),
    "learn_epochs": ("learn_epochs", "T", "learning_epochs", "burn_in", "burn_in_t"),
    "last_batch": ("last_batch",),
    "dimension": ("dimension", "d", "parameters", "dim"),
    "method": ("method", "algorithm"),
    "bound": ("bound", "accounting", "rule"),
    "batches": ("batches", "batch_order"),
    "reference": ("reference",),
    "group_size": ("group_size", "S", "group", "points", "deleted", "removed"),
    "sigma": ("sigma", "noise", "noise_sigma"),
    "epsilon": ("epsilon", "eps", "target_epsilon", "epsilon_claimed", "target_eps"),
    "delta": ("delta", "target_delta"),
    "epochs": ("epochs", "K", "k", "k_epochs", "unlearn_epochs", "unlearning_epochs"),
    "steps": ("steps", "iterations", "unlearn_steps", "unlearning_steps"),
    "request": ("request", "s", "request_index", "request_number", "deletion"),
    "list": ("experiment", "list"),
}
_GREEK: Final = {"ε": "epsilon", "ϵ": "epsilon", "σ": "sigma", "δ": "delta", "η": "eta"}
#: Signs that a column holds a multiple, a power, a root or a logarithm.
_SCALED: Final = re.compile(r"[²³√%‰×^*]|[(\[][^)\]]*(\d|squared|log|root|percent|milli|micro)|\blog", re.IGNORECASE)
_BY_NAME: Final[dict[str, str]] = {name: role for role, names in ROLES.items() for name in names}


def role_of(column: str) -> str | None:
    """The role that a column's own name says, None where it says none."""
    text = re.sub(r"[$\\]|\\var", "", column.strip().replace("\\var", ""))
    for letter, name in _GREEK.items():
        text = text.replace(letter, name)
    # A scale or a power would make it another number; other remarks in brackets do not count.
    if _SCALED.search(text):
        return None
    text = re.sub(r"\(.*?\)|\[.*?\]", "", text).strip()
    if len(text) == 1:
        return _BY_NAME.get(text)
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return _BY_NAME.get(name) if len(name) > 1 else None


def assign(table: str, columns: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Column by role; ``given`` roles override what names say. InputError where two columns would have one role."""
    found: dict[str, str] = {}
    for role, column in given.items():
        if role not in ROLES:
            raise InputError(f"column must give one of {', '.join(ROLES)}, got {role!r}")
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
                f"--column {role}={column}"
            )
        found[role] = column
    return found


def missing(table: str, columns: Sequence[str], wanted: str) -> InputError:
    """A refusal that says what there is and what is needed."""
    return InputError(f"table {table} needs {wanted}; it has the columns {_listed(columns)}")


def _listed(columns: Sequence[str]) -> str:
    shown = [str(column)[:40] for column in columns[:30]]
    return ", ".join(shown) + (", ..." if len(columns) > 30 else "")
