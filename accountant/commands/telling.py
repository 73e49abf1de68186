"""How an answer is told: one JSON object, or the answer, what the user is to check, and the command to run next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from accountant.commands import layout
from accountant.commands.following import set_command
from accountant.commands.options import Shared
from accountant.numerics import digits

if TYPE_CHECKING:
    from rich.console import Console


class Told(TypedDict, total=False):
    """What is told of every answer.

    answer: a sentence. more: rows that were asked for. next_: the command to run next. checks: more that the user is to check.
    """

    answer: str
    more: Sequence[tuple[str, str]]
    next_: str | None
    checks: Sequence[str]


def whole(result: dict[str, Any], **told: Unpack[Told]) -> dict[str, Any]:
    """The record as JSON has it: with what the user is to check, and the command to run next."""
    from accountant.bounds import to_check

    checks = [*told.get("checks", ()), *_noise(result), *to_check(result["assumptions"])]
    return {**result, "to_check": checks, "next": told.get("next_")}


def listed(shared: Shared, result: dict[str, Any], rows: Iterable[tuple[str, str]], title: str, **told: Unpack[Told]) -> None:
    """Print the record: as JSON, or the answer, what the user is to check, and what to do next.

    With --verbose also a table of ``rows`` below its ``title``, and all that the answer rests on.
    """
    next_ = told.get("next_")
    complete = whole(result, **told)
    if shared.json:
        print(json.dumps(complete, allow_nan=False))
        return
    screen = layout.console()
    if "answer" in told:
        screen.print(layout.text(told["answer"] + ".", style="bold"))
    if more := list(told.get("more", ())):
        screen.print(layout.facts(more))
    if shared.verbose:
        screen.print(title, style="italic")
        screen.print(layout.facts(rows))
    everything = [*told.get("checks", ()), *_noise(result), *result["assumptions"]]
    closing(screen, everything if shared.verbose else complete["to_check"], next_, verbose=shared.verbose)


def closing(screen: Console, lines: Iterable[str], next_: str | None, *, verbose: bool) -> None:
    """What an answer rests on, and what to do next."""
    screen.print("[bold]Assumptions[/bold]" if verbose else "[bold]For you to check[/bold]")
    for line in lines:
        screen.print(layout.bullet(line))
    if not verbose:
        screen.print("(--verbose: all that it rests on, and how it was found)")
    next_command(screen, next_)


def next_command(screen: Console, next_: str | None) -> None:
    """The command to run next, as a shell takes it."""
    if next_ is not None:
        screen.print("[bold]Next[/bold]")
        for line in set_command(next_, screen.width - 2):
            # A word longer than the screen is not broken: a shell would read two.
            screen.print(layout.text(f"  {line}"), soft_wrap=True)


def _noise(result: dict[str, Any]) -> list[str]:
    """The noise that must really be added."""
    if "noise_std" not in result:
        return []
    if result.get("problem") is None:
        # Common steps say it among their assumptions.
        return []
    if result.get("schedule"):
        return [
            "every step adds Gaussian noise of standard deviation sqrt(2 eta) sigma to every parameter, as the schedule says"
        ]
    return [noise_line(result["noise_std"])]


def noise_line(std: float) -> str:
    """What a step must add, for the user to check."""
    return f"every step adds Gaussian noise to every parameter, of standard deviation sqrt(2 eta) sigma = {digits(std)}"
