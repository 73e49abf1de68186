"""The sentences of a certificate of all requests of a stream of secret draws (format 5), but for the statement."""

from __future__ import annotations

from typing import Final

from accountant.certificates.drawn_texts import DRAWN_ASSUMPTIONS, DRAWN_LIMITS, DRAWN_THEOREMS
from accountant.certificates.format import BUILT_IN, CHECKED, DECLARED

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
