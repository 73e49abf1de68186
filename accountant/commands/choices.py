"""Options that have few values: any case is read, --help shows them, and the shell completes them; and files it completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

#: The panel of options that --help leaves to --help-all.
EXPERTS: Final = "Experts"
#: A metavar that is no longer shows the values themselves.
_LONGEST: Final = 24
#: Methods of batches, for texts; a test compares them with the tables they come from, whose import takes long.
METHODS: Final = (
    "optimal", "paper", "paper-geometric", "not-converged", "pnsgd", "langevin", "langevin-smooth", "smooth-ball",
    "convex-ball", "d2d", "d2d-open", "d2d-exact", "newton", "newton-exact", "certified-removal", "rewind", "rewind-smooth",
    "rewind-exact", "d2d-stochastic", "rewind-random", "dp-convergent", "dp", "retrain",
)  # fmt: skip
#: What solve finds, of noisy SGD on batches and of common steps.
UNKNOWNS: Final = (
    "sigma", "epsilon", "delta", "epochs", "steps", "learn-epochs", "batch-size", "n", "group-size", "step-size",
)  # fmt: skip
STEP_UNKNOWNS: Final = (
    "sigma", "epsilon", "delta", "steps", "step-size", "gradient-clip", "start-clip", "model-clip", "weight-decay",
)  # fmt: skip


def closed(*words: str, other: str | None = None) -> dict[str, Any]:
    """What typer is told of an option with these values. other: how --help calls values that are no word, such as COUNT.

    What is none of them passes, and is refused where it is used.
    """
    shown = "|".join([*words, *([] if other is None else [other])])
    return {
        "parser": _reader(words),
        "metavar": shown if len(shown) <= _LONGEST else "|".join(["NAME", *([] if other is None else [other])]),
        "autocompletion": completing(words),
    }


def _reader(words: Sequence[str]) -> Callable[[str], str]:
    """Words in any case as they are written here; others stay as they are."""
    by_case = {word.lower(): word for word in words}

    def read(text: str) -> str:
        return by_case.get(text.lower(), text)

    return read


def completing(words: Iterable[str] | Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """The words that begin like what was typed, in any case; ``words`` may be made when they are asked for."""

    def complete(incomplete: str) -> list[str]:
        known = words() if callable(words) else words
        return [word for word in known if word.lower().startswith(incomplete.lower())]

    return complete


def methods() -> list[str]:
    from accountant.methods import METHODS, STEP_METHODS, VARIANTS

    return list(dict.fromkeys([*METHODS, *VARIANTS, *STEP_METHODS]))


def formats() -> list[str]:
    from accountant.tables import FORMATS

    return list(FORMATS)


def reproduced() -> list[str]:
    from accountant.reproduction import EXPERIMENTS, TARGETS

    return list(dict.fromkeys([*TARGETS, *EXPERIMENTS]))


def problem_files(incomplete: str) -> list[str]:
    """Paths of TOML files, and of folders, that begin like what was typed."""
    typed = Path(incomplete)
    folder, start = (typed, "") if not incomplete or incomplete.endswith("/") else (typed.parent, typed.name)
    head = incomplete[: len(incomplete) - len(start)]
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    seen = [entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))]
    return [head + entry.name + ("/" if entry.is_dir() else "") for entry in seen if entry.is_dir() or entry.suffix == ".toml"]
