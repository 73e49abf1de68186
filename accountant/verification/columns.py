"""What the columns of a table mean: their roles, the names that people give them, and who wins where two agree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from shlex import quote
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
    "batch_size": (
        *("batch_size", "b", "B", "batch", "batchsize", "batch_sz", "batchsz", "bs", "bsz", "bsize", "minibatch", "mini_batch"),
        *("minibatch_size", "mini_batch_size", "minibatchsize", "b_size", "size_of_batch", "mathcal_b"),
        *(f"{what}_per_batch" for what in ("points", "samples", "examples")),
    ),
    "step_size": ("step_size", "eta", "learning_rate", "lr"),
    "radius": ("radius", "R", "projection_radius"),
    "learn_epochs": ("learn_epochs", "T", "learning_epochs", "burn_in", "burn_in_t"),
    "last_batch": ("last_batch",),
    "assignment": (
        *(
            "assignment",
            "batch_assignment",
            "sampling",
            "sampling_scheme",
            "sampling_method",
            "sampler",
            "subsampling",
            "sub_sampling",
        ),
        *("batching", "batch_sampling", "batch_sampler", "batch_type", "batch_draws"),
    ),
    "largest_n": ("largest_n",),
    "redraw": ("redraw", "redrawn"),
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
    "start_clip": ("start_clip", "initial_clip", "model_start_clip", "c0"),
    "gradient_clip": ("gradient_clip", "grad_clip", "c1"),
    "model_clip": ("model_clip", "c2"),
    "weight_decay": ("weight_decay", "wd"),
    "clip_first": ("clip_first",),
    "start": ("start",),
    "epsilon_renyi": ("epsilon_renyi", "renyi_epsilon", "eps_renyi"),
}
#: Roles that only rows of fine-tuning have, and the like.
STEP_ROLES: Final = ("start_clip", "gradient_clip", "model_clip", "weight_decay", "clip_first", "start", "epsilon_renyi")
_GREEK: Final = {"ε": "epsilon", "ϵ": "epsilon", "σ": "sigma", "δ": "delta", "η": "eta"}
#: Signs that a column holds a multiple, a power, a root or a logarithm.
_SCALED: Final = re.compile(r"[²³√%‰×^*]|[(\[][^)\]]*(\d|squared|log|root|percent|milli|micro)|\blog", re.IGNORECASE)
#: Words of another number than the one beside them: noise_std is sqrt(2 eta) sigma, a noise multiplier a ratio.
_OTHER: Final = {
    "std", "stddev", "deviation", "var", "variance", "multiplier", "ratio", "scale", "scaled", "factor", "needed", "achieved",
    "tightest",
}  # fmt: skip
#: What a batch is called, beside what contains "batch" or nearly does; a lot is one in the literature of privacy.
_BATCHES: Final = {"bs", "mb", "mbs", "bsize", "lot", "lots", "lotsize", "lote", "chunksize"}
#: What says how records come into batches, in the name of a column.
_DRAWS: Final = re.compile(r"sampl|shuffl|poisson|batch|order|draw|loader|replacement", re.IGNORECASE)
_BY_NAME: Final[dict[str, str]] = {name: role for role, names in ROLES.items() for name in names}


def role_of(column: str) -> str | None:
    """The role that a column's own name says, None where it says none."""
    text = re.sub(r"[$\\]|\\var", "", column.strip().replace("\\var", ""))
    for letter, name in _GREEK.items():
        text = text.replace(letter, name)
    # A scale or a power would make it another number; other remarks in brackets do not count.
    if _SCALED.search(text):
        return None
    # |B| is the number of elements of B.
    text = re.sub(r"\(.*?\)|\[.*?\]", "", text).replace("|", "").strip()
    if len(text) == 1:
        return _BY_NAME.get(text)
    name = "_".join(_words(text))
    # #batch is how many there are.
    return _BY_NAME.get(name) if len(name) > 1 and not (text[0] == "#" and "batch" in name) else None


def _words(column: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", column.lower())


def like_a_batch(column: str) -> bool:
    """Whether a column's name is close to what numbers of points per batch are called.

    >>> [name for name in ("Batchgröße", "bacth", "mb size", "b.s.", "patch", "note") if like_a_batch(name)]
    ['Batchgröße', 'bacth', 'mb size', 'b.s.']
    """
    plain = "".join(letter for letter in column.lower() if letter.isalnum())
    words = {plain, *_words(column)}
    return "batch" in plain or bool(words & _BATCHES) or any(_close(word, "batch") for word in words if word[:1] == "b")


def like_draws(column: str) -> bool:
    """Whether a column's name may be about how records come into batches.

    >>> [name for name in ("Data order", "loader", "shuffle?", "poisson", "note") if like_draws(name)]
    ['Data order', 'loader', 'shuffle?', 'poisson']
    """
    return _DRAWS.search(column) is not None


def scaled(column: str) -> bool:
    """Whether a column's name speaks of a multiple, a power, a root or a logarithm of what it is about."""
    return _SCALED.search(column) is not None


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
        for letter, name in _GREEK.items():
            text = text.replace(letter, f" {name} ")
        words = _words(text)
        if _SCALED.search(column) or _OTHER & set(words):
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


def missing(table: str, columns: Sequence[str], wanted: str, *roles: str) -> InputError:
    """A refusal that says what there is and what is needed; ``roles``: what one of the columns may hold."""
    free = [column for column in columns if role_of(column) is None]
    questions = "".join(f"; {question}" for role in roles if (question := asked(role, free)))
    return InputError(f"table {table} needs {wanted}; it has the columns {_listed(columns)}{questions}")


def _listed(columns: Sequence[str]) -> str:
    shown = [str(column)[:40] for column in columns[:30]]
    return ", ".join(shown) + (", ..." if len(columns) > 30 else "")
