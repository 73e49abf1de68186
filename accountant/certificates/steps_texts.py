"""The sentences of a certificate of common steps; the same in every one of format 4 but for the statement."""

from __future__ import annotations

from typing import Final

from accountant.certificates.format import BUILT_IN, CHECKED, DECLARED, StepInputs

STEP_THEOREMS: Final = [
    {"use": use, "source": source}
    for use, source in (
        (
            "a step moves two models that are z apart to at most (1 - step_size weight_decay) z + 2 step_size gradient_clip, "
            "and shifts a_k that end all distances prove mu^2 = sum (a_k/sigma)^2",
            "Bok, Su & Altschuler 2024, arXiv 2403.00278 (shifted interpolation, with any modulus of continuity: "
            "unlearning-accountant, docs/theory.md)",
        ),
        ("delta(epsilon) of mu-GDP", "Balle & Wang 2018, arXiv 1805.06530, Theorem 8"),
        (
            "steps from any two points of the ball take delta to delta times the delta of mu-GDP at "
            "log(1 + (e^epsilon - 1)/delta)",
            "Balle, Barthe, Gaboardi & Geumlek 2019, arXiv 1905.12264 (blocks of steps: unlearning-accountant, docs/theory.md)",
        ),
    )
]
STEP_ASSUMPTIONS: Final = [
    {"text": text, "status": status}
    for text, status in (
        (
            "a step is x <- x - step_size (g + weight_decay x) + sigma N(0, I), and with model_clip x is then clipped to that "
            "norm, or, with clip_first, just before the noise; no momentum, no state of an optimizer",
            DECLARED,
        ),
        (
            "g is the gradient of a batch, clipped to norm gradient_clip in all parameters together, unless that is null; "
            "whatever the loss is",
            DECLARED,
        ),
        (
            "before the first step the model is clipped to the smaller of start_clip and model_clip (null: no limit), in all "
            "parameters together, and so is the reference's, or, with start centre, it is the centre of that ball",
            DECLARED,
        ),
        (
            "the two models are at most start_distance apart before the first step, instead of what start_clip gives, unless "
            "that is null",
            DECLARED,
        ),
        (
            "sigma is the standard deviation of independent Gaussian noise in each parameter and each step, in exact "
            "arithmetic; what gets no noise (buffers, frozen parameters) was made without the deleted records",
            DECLARED,
        ),
        (
            "the reference is retrained without the deleted records (or starts from the public initialisation), clipped alike, "
            "and goes the same noisy steps on the same retained data",
            DECLARED,
        ),
        (
            "the steps see no deleted record, and nothing that was computed from one but the model that they start at",
            DECLARED,
        ),
        (
            "the order of the data in these steps is drawn anew, independent of the past, or public; the steps' numbers, sizes "
            "and times, and the constants above, are public and do not depend on the deleted records",
            DECLARED,
        ),
        ("step_size weight_decay is at most 1", CHECKED),
        ("the shifts of each block bring every distance to zero", CHECKED),
        ("delta at the claimed epsilon is at most the claimed delta", CHECKED),
        ("a block after the first one starts anywhere in the ball of model_clip", BUILT_IN),
        ("steps that no block covers are post-processing, of the start or of the end of a block", BUILT_IN),
        ("it does not count how many records are deleted, nor which ones", BUILT_IN),
    )
]
STEP_LIMITS: Final = [
    "The guarantee is about the model after these steps, and what is computed from it: a model published before is outside "
    "of it.",
    "The reference is retraining and then the same noisy steps, not retraining alone.",
    "Requests may be chosen in knowledge of models released before; each release is compared with a reference of its own. "
    "Against independent references several releases compose.",
    "It is about exact arithmetic: rounding in training and noise from a floating-point generator are outside of it.",
]
_STARTS: Final = {
    "clipped": "retraining without the deleted records (or a public initialisation), clipped alike",
    "centre": "the public centre",
}


def step_statement(inputs: StepInputs) -> str:
    """The claim in one sentence."""
    apart = inputs["start_distance"]
    start = _STARTS[inputs["start"]] if apart is None else f"any model at most {apart} away"
    return (
        f"After {inputs['steps']} noisy steps on retained data, with noise sigma = {inputs['sigma']} in each, the released "
        f"model is ({inputs['epsilon']}, {inputs['delta']})-indistinguishable in both directions from {start}, after the same "
        "noisy steps."
    )
