"""A guarantee in the words of whoever asks what an attacker can do with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from accountant.commands.options import Shared
from accountant.numerics import digits

if TYPE_CHECKING:
    from accountant.curves import Guarantee

#: How good a guess is without the model, of which it is told how good it is with it.
GUESS: Final = 0.01


def _risk(guarantee: Guarantee) -> dict[str, float]:
    """The same guarantee as what an attacker can do at most."""
    advantage = guarantee.advantage()
    return {
        "advantage": advantage,
        "right_of_two": guarantee.accuracy(0.5),
        "guess": GUESS,
        "guess_with_model": guarantee.reconstruction(GUESS),
    }


def told(shared: Shared, guarantee: Guarantee) -> dict[str, dict[str, float]]:
    """The key ``risk``, where somebody sees it: of mixtures of many Gaussians it takes a second."""
    return {"risk": _risk(guarantee)} if shared.json or shared.verbose else {}


def rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Risk in plain words: percentages, rounded up; none where it was not asked for."""
    if "risk" not in result:
        return []
    found = result["risk"]
    even, guess = digits(100 * found["right_of_two"], 6), digits(100 * found["guess_with_model"], 4)
    return [
        (
            "attacker's risk",
            f"told of two as likely models which one had the record: right in at most {even} % (50 % by guessing)",
        ),
        ("", f"a guess about the record that is right in {100 * GUESS:g} % without the model: in at most {guess} % with it"),
    ]
