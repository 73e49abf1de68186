"""What was meant by an option, a command or a value that there is not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from accountant.numerics import closest

#: What people call an option elsewhere, and what it may be here: the first that the command has.
OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "eps": ("epsilon",), "privacy": ("epsilon",), "budget": ("epsilon",),
    "l2": ("l2", "regularisation", "strong-convexity"),
    "lambda": ("l2", "regularisation", "strong-convexity"),
    "lam": ("l2", "regularisation", "strong-convexity"),
    "regularization": ("l2", "regularisation", "strong-convexity"),
    "regularisation": ("l2", "regularisation", "strong-convexity"),
    "reg": ("l2", "regularisation", "strong-convexity"),
    "noise": ("sigma",), "noise-multiplier": ("sigma",), "noise-std": ("sigma",), "std": ("sigma",), "noise-scale": ("sigma",),
    "stddev": ("sigma",), "sd": ("sigma",),
    "bs": ("batch-size",), "batch": ("batch-size",), "batchsize": ("batch-size",), "b": ("batch-size",),
    "lr": ("step-size",), "learning-rate": ("step-size",), "eta": ("step-size",), "stepsize": ("step-size",),
    "lot-size": ("batch-size",), "minibatch": ("batch-size",),
    "num-samples": ("n",), "samples": ("n",), "size": ("n",), "dataset-size": ("n",), "n-samples": ("n",), "records": ("n",),
    "iterations": ("steps",), "iters": ("steps",), "num-steps": ("steps",), "unlearn-steps": ("steps",),
    "k": ("epochs",), "num-epochs": ("epochs",), "unlearn-epochs": ("epochs",), "unlearning-epochs": ("epochs",),
    "learning-epochs": ("learn-epochs",), "train-epochs": ("learn-epochs",), "t": ("learn-epochs",),
    "dataset": ("preset",), "data-set": ("preset",), "mnist": ("preset",),
    "config": ("problem",), "toml": ("problem",), "settings": ("problem",), "file": ("problem",),
    "beta": ("smoothness",), "l-smooth": ("smoothness",), "l": ("smoothness",),
    "mu": ("strong-convexity",), "convexity": ("strong-convexity",), "m": ("strong-convexity",),
    "max-grad-norm": ("lipschitz", "gradient-clip"), "gradient-norm": ("lipschitz", "gradient-clip"),
    "clip": ("clip", "gradient-clip", "lipschitz"), "clipping": ("clip", "gradient-clip", "lipschitz"),
    "grad-clip": ("gradient-clip", "clip"), "lipschitz-constant": ("lipschitz",),
    "bias": ("intercept",), "fit-intercept": ("intercept",), "no-fit-intercept": ("no-intercept",),
    "projection": ("radius",), "r": ("radius",), "diameter": ("radius",),
    "dim": ("dimension",), "parameters": ("dimension",), "d": ("dimension",), "rounding": ("float",), "dtype": ("float",),
    "digits": ("precision",), "group": ("group-size",), "groups": ("group-size",), "order": ("batches",),
    "deletions": ("requests", "subjects"), "duration": ("for",), "period": ("for", "window"), "years": ("for",),
    "relation": ("adjacency",), "neighbours": ("adjacency",), "neighbors": ("adjacency",),
    "html": ("output",), "csv": ("output",), "pdf": ("output",),
    "out": ("output",), "outfile": ("output",), "save": ("output",), "optimise": ("optimize",),
    "random-state": ("seed",), "n-jobs": ("jobs",), "workers": ("jobs",), "database": ("db",), "ledger": ("db",),
    "user": ("subject", "operator"), "id": ("subject",), "why": ("reason",), "details": ("verbose",), "v": ("verbose",),
}  # fmt: skip
#: What people may call a command.
COMMANDS: Final[dict[str, str]] = {
    "noise": "sigma", "calibrate": "sigma", "eps": "epsilon", "guarantee": "epsilon", "privacy": "epsilon",
    "validate": "verify", "validation": "verify", "plot": "curve", "frontier": "curve", "tradeoff": "curve",
    "schedule": "plan", "requests": "plan", "cost": "plan", "optimize": "tune", "optimise": "tune", "choose": "tune",
    "methods": "compare", "benchmark": "compare", "certificate": "certify", "sign": "certify", "paper": "reproduce",
    "tables": "reproduce", "datasets": "presets", "attack": "audit", "test": "audit", "glossary": "explain",
    "define": "explain", "new": "init", "start": "init", "help": "--help", "version": "--version",
}  # fmt: skip


def option(typed: str, has: Collection[str]) -> str | None:
    """The option of those that a command ``has``, all with their dashes, that was meant.

    >>> option("--eps", ["--epochs", "--epsilon"]), option("--noise", ["--sigma"]), option("--qqq", ["--sigma"])
    ('--epsilon', '--sigma', None)
    """
    bare = typed.lstrip("-").lower().replace("_", "-")
    for name in (bare, *OPTIONS.get(bare, ())):
        if f"--{name}" in has:
            return f"--{name}"
    if bare in OPTIONS:
        return None
    begun = [name for name in has if name.startswith(f"--{bare}")] if len(bare) > 1 else []
    if len(begun) == 1:
        return begun[0]
    known = {name.lstrip("-"): name for name in has if name.startswith("--")}
    others = {word: f"--{names[0]}" for word, names in OPTIONS.items() if f"--{names[0]}" in has and len(word) > 3}
    found = closest(bare, [*known, *others])
    return None if found is None else known.get(found, others.get(found))


def command(typed: str, has: Collection[str]) -> str | None:
    """The command of those that there are that was meant.

    >>> command("sgima", ["sigma", "verify"]), command("Verfy", ["sigma", "verify"]), command("noise", ["sigma"])
    ('sigma', 'verify', 'sigma')
    """
    word = typed.lower()
    if word in has:
        return word
    meant = COMMANDS.get(word)
    return meant if meant is not None and (meant in has or meant.startswith("--")) else closest(word, has)
