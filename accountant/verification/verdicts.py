"""What a checked row says, and what a table comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple, TypedDict, Unpack

from accountant.methods import METHODS, STEP_METHODS
from accountant.numerics import Printed, shown
from accountant.problem import PRESETS, Problem
from accountant.verification.claims import Claim, Unread
from accountant.verification.oddities import OddCells
from accountant.verification.stepping import StepClaim

VERDICTS: Final = ("certified", "certified-tighter", "fails", "wasteful", "unchecked")
#: Noise or epochs beyond what is needed, from which a row is called wasteful.
WASTEFUL: Final = 1.1
#: A printed sigma is taken to be right to twelve digits: whoever computed it rounds, too.
ARITHMETIC: Final = 1 + 1e-12
#: What a row says to many digits, if asked to.
PRECISE: Final = ("epsilon_achieved", "epsilon_tightest", "sigma_needed", "epochs_needed", "sigma_tightest")


class Checked(NamedTuple):
    """A row's verdict. None: not given, not proved, or not asked for; a method that cannot be read is "".

    epsilon_achieved is under the claimed bound, epsilon_tightest under ``tightest``. sigma_needed and epochs_needed are the
    smallest that would have done under the claimed bound (epochs_needed of a request: after the requests before it), and
    sigma_tightest under the tightest one, for rows that the claimed bound does not certify. factor: given over needed.
    rounding: the row fails, but some number that rounds to the printed one would do.
    assumed: what was taken because the row does not say it, by role.
    precise: where digits were asked for, the numbers of ``PRECISE`` as decimals rounded up, and the reason of what is missing.
    preset: the published data set that the row's problem is; None, as n and batch_size are, of rows about common steps.
    """

    row: int
    method: str
    verdict: str
    epsilon_claimed: float | None
    epsilon_achieved: float | None
    epsilon_tightest: float | None
    sigma_needed: float | None
    epochs_needed: float | None
    reason: str
    tightest: str
    list: str
    request: int | None
    sigma: float | None
    delta: float | None
    epochs: float | None
    sigma_tightest: float | None
    factor: float | None
    rounding: bool
    assumed: Mapping[str, str | float]
    precise: dict[str, str | None] | None = None
    preset: str | None = None
    n: int | None = None
    batch_size: int | None = None


class _About(TypedDict, total=False):
    preset: str | None
    n: int
    batch_size: int


class Numbers(TypedDict, total=False):
    """What is known of a row, as in :class:`Checked`."""

    epsilon_achieved: float | None
    epsilon_tightest: float | None
    sigma_needed: float | None
    epochs_needed: float | None
    sigma_tightest: float | None
    factor: float | None


@dataclass
class ListSummary:
    """A stream of requests in the table: whether all of it holds, and what its epochs come to."""

    list: str
    method: str
    tightest: str
    batch_size: int
    sigma: float
    epsilon: float
    first_row: int
    rows: int = 0
    #: Rows that the claimed bound, and the tightest one, certify.
    certified: int = 0
    certified_tightest: int = 0
    epochs: float = 0.0
    #: In all, had every request been answered with the fewest epochs under the tightest bound; None: not known.
    epochs_tightest: float | None = 0.0


@dataclass
class Summary:
    """Counts per verdict, and what was taken for granted."""

    rows: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS, 0))
    rounding: int = 0
    lists: list[ListSummary] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    #: Cells that were not plainly their numbers, and as what they were read.
    cells: list[OddCells] = field(default_factory=list)

    @property
    def unread(self) -> bool:
        """Whether not one row could be checked."""
        return 0 < self.rows == self.verdicts["unchecked"]

    @property
    def failed(self) -> bool:
        return self.verdicts["fails"] > 0


def value_of(printed: Printed | None) -> float | None:
    return None if printed is None else printed.value


def unchecked(claim: Claim, reason: str, **known: Unpack[Numbers]) -> Checked:
    return checked(claim, "unchecked", reason, **known)


def checked(
    claim: Claim | StepClaim, verdict: str, reason: str, *, rounding: bool = False, **known: Unpack[Numbers]
) -> Checked:
    """The row of a claim; numbers that are left out are None, and epochs of common steps are steps."""
    about: _About = {}
    if isinstance(claim, StepClaim):
        request, epochs = None, claim.count
    else:
        request, problem = claim.request, claim.setup.problem
        about = {"preset": _published(problem), "n": problem.n, "batch_size": int(claim.setup.algorithm.batch_size)}
        epochs = None if claim.count is None else claim.steps / claim.method.steps_per_epoch(claim.setup)
    return Checked(
        row=claim.row,
        method=claim.method.name,
        verdict=verdict,
        epsilon_claimed=value_of(claim.epsilon),
        reason=reason,
        tightest=claim.method.tightest,
        list=claim.list,
        request=request,
        sigma=value_of(claim.sigma),
        delta=claim.delta,
        epochs=epochs,
        epsilon_achieved=known.get("epsilon_achieved"),
        epsilon_tightest=known.get("epsilon_tightest"),
        sigma_needed=known.get("sigma_needed"),
        epochs_needed=known.get("epochs_needed"),
        sigma_tightest=known.get("sigma_tightest"),
        factor=known.get("factor"),
        rounding=rounding,
        assumed=claim.taken.values,
        **about,
    )


@lru_cache(maxsize=256)
def _published(problem: Problem) -> str | None:
    """The published data set with this problem, whatever the adjacency."""
    problem = replace(problem, adjacency="replace")
    return next((name for name, known in PRESETS.items() if known == problem), None)


def unread(row: Unread) -> Checked:
    """The verdict on a row that is no claim, with what can be read of it."""
    return Checked(
        row=row.row,
        method=row.method,
        verdict="unchecked",
        epsilon_claimed=row.epsilon,
        epsilon_achieved=None,
        epsilon_tightest=None,
        sigma_needed=None,
        epochs_needed=None,
        reason=f"{row.reason} (line {row.line})" if row.line else row.reason,
        tightest=tightest_of(row.method) if row.method else "",
        list=row.label,
        request=row.request,
        sigma=row.sigma,
        delta=row.delta,
        epochs=None,
        sigma_tightest=None,
        factor=None,
        rounding=False,
        assumed={},
    )


def tightest_of(name: str) -> str:
    """The method with the tightest bound known for the run of a method by name."""
    return (METHODS[name] if name in METHODS else STEP_METHODS[name]).tightest


def counted(value: float, unit: str) -> str:
    """So many epochs or steps, in words."""
    return f"{shown(value)} {unit.removesuffix('s') if value == 1 else unit}"


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
