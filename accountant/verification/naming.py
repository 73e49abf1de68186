"""The names of columns: what people call the roles, and what makes a name that of another number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from accountant.tables import JOINT, clean

#: Role: names in lower case without marks. Single letters count as they are written, because m and M differ.
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "preset": ("preset", "dataset", "problem", "data", "data_set", "dataset_name"),
    "n": (
        *(
            "n",
            "points_in_all",
            "train_size",
            "n_train",
            "num_train",
            "n_samples",
            "num_samples",
            "dataset_size",
            "train_points",
        ),
        *("training_points", "training_size", "training_set_size", "number_of_points", "number_of_samples"),
    ),
    "smoothness": ("smoothness", "L", "smoothness_constant"),
    "strong_convexity": ("strong_convexity", "m", "strong_convexity_constant", "mu_convexity"),
    "lipschitz": ("lipschitz", "M", "gradient_bound", "clip", "clipping_norm"),
    "adjacency": ("adjacency",),
    "batch_size": (
        *("batch_size", "b", "B", "batch", "batchsize", "batch_sz", "batchsz", "bs", "bsz", "bsize", "minibatch", "mini_batch"),
        *("minibatch_size", "mini_batch_size", "minibatchsize", "b_size", "size_of_batch", "mathcal_b"),
        *(f"{what}_per_batch" for what in ("points", "samples", "examples")),
    ),
    "step_size": ("step_size", "eta", "learning_rate", "lr", "stepsize"),
    "radius": ("radius", "R", "projection_radius"),
    "learn_epochs": (
        *("learn_epochs", "T", "learning_epochs", "burn_in", "burn_in_t", "burnin", "burn_in_epochs", "training_epochs"),
        *("train_epochs", "epochs_of_learning", "epochs_of_training", "trained_epochs"),
    ),
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
    "group_size": (
        *(
            "group_size",
            "S",
            "group",
            "points",
            "deleted",
            "removed",
            "deletions",
            "n_deleted",
            "num_deleted",
            "deleted_points",
        ),
        *("points_deleted", "removed_points", "points_removed", "forget_size", "forget_set_size"),
    ),
    "sigma": ("sigma", "noise", "noise_sigma", "sigma_noise"),
    "epsilon": (
        *("epsilon", "eps", "target_epsilon", "epsilon_claimed", "target_eps", "claimed_epsilon", "eps_claimed", "claimed_eps"),
        *("epsilon_target", "eps_target", "privacy_budget"),
    ),
    "delta": ("delta", "target_delta", "delta_target", "claimed_delta", "delta_claimed", "failure_probability", "failure_prob"),
    "epochs": (
        "epochs",
        "K",
        "k",
        "k_epochs",
        "unlearn_epochs",
        "unlearning_epochs",
        "epochs_unlearning",
        "epochs_of_unlearning",
    ),
    "steps": ("steps", "iterations", "unlearn_steps", "unlearning_steps", "iters", "updates"),
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
GREEK: Final = {"ε": "epsilon", "ϵ": "epsilon", "σ": "sigma", "δ": "delta", "η": "eta"}
#: Signs that a column holds a multiple, a power, a root or a logarithm.
SCALED: Final = re.compile(
    r"[²³√%‰×^*]|[(\[][^)\]]*(\d|squared|log|root|percent|milli|micro|kilo|hundred|thousand|million)|\blog", re.IGNORECASE
)
#: Words of another number than the one beside them: noise_std is sqrt(2 eta) sigma, a noise multiplier a ratio.
OTHER: Final = {
    "std", "stddev", "deviation", "var", "variance", "multiplier", "ratio", "scale", "scaled", "factor", "needed", "achieved",
    "tightest", "empirical", "measured", "audited", "renyi", "rdp", "gdp", "zcdp",
}  # fmt: skip
#: Words that may stand beside the sign of a number and leave it what it is.
_ABOUT: Final = frozenset(
    [
        "noise",
        "level",
        "privacy",
        "budget",
        "parameter",
        "loss",
        "target",
        "failure",
        "probability",
        "learning",
        "rate",
        "step",
        "size",
        "batch",
        "number",
        "of",
        "the",
        "unlearning",
        "certified",
        "certification",
        "guarantee",
        "claimed",
        "gaussian",
        "mini",
        "points",
        "samples",
        "per",
        "projection",
        "radius",
        "data",
        "total",
    ]
)
#: Words about learning, which is another length, noise and guarantee than those of unlearning.
_LEARNING: Final = frozenset(
    ["train", "training", "learn", "learning", "pretraining", "pretrain", "retrain", "retraining", "trained", "burn"]
)
#: Units of time and memory, and what is counted, in brackets behind a name.
_TIMES: Final = frozenset(
    [
        "s",
        "sec",
        "secs",
        "second",
        "seconds",
        "ms",
        "min",
        "mins",
        "minute",
        "minutes",
        "h",
        "hr",
        "hrs",
        "hour",
        "hours",
        "kb",
        "mb",
        "gb",
        "mib",
        "gib",
        "days",
    ]
)
_COUNTED: Final = frozenset(["points", "samples", "examples", "records"])
_BY_NAME: Final[dict[str, str]] = {name: role for role, names in ROLES.items() for name in names}


def role_of(column: str) -> str | None:
    r"""The role that a column's own name says, None where it says none, or perhaps another number.

    >>> [role_of(name) for name in (r"$\sigma$", "Batch size $b$", "privacy budget (ε)", "K (steps)", "σ (×10⁻³)", "T (s)")]
    ['sigma', 'batch_size', 'epsilon', 'steps', None, None]
    """
    text = in_words(column)
    # A scale or a power would make it another number; other remarks in brackets do not count.
    if SCALED.search(text) or OTHER & set(words_of(text)):
        return _BY_NAME.get("_".join(words_of(text))) if not SCALED.search(text) else None
    return _role(text)


def base_role(column: str) -> str | None:
    """The role that a column's name speaks of, be it of a multiple, a power or another number of its kind."""
    text = in_words(column)
    if any(remark.strip().lower() in _TIMES for remark in re.findall(r"[(\[](.*?)[)\]]", text)):
        return None
    text = re.sub(r"[(\[].*?[)\]]|[²³√%‰×^*]\S*", "", text)
    return _role(" ".join(word for word in text.split() if not OTHER & set(words_of(word))))


def in_words(column: str) -> str:
    text = clean(column) if "$" in column or "\\" in column else column
    text = re.sub(r"[$\\]|\\var", "", text.strip().strip("\"'`“”").replace("\\var", ""))
    for letter, name in GREEK.items():
        text = text.replace(letter, name)
    return text


def _role(text: str) -> str | None:
    parts = [part.strip() for part in text.split(JOINT) if part.strip()]
    if len(parts) > 1:
        return _joined(parts)
    remarks = [remark.strip() for remark in re.findall(r"[(\[](.*?)[)\]]", text)]
    # |B| is the number of elements of B.
    text = re.sub(r"\(.*?\)|\[.*?\]", "", text).replace("|", "").strip()
    role = _named(text)
    for remark in remarks:
        if remark.lower() in _TIMES:
            return None
        other = None if remark.lower() in _COUNTED else _named(remark.replace("|", ""))
        if other is None or other == role or (role, other) == ("learn_epochs", "epochs"):
            continue
        if ((role, other) == ("epochs", "steps") and len(text) == 1) or (role is None and set(words_of(text)) <= _ABOUT):
            role = other
        else:
            return None
    return role


def _joined(parts: Sequence[str]) -> str | None:
    """The role of a name in several header lines: all of it, or its last part unless the others make it another number."""
    words = [word for part in parts[:-1] for word in words_of(part)]
    role = _named(" ".join(parts)) or _role(parts[-1])
    if role is None and set(words_of(parts[-1])) <= {"value", "claimed", "target", "used"}:
        role = _role(parts[-2])
    if set(words) & _LEARNING and role in ("epochs", "steps", "sigma", "epsilon", "delta"):
        return "learn_epochs" if role == "epochs" else None
    return role


def _named(text: str) -> str | None:
    """The role of a name without remarks: by the name, or by words about it with its sign at the end."""
    text = text.strip()
    if len(text) == 1:
        return _BY_NAME.get(text)
    words = words_of(text)
    name = "_".join(words)
    # #batch is how many there are.
    if len(name) < 2 or (text[0] == "#" and "batch" in name):
        return None
    role = _BY_NAME.get(name) or (_BY_NAME.get(f"n_{name}") if text[0] == "#" else None)
    if role is None and len(words) > 1:
        last = text.split()[-1]
        sign = _BY_NAME.get(last) if len(last) == 1 else _BY_NAME.get(last) if last in GREEK.values() else None
        before = _BY_NAME.get("_".join(words[:-1]))
        if sign is not None and (before == sign or (before is None and set(words[:-1]) <= _ABOUT)):
            role = sign
    return role


def words_of(column: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", column.lower())
