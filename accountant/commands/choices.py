"""Options that have few values: any case is read, --help shows them, and the shell completes them; and files it completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

#: The panel of options that --help leaves to --help-all.
EXPERTS: Final = "Experts"
#: A metavar that is no longer shows the values themselves.
_LONGEST: Final = 24


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
