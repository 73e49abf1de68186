"""What commands say about common steps: the rows of their tables."""

from __future__ import annotations

from collections import Counter
from typing import Any, Unpack

from accountant.commands import present, telling
from accountant.commands.options import Shared
from accountant.numerics import digits


def compared(other: dict[str, Any] | None, unknown: str, mine: float) -> list[tuple[str, str]]:
    """The row of the published bound."""
    if other is None:
        return []
    if other[unknown] is None:
        return [("published", f"no answer from {other['bound']}: {other['reason']}")]
    factor = f", {other[unknown] / mine:.3g} times as much" if mine > 0 and other[unknown] != mine else ""
    return [("published", f"{unknown} = {digits(other[unknown], 10)}{factor} ({other['bound']})")]


def rows_of(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The noise, the guarantee and the length of a run."""
    return [
        present.noise_row(result),
        ("", present.STEP_NOISE if result["schedule"] is None else f"{present.STEP_NOISE}; times what the schedule says"),
        present.guarantee_row(result),
        ("unlearning", present.plural(result["steps"], "noisy step")),
    ]


def _blocks(split: list[int]) -> str:
    """How the steps are split, in words.

    >>> _blocks([100]), _blocks([12, 11, 11])
    ('a single string over all steps', '3 blocks: 1 of 12 steps, 2 of 11 steps')
    """
    if len(split) == 1:
        return "a single string over all steps"
    lengths = [f"{count} of {present.plural(length, 'step')}" for length, count in Counter(split).items()]
    many = f" and {len(lengths) - 4} other lengths" if len(lengths) > 4 else ""
    return f"{len(split)} blocks: {', '.join(lengths[:4])}{many}"


def show(shared: Shared, result: dict[str, Any], rows: list[tuple[str, str]], title: str, **told: Unpack[telling.Told]) -> None:
    """Print the record: as JSON, or as a table of ``rows`` followed by the rows that all of these commands have."""
    telling.listed(shared, result, [*rows, *common_rows(result)], title, **told)


def common_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The algorithm, its blocks and the mu that it reaches."""
    common = [("algorithm", result["algorithm"]["name"]), ("blocks", _blocks(result["split"]))]
    if result["mu_worst"] is not None:
        attained = result["tightness"] is not None and result["tightness"] < 1 + 1e-9
        says = " (two Gaussian runs attain it: it cannot be smaller)" if attained else ""
        common.append(("mu", f"{digits(result['mu_worst'])}{says}"))
    return common
