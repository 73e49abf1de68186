"""The sentences of a certificate of secret draws; the same in every one of format 3 but for the statement."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from accountant.certificates.format import BUILT_IN, CHECKED, DECLARED, Inputs

DRAWN_THEOREMS: Final = [
    {"use": use, "source": source}
    for use, source in (
        (
            "for 0 < step_size <= 1/strong_convexity a step on at most batch_size (2/step_size - 2m)/(L - m) "
            "other records contracts by 1 - step_size m, and shifts a_k that end all distances prove mu^2 = "
            "sum (a_k/nu)^2",
            "Bok, Su & Altschuler 2024, arXiv 2403.00278 (shifted interpolation)",
        ),
        (
            "a record's own draw of its batch, placement random: both hockey-stick divergences of the average"
            " of the laws from that without the record are at most those of the average of N(mu_j, 1) from "
            "N(0, 1)",
            "Kahane's convexity inequality, applied to the likelihood ratios of shifted runs: "
            "unlearning-accountant, docs/theory.md",
        ),
        (
            "a stand-in's own draw is averaged outside: joint convexity of the hockey-stick divergence",
            "convexity",
        ),
        (
            "several records: their shifts add up",
            "Bok, Su & Altschuler 2024, arXiv 2403.00278",
        ),
        (
            "two certain signs: the likelihood ratio increases, so an event that is best lies between two "
            "places with certain signs",
            "Neyman & Pearson 1933",
        ),
    )
]
DRAWN_ASSUMPTIONS: Final = [
    {"text": text, "status": status}
    for text, status in (
        (
            "every record's loss is a regulariser strong_convexity/2 times the squared norm, outside of the "
            "sum over the batch, and a convex data part that is (smoothness - strong_convexity)-smooth",
            DECLARED,
        ),
        (
            "the gradient of every data part has norm at most lipschitz, by construction or by clipping that "
            "keeps convexity and smoothness",
            DECLARED,
        ),
        (
            "every record draws its batch by itself, each of the n/batch_size (rounded up) batches as likely,"
            " from a secret key and its identifier, and keeps it in every epoch of learning and unlearning; "
            "sums are divided by batch_size whatever the batch sizes are",
            DECLARED,
        ),
        (
            "the draws are those of a pseudo-random function: the guarantee is a computational one",
            DECLARED,
        ),
        (
            "the key, and all that is computed from the draws while a record is in (batch sizes, losses or "
            "times of batches, iterates), stay secret for ever (placement worst needs it of the iterates "
            "only)",
            DECLARED,
        ),
        (
            "no identifier is used twice: a record that comes back, or is edited, draws anew",
            DECLARED,
        ),
        (
            "n, batch_size, step_size, sigma, delta, the numbers of steps and the scaling of features are "
            "constants fixed beforehand, whatever the data are",
            DECLARED,
        ),
        (
            "at most largest_n records are ever in, living or not; with redraw the key was drawn anew at the "
            "start until no batch was too large, and no record joined later; without, it never was",
            DECLARED,
        ),
        (
            "a deletion takes the record out and nobody else moves; with adjacency replace a stand-in with an"
            " identifier of its own comes in, and is in the reference from the start",
            DECLARED,
        ),
        (
            "every step adds independent Gaussian noise of standard deviation sqrt(2 step_size) sigma to each"
            " coordinate, in exact arithmetic",
            DECLARED,
        ),
        (
            "the initial models lie in a ball of this radius and every step projects on it, unless radius is null",
            DECLARED,
        ),
        (
            "learning ran learn_epochs; if that is null, until its law was stable or, with reference matched,"
            " for any number of whole epochs from the initial law of retraining",
            DECLARED,
        ),
        (
            "the two models are at most start_distance apart when unlearning starts, unless that is null",
            DECLARED,
        ),
        (
            "requests, what joins or replaces records and all their times depend neither on the draws nor on "
            "any model learned or released before them",
            DECLARED,
        ),
        (
            "0 < step_size <= 2/smoothness, and at most 1/strong_convexity",
            CHECKED,
        ),
        (
            "the shifts in the witness bring every distance to zero",
            CHECKED,
        ),
        (
            "what batches cost that are too large is paid by delta (and, with redraw, by epsilon)",
            CHECKED,
        ),
        (
            "delta at an epsilon that is at most the claimed one is at most the claimed delta",
            CHECKED,
        ),
        (
            "earlier requests count at their worst placement",
            BUILT_IN,
        ),
        (
            "placement worst holds whatever the deleted records drew",
            BUILT_IN,
        ),
    )
]
DRAWN_LIMITS: Final = [
    "The guarantee is about the released model alone: a model published before the deletion is outside of it.",
    "The reference is the same history without the deleted records: who joined stays in it. It is retraining "
    "from scratch on the final data only where no record joined after the start.",
    "Placement random averages over the secret draw; if the key leaks, placement worst is what holds.",
    "Two certificates of releases under one key do not compose as if their draws were independent.",
]
_DRAWN_ORDERS: Final = {
    "worst": "whatever the deleted records drew",
    "random": "averaged over the secret draw of the record deleted last, earlier ones at their worst",
    "law": "averaged over the secret draws of all of them",
}
_STAND_INS: Final = {"remove": "", "replace": ", others that draw for themselves in their place"}


def drawn_statement(inputs: Inputs, again: str) -> str:
    """The claim in one sentence; again: what the reference is."""
    requests, placement = inputs["requests"], inputs["placement"]
    gone = sum(request["points"] for request in requests)
    given = f"given {placement}, the [batch, points] of the deletion"
    order = _DRAWN_ORDERS[placement] if isinstance(placement, str) else given
    key = f"where the key was never redrawn and at most {inputs['largest_n']} records were ever in"
    if inputs["redraw"]:
        most = _most(inputs)
        what = "whatever came out" if most is None else f"until no batch had more than {most} records"
        key = f"where the key was redrawn {what} and no record joined later"
    there, count = inputs["n"] + sum(row.get("joined", 0) for row in requests), sum(row["points"] > 0 for row in requests)
    return (
        f"After {requests[-1]['steps']} steps of unlearning since request {count}, the last one, with noise sigma = "
        f"{inputs['sigma']}, the released model is ({inputs['epsilon']}, {inputs['delta']})-indistinguishable in both "
        f"directions from {again} on the same history without the {gone} deleted of {there} records"
        f"{_STAND_INS[inputs['adjacency']]}, {order}, {key}."
    )


def _most(inputs: Inputs) -> int | None:
    """Other records in a batch that are not too many; None: any number will do."""
    eta, m, smoothness = (Fraction(inputs[name]) for name in ("step_size", "strong_convexity", "smoothness"))
    if smoothness == m:
        return None
    return math.floor(inputs["batch_size"] * (2 / eta - 2 * m) / (smoothness - m))
