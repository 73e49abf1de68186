"""The glossary, one file for the program and for the site: its entries, and the names by which they are found."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

#: How many terms are suggested at most.
_SUGGESTED: Final = 5


class Entry(NamedTuple):
    """A term, what it means in plain text, and what the same thing is called elsewhere."""

    term: str
    meaning: str
    also: tuple[str, ...]


def normal(word: str) -> str:
    """A term or a name as it is looked up: no dashes, underscores, markup or capitals; single letters keep their case."""
    words = " ".join(re.sub(r"[-_`$:,()]+", " ", word).split())
    return words if len(words) == 1 else words.casefold()


def _entry(lines: list[str]) -> Entry:
    text = " ".join(line.strip() for line in lines[1:])
    meaning, _, also = text.partition(" Also: ")
    meaning = re.sub(r"\{term\}`([^`]*)`", r"\1", meaning)
    return Entry(lines[0].strip(), meaning.replace("`", ""), tuple(re.findall(r"`([^`]*)`", also)))


def _entries() -> Iterator[Entry]:
    text = files("accountant.commands").joinpath("texts/glossary.md").read_text(encoding="utf-8")
    body = text[text.index(":sorted:") :].partition("\n")[2]
    for block in body.rpartition(":::")[0].strip().split("\n\n"):
        yield _entry(block.splitlines())


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, in the order of the file."""
    return tuple(_entries())


@cache
def _index() -> dict[str, Entry]:
    found = {normal(name): entry for entry in entries() for name in reversed(entry.also)}
    # A name that two entries have belongs to the one whose title it is.
    return found | {normal(entry.term): entry for entry in entries()}


def find(word: str) -> Entry | None:
    """The entry of a term or of another name of it, of one word or several, in the singular or in the plural; None: not in it.

    Example: ``find("--batch-size").term`` is ``"batch"``.
    """
    index, name = _index(), normal(word)
    for candidate in (name, name.casefold(), name.removesuffix("s"), name.removesuffix("es"), f"{name}s"):
        if candidate in index:
            return index[candidate]
    return None


def near(word: str) -> list[str]:
    """Terms that are written like a word, or that have it in them, the likeliest first."""
    name = normal(word).casefold()
    within = [entry.term for entry in entries() if len(name) > 2 and name in entry.term.casefold()]
    written = difflib.get_close_matches(name, _index(), n=_SUGGESTED, cutoff=0.7)
    return list(dict.fromkeys([*within, *(_index()[each].term for each in written)]))[:_SUGGESTED]
