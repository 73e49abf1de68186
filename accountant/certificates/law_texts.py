"""The sentences of a certificate of all requests of a stream, but for the statement: of secret draws (format 5), and of a
partition (format 6)."""

from __future__ import annotations

from typing import Final

from accountant.certificates.drawn_texts import DRAWN_ASSUMPTIONS, DRAWN_LIMITS, DRAWN_THEOREMS
from accountant.certificates.format import BUILT_IN, CHECKED, DECLARED
from accountant.certificates.texts import ASSUMPTIONS, LIMITS, THEOREMS

LAW_THEOREMS: Final = [
    *DRAWN_THEOREMS,
    {
        "use": "what a record left falls in N more steps at least by (1 - step_size m)^N, and by the root of the noise "
        "gathered before over that gathered by then: its shifts are delayed and spread",
        "source": "Bok, Su & Altschuler 2024, arXiv 2403.00278 (another choice of shifts)",
    },
    {
        "use": "both divergences grow with every mu, so outcomes rounded up, and chances of more that are no smaller, are on "
        "the safe side",
        "source": "Kahane's convexity inequality: unlearning-accountant, docs/theory.md",
    },
]
_BUILT_IN_BEFORE: Final = (
    "earlier requests count at their worst placement",
    "placement worst holds whatever the deleted records drew",
)
LAW_ASSUMPTIONS: Final = [
    *(line for line in DRAWN_ASSUMPTIONS if line["text"] not in _BUILT_IN_BEFORE),
    {
        "text": "rounding in training moves the models no further apart than a mu of rounding does, once for all requests",
        "status": DECLARED,
    },
    {"text": "the law of what all deleted records left has no larger tails than the chances in the witness", "status": CHECKED},
    {"text": "a record counts as if it had been in from the start until its deletion", "status": BUILT_IN},
]
LAW_LIMITS: Final = [line.replace("placement worst is what holds", "nothing here holds") for line in DRAWN_LIMITS]

PARTS_THEOREMS: Final = [
    *({**line, "use": line["use"].replace("placement random", "placement law")} for line in THEOREMS),
    {
        "use": "what a point left falls in N more steps at least by the contraction to the N, and by the root of the noise "
        "gathered before over that gathered by then: its shifts are delayed and spread",
        "source": "Bok, Su & Altschuler 2024, arXiv 2403.00278 (another choice of shifts)",
    },
    {
        "use": "named one after the other, the k-th point lies in a batch with a chance of at most its size over n - k + 1, "
        "wherever those before it lie: it leaves no more than if the batches where it leaves most had as much",
        "source": "induction over the points: unlearning-accountant, docs/theory.md, Laws of streams",
    },
    {
        "use": "delta(epsilon) of mu-GDP grows with mu: outcomes rounded up, and chances of more that are no smaller, are on "
        "the safe side",
        "source": "monotonicity",
    },
    {
        "use": "a group that is drawn: the smallest convex function of mu above delta(epsilon) loses nothing where points are "
        "drawn with replacement, outcomes are split between two cells, or no mean of what is above a level is larger",
        "source": "Hoeffding 1963, Theorem 4; Jensen's inequality",
    },
]
_PARTS_CHANGED: Final = {
    "earlier requests count at their worst placement": None,
    "requests, what replaces the points and all their times depend neither on the batch order, which placement random takes as "
    "drawn uniformly, nor on any model learned or released before them": "requests, what replaces the points and all their "
    "times depend neither on the batch order, which is drawn uniformly, nor on any model learned or released before them",
}
PARTS_ASSUMPTIONS: Final = [
    *(
        {"text": text, "status": line["status"]}
        for line in ASSUMPTIONS
        if (text := _PARTS_CHANGED.get(line["text"], line["text"])) is not None
    ),
    LAW_ASSUMPTIONS[-3],
    {
        "text": "the law of what all deleted points left has no larger tails (of a group that is drawn, no larger mean of what "
        "is above any level) than the chances in the witness",
        "status": CHECKED,
    },
    {"text": "a point counts as if it had been in from the start until its deletion", "status": BUILT_IN},
]
PARTS_LIMITS: Final = [
    *LIMITS[:-1],
    "Placement law averages over the batch order, for all requests; for one person whatever the order, placement worst is what "
    "holds.",
]
