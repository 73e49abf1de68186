"""What tests ask of a screen."""

from __future__ import annotations


def text_lines(output: str) -> list[str]:
    """The lines that must fit: all but the command to run next, in which a word is never broken."""
    lines = output.splitlines()
    return lines[: lines.index("Next")] if "Next" in lines else lines
