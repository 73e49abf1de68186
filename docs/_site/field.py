"""Writes the table of the page of methods from what the rows and ``compare --all`` say: python docs/_site/field.py"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from accountant.commands.field import noise, present_year
from accountant.commands.program import app
from accountant.methods import LOSSES, OURS, STEP_METHODS

PAGE: Final = Path(__file__).parents[1] / "guides" / "methods.md"
#: What the table's noise and cost are of; delta is 1/n unless it is said.
COMMAND: Final = "compare --preset mnist --epsilon 1 --epochs 1 --requests 0 --all"
_BEGIN: Final = "<!-- from here to the end mark: python docs/_site/field.py -->"
_END: Final = "<!-- end mark -->"
_TITLES: Final = ("method", "what runs", "losses", "data", "requests", "what is proved", "code", "year", "noise", "cost")


def rows() -> list[dict[str, Any]]:
    """Every method: those of batches with what they take on MNIST, those of common steps, which are about other problems."""
    made = CliRunner().invoke(app, [*COMMAND.split(), "--json"])
    assert made.exit_code == 0, made.output
    stepwise = [
        {
            "method": f"{name} (fine-tuning)" if name == "optimal" else name, "proves": method.proves, "source": method.source,
            "sigma": None, "released_std": None, "relative": None, "reason": None, **method.about.to_dict(),
        }
        for name, method in STEP_METHODS.items()
    ]  # fmt: skip
    return [*json.loads(made.stdout)["methods"], *stepwise]


def table(found: Iterable[Mapping[str, Any]]) -> str:
    """The rows in Markdown, then their sources, and why some have no number."""
    found = list(found)
    lines = [f"| {' | '.join(_TITLES)} |", f"|{' --- |' * len(_TITLES)}"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in found]
    classes = [f"*{word}*: {meaning}" for word, meaning in LOSSES.items() if word in {row["losses"] for row in found}]
    sources: dict[str, list[str]] = {}
    for row in found:
        sources.setdefault(row["source"], []).append(f"`{row['method']}`")
    reasons = [f"- `{row['method']}`: {_linked(_bare(row))}." for row in found if row["reason"]]
    return "\n".join(
        [
            *lines, "", f"Losses, the widest class that is covered: {'; '.join(classes)}.", "", "Without a number there:", "",
            *reasons, "", "Sources:", "", *(f"- {', '.join(names)}: {_linked(source)}." for source, names in sources.items()),
        ]
    )  # fmt: skip


def _cells(row: Mapping[str, Any]) -> list[str]:
    code = row["code"] or "none known"
    if re.fullmatch(r"[\w-]+/[\w-]+", code):
        code = f"[{code.split('/')[1]}](https://github.com/{code})"
    cost = "-" if row["relative"] is None else f"{100 * row['relative']:.3g} %"
    return [
        f"`{row['method']}`", row["runs"], row["losses"], ", ".join(row["data"]), ", ".join(row["requests"]), row["proves"],
        "ours" if code == OURS else code, present_year(row), noise(row), cost,
    ]  # fmt: skip


def _bare(row: Mapping[str, Any]) -> str:
    """A reason without the name that stands before it."""
    return str(row["reason"]).removeprefix(f"{row['method']} is ").removeprefix(f"{row['method']} ")


def _linked(text: str) -> str:
    """Sections of the theory page as links.

    >>> _linked("docs/theory.md, Newton steps")
    '[theory](../theory.md#newton-steps)'
    """

    def link(found: re.Match[str]) -> str:
        heading = found[1].strip()
        return f"[theory](../theory.md#{heading.lower().replace(' ', '-')})"

    return re.sub(r"docs/theory\.md(?:, )([A-Z][a-z ]+)", link, text)


def page(text: str) -> str:
    """The page with its table made anew."""
    before, rest = text.split(_BEGIN)
    return f"{before}{_BEGIN}\n\n{table(rows())}\n\n{_END}{rest.split(_END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
