"""The numbers of checked rows to many digits, where they come from a bound of noisy SGD."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Final

from accountant.methods import METHODS, BoundMethod, BoundStream, Stream, Target
from accountant.numerics import Enclosure, InputError, confirmed, rounded_text
from accountant.problem import decimal
from accountant.requests import EnclosedStream
from accountant.verification.claims import Claim
from accountant.verification.verdicts import PRECISE, Checked

#: Digits that settle whether a number of epochs is enough.
_ENOUGH: Final = 20
Strings = dict[str, str | None]


class PreciseRows:
    """``strings(claim, row)``: what a row says, to ``digits`` digits. None where the row has no such number or only doubles."""

    def __init__(self, digits: int) -> None:
        self.digits = digits

    def strings(self, claim: Claim, row: Checked) -> Strings:
        method = claim.method
        if not isinstance(method, BoundMethod):
            return self._filled(row, {}, f"{method.name} has a formula of its own, in doubles only")
        return self._filled(row, self._asked(claim, row, method))

    def _asked(self, claim: Claim, row: Checked, method: BoundMethod) -> dict[str, Callable[[], str | None]]:
        setup, best = claim.setup, METHODS[method.tightest]
        assert isinstance(best, BoundMethod)
        known = {name: printed.value for name in ("sigma", "epsilon") if (printed := getattr(claim, name)) is not None}
        known["delta"] = claim.delta

        def enclose(by: BoundMethod, unknown: Target, steps: float, digits: int) -> Enclosure:
            given = {name: value for name, value in known.items() if name != unknown}
            return by.enclose(setup, unknown, digits=digits, steps=steps, **given)

        def fewest() -> str | None:
            per_unit = method.steps_per_epoch(setup) if claim.unit == "epochs" else 1
            count = round((row.epochs_needed or 0) * method.steps_per_epoch(setup) / per_unit)
            target = decimal(known["epsilon"])
            found = confirmed(count, lambda k: enclose(method, "epsilon", k * per_unit, _ENOUGH).upper <= target)
            return self._count(found, claim)

        steps = claim.steps
        return {
            "epsilon_achieved": lambda: str(enclose(method, "epsilon", steps, self.digits)),
            "epsilon_tightest": lambda: _least(
                [partial(enclose, by, "epsilon", steps, self.digits) for by in dict.fromkeys((method, best))]
            ),
            "sigma_needed": lambda: str(enclose(method, "sigma", steps, self.digits)),
            "sigma_tightest": lambda: str(enclose(best, "sigma", steps, self.digits)),
            "epochs_needed": fewest,
        }

    def _count(self, found: int | None, claim: Claim) -> str | None:
        if found is None:
            return None
        per_epoch = 1 if claim.unit == "epochs" else claim.method.steps_per_epoch(claim.setup)
        return rounded_text(Fraction(found, per_epoch), self.digits, up=True) if found % per_epoch else str(found // per_epoch)

    @staticmethod
    def _filled(row: Checked, ask: dict[str, Callable[[], str | None]], reason: str | None = None) -> Strings:
        """All of PRECISE that the row has in doubles, and the first reason why one is missing."""
        strings: Strings = dict.fromkeys(PRECISE)
        for name, answer in ask.items():
            if getattr(row, name) is None:
                continue
            try:
                strings[name] = answer()
            except InputError as error:
                reason = reason or str(error)
        return strings | {"reason": reason}


class PreciseList(PreciseRows):
    """The same for the rows of one list of requests, in their order."""

    def __init__(self, claimed: Stream | None, best: Stream | None, digits: int) -> None:
        super().__init__(digits)
        streams = [stream for stream in dict.fromkeys((claimed, best)) if stream is not None]
        self.streams = [EnclosedStream(stream.stream, digits=digits) for stream in streams if isinstance(stream, BoundStream)]

    def strings(self, claim: Claim, row: Checked) -> Strings:
        found = super().strings(claim, row)
        for stream in self.streams:
            stream.answer(claim.points, int(claim.count or 0))
        return found

    def _asked(self, claim: Claim, row: Checked, method: BoundMethod) -> dict[str, Callable[[], str | None]]:
        points, count = claim.points, int(claim.count or 0)
        if not self.streams:
            return {}

        def fewest() -> str | None:
            scale = 1 if claim.unit == "epochs" else method.steps_per_epoch(claim.setup)
            return self._count(self.streams[0].fewest(points, round((row.epochs_needed or 0) * scale)), claim)

        return {
            "epsilon_achieved": lambda: str(self.streams[0].enclose("epsilon", points, count)),
            "epsilon_tightest": lambda: _least([partial(stream.enclose, "epsilon", points, count) for stream in self.streams]),
            "epochs_needed": fewest,
        }


def _least(asked: list[Callable[[], Enclosure]]) -> str:
    """The smallest of several answers; those that say that nothing is proved are left out, unless all do."""
    found, refusal = [], None
    for ask in asked:
        try:
            found.append(ask())
        except InputError as error:
            refusal = error
    if not found and refusal is not None:
        raise refusal
    return str(min(found, key=lambda enclosure: enclosure.upper))
