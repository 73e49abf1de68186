"""The sentences of a certificate, each a function of its inputs, so that a changed word is a wrong certificate."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

DECLARED = "declared by the user"
CHECKED = "checked by the program"
BUILT_IN = "holds by construction"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class Words:
    """inputs: the certificate's keys from claim to placement; kind, entries: of its witness; batches and their sizes."""

    def __init__(
        self, inputs: dict[str, Any], kind: str, entries: int, batches: int, sizes: list[int], dropped: int
    ) -> None:
        self.inputs, self.kind, self.entries = inputs, kind, entries
        self.batches, self.sizes, self.dropped = batches, sizes, dropped
        self.points = sum(request["points"] for request in inputs["requests"])
        self.count = len(inputs["requests"])
        self.placement, self.reference = inputs["placement"], inputs["reference"]

    @property
    def _subject(self) -> str:
        return "the deleted point" if self.points == 1 else f"the {self.points} deleted points"

    def statement(self) -> str:
        claim, one = self.inputs["claim"], self.points == 1
        change = {
            "replace": "replaced by another" if one else "replaced by others",
            "zero-out": "left out, its batch's divisor kept" if one else "left out, their batches' divisors kept",
        }[self.inputs["problem"]["adjacency"]]
        reference = {
            "matched": "retraining from the same initial law for as many epochs",
            "converged": "retraining until its law no longer changes",
        }.get(self.reference) or f"retraining for {plural(self.reference, 'epoch')}"
        return (
            f"After {plural(self.count, 'request')} and {plural(self.inputs['requests'][-1]['steps'], 'step')} of unlearning "
            f"since the last, with noise sigma = {self.inputs['algorithm']['sigma']}, the released model is "
            f"({claim['epsilon']}, {claim['delta']})-indistinguishable in both directions from {reference} with "
            f"{self._subject} {change}, "
            f"{self._order()}."
        )

    def _order(self) -> str:
        if self.placement == "random":
            if self.count > 1:
                return "averaged over the batch of the last request's points, earlier requests at their worst"
            return "averaged over the draw of the batch order"
        if self.placement == "worst":
            return "whatever the batch order"
        if isinstance(self.placement, int):
            return f"given that {self._subject} {'is' if self.points == 1 else 'are'} in batch {self.placement}"
        return "given the numbers of deleted points in the batches"

    def theorems(self) -> list[dict[str, str]]:
        found = [
            ("shifts a_k that bring the distance to zero prove mu^2 = sum (a_k/nu)^2",
             "Bok, Su & Altschuler 2024, arXiv 2403.00278 (shifted interpolation)"),
            ("delta(epsilon) of mu-GDP", "Balle & Wang 2018, arXiv 1805.06530, Theorem 8"),
        ]  # fmt: skip
        if self.entries > 1:
            found.append(("joint convexity of the hockey-stick divergence over the batch order",
                          "Chien, Wang, Chen & Li 2024, arXiv 2403.17105"))  # fmt: skip
        if self.points > 1 and (self.count > 1 or self.kind == "drawn"):
            found.append(("mu of several points is at most the sum of their mu", "Dong, Roth & Su 2022, arXiv 1905.02383"))
        if self.kind == "drawn":
            found.append(("drawing with replacement dominates for convex functions", "Hoeffding 1963, Theorem 4"))
        return [{"use": use, "source": source} for use, source in found]

    def assumptions(self) -> list[dict[str, str]]:
        problem, algorithm = self.inputs["problem"], self.inputs["algorithm"]
        m = problem["strong_convexity"]
        convex = "convex" if Fraction(m) == 0 else f"{m}-strongly convex"
        lines = [
            (f"every point's loss is {problem['smoothness']}-smooth and {convex}", DECLARED),
            (f"the data part of every per-sample gradient has norm at most {problem['lipschitz']}, by construction or by "
             "clipping that keeps convexity and smoothness", DECLARED),
            (self._partition(), DECLARED),
            ("every step adds independent Gaussian noise of standard deviation sqrt(2 step_size) sigma to each coordinate, in "
             "exact arithmetic", DECLARED),
        ]  # fmt: skip
        if algorithm["radius"] is not None:
            lines.append((f"every step projects on a ball of radius {algorithm['radius']}", DECLARED))
        lines += [(self._learning(), DECLARED), ("requests do not depend on the batch order", DECLARED)]
        if self.placement == "random":
            lines.append(("the batch order was drawn uniformly at random", DECLARED))
        lines += [
            ("0 < step_size <= 2/smoothness, so that one step contracts by 1 - min(step_size m, 2 - step_size L)", CHECKED),
            ("the shifts in the witness bring every distance to zero", CHECKED),
            ("delta at the claimed epsilon is at most the claimed delta", CHECKED),
        ]
        if self.count > 1:
            lines.append(("earlier requests are taken at their worst placement", BUILT_IN))
        if self.placement == "worst":
            lines.append(("the bound holds for every batch order", BUILT_IN))
        return [{"text": text, "status": status} for text, status in lines]

    def _partition(self) -> str:
        if self.batches == 1 and not self.dropped:
            return f"every step uses all {self.inputs['problem']['n']} points"
        line = (
            f"one random partition into {self.batches} batches of {self.sizes[0]}, visited in the same order in every epoch of "
            "learning and unlearning"
        )
        if self.sizes[-1] != self.sizes[0]:
            line += f" (the last of {self.sizes[-1]})"
        return line + (f"; {self.dropped} points are never used" if self.dropped else "")

    def _learning(self) -> str:
        schedule = self.inputs["schedule"]
        if schedule["start_distance"] is not None:
            return f"the two models are at most {schedule['start_distance']} apart when unlearning starts"
        if schedule["learn_epochs"] is not None:
            return f"learning ran {plural(schedule['learn_epochs'], 'epoch')}"
        if self.reference != "matched":
            return "learning has run until its law no longer changes"
        return "learning has converged, or ran for any number of epochs from the initial law of retraining"

    def limits(self) -> list[str]:
        lines = [
            "The guarantee is about the released model alone: a model published before the deletion is outside of it.",
            "A deletion is a replacement or a zeroed gradient: the number of points and the batches stay.",
        ]
        if self.placement == "random":
            lines.append("Averaged over the batch order; for one person whatever the order, placement worst is what holds.")
        return lines
