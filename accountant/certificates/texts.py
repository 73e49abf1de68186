"""The sentences of a certificate. All but the statement are the same in every certificate of the format."""

from __future__ import annotations

from typing import Final

from accountant.certificates.drawn_texts import drawn_statement
from accountant.certificates.format import BUILT_IN, CHECKED, DECLARED, Inputs
from accountant.problem import CONVERGED, MATCHED, Reference

THEOREMS: Final = [
    {"use": use, "source": source}
    for use, source in (
        (
            "for 0 < step_size <= 2/smoothness a step contracts by 1 - min(step_size m, 2 - step_size L), and shifts a_k that "
            "end all distances prove mu^2 = sum (a_k/nu)^2",
            "Bok, Su & Altschuler 2024, arXiv 2403.00278 (shifted interpolation)",
        ),
        ("delta(epsilon) of mu-GDP", "Balle & Wang 2018, arXiv 1805.06530, Theorem 8"),
        (
            "placement random: joint convexity of the hockey-stick divergence over the batch order",
            "Chien, Wang, Chen & Li 2024, arXiv 2403.17105",
        ),
        ("several requests: mu of several points is at most the sum of their mu", "Dong, Roth & Su 2022, arXiv 1905.02383"),
    )
]
ASSUMPTIONS: Final = [
    {"text": text, "status": status}
    for text, status in (
        ("every point's loss is smoothness-smooth and strong_convexity-strongly convex (convex if that is 0)", DECLARED),
        (
            "the data part of every per-sample gradient has norm at most lipschitz, by construction or by clipping that keeps "
            "convexity and smoothness",
            DECLARED,
        ),
        (
            "one random partition into batches of batch_size points, visited in the same order in every epoch of learning and "
            "unlearning; of points left over, last_batch keep makes a smaller last batch, and drop never uses them",
            DECLARED,
        ),
        (
            "every step adds independent Gaussian noise of standard deviation sqrt(2 step_size) sigma to each coordinate, in "
            "exact arithmetic",
            DECLARED,
        ),
        ("the initial models lie in a ball of this radius and every step projects on it, unless radius is null", DECLARED),
        (
            "learning ran learn_epochs; if that is null, until its law was stable or, with reference matched, for any number "
            "of whole epochs from the initial law of retraining",
            DECLARED,
        ),
        ("the two models are at most start_distance apart when unlearning starts, unless that is null", DECLARED),
        (
            "requests, what replaces the points and all their times depend neither on the batch order, which placement random "
            "takes as drawn uniformly, nor on any model learned or released before them",
            DECLARED,
        ),
        ("0 < step_size <= 2/smoothness", CHECKED),
        ("the shifts in the witness bring every distance to zero", CHECKED),
        ("delta at the claimed epsilon is at most the claimed delta", CHECKED),
        ("earlier requests count at their worst placement", BUILT_IN),
        ("placement worst holds for every batch order", BUILT_IN),
    )
]
LIMITS: Final = [
    "The guarantee is about the released model alone: a model published before the deletion is outside of it.",
    "A deletion is a replacement or a zeroed gradient: the number of points and the batches stay.",
    "Placement random averages over the batch order; for one person whatever the order, placement worst is what holds.",
]
_CHANGED: Final = {"replace": "replaced by others", "zero-out": "left out (the divisors of their batches kept)"}
_REFERENCES: Final[dict[Reference, str]] = {
    MATCHED: "retraining from the same initial law for as many epochs",
    CONVERGED: "retraining until its law is stable",
}
_ORDERS: Final = {
    "worst": "whatever the batch order",
    "random": "averaged over the draw of the batch order, earlier requests at their worst",
    "law": "averaged over the draw of the batch order",
}


def statement(inputs: Inputs, batches: int) -> str:
    """The claim in one sentence. inputs: the certificate's; batches: in an epoch."""
    requests, reference, placement = inputs["requests"], inputs["reference"], inputs["placement"]
    extra = sum(request["steps"] for request in requests) % batches
    again = _REFERENCES.get(reference, f"retraining, from anywhere in the ball, for {reference} epochs and {extra} steps")
    if "assignment" in inputs:
        return drawn_statement(inputs, again)
    order = _ORDERS[placement] if isinstance(placement, str) else f"given {placement}, the [batch, points] of the deletion"
    return (
        f"After {requests[-1]['steps']} steps of unlearning since request {len(requests)}, the last one, with noise sigma = "
        f"{inputs['sigma']}, the released model is ({inputs['epsilon']}, {inputs['delta']})-indistinguishable in both "
        f"directions from {again} with {sum(request['points'] for request in requests)} of {inputs['n']} points "
        f"{_CHANGED[inputs['adjacency']]}, {order}."
    )
