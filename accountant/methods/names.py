"""The methods, by name: each bound with what it competes with, for noisy SGD and for fine-tuning. A new one is a new file and a
line here."""

from __future__ import annotations

from typing import Final

from accountant.methods.about import OURS, About
from accountant.methods.ball import SmoothBall
from accountant.methods.base import Method
from accountant.methods.convex_ball import ConvexBall
from accountant.methods.d2d import DescentToDelete, ExactDescentToDelete
from accountant.methods.d2d_open import OpenDescentToDelete
from accountant.methods.d2d_stochastic import StochasticDescent
from accountant.methods.dp import PlainPrivacy
from accountant.methods.finetune import ClippingFormula, GradientClipping, ModelClipping
from accountant.methods.gap import Gap
from accountant.methods.langevin import Langevin
from accountant.methods.newton import ExactNewton, PublishedNewton
from accountant.methods.output import ExactOutputPerturbation, OutputPerturbation
from accountant.methods.pnsgd import BoundMethod, NotConverged
from accountant.methods.retrain import Retrain
from accountant.methods.rewind import ExactRewind, PublishedRewind, SmoothRewind
from accountant.methods.steps import StepBound, StepMethod

_BASIC: Final = "Renyi unlearning, basic conversion"
_OWN: Final = About(
    "noisy SGD",
    losses="convex",
    data=("replace", "zero-out", "remove"),
    requests=("one", "group", "stream"),
    code=OURS,
    year=None,
)
_PUBLISHED: Final = _OWN._replace(data=("replace", "zero-out"), code="Graph-COM/SGD_unlearning", year=2024)
_NOT_CONVERGED: Final = _PUBLISHED._replace(runs="noisy SGD in a ball, T epochs", requests=("one", "group"))
_PLAIN: Final = _OWN._replace(runs="noisy SGD, no unlearning", requests=("one", "group"))
METHODS: Final[dict[str, Method]] = {
    method.name: method
    for method in (
        BoundMethod("optimal", "noisy SGD, optimal shifts", bound="optimal", proves="mu-GDP per batch order", about=_OWN),
        BoundMethod("paper", "noisy SGD, published", bound="paper", proves=_BASIC, about=_PUBLISHED),
        BoundMethod(
            "paper-geometric", "noisy SGD, published, geometric", bound="paper-geometric", proves=_BASIC, about=_PUBLISHED
        ),
        NotConverged(
            "not-converged", "noisy SGD, published, not converged", bound="paper", proves=_BASIC, about=_NOT_CONVERGED
        ),
        BoundMethod(
            "pnsgd",
            "noisy SGD, the authors' accounting",
            bound="paper-geometric",
            first_bound="paper",
            proves=_BASIC,
            about=_PUBLISHED,
        ),
        Langevin(),
        Gap(
            "langevin-smooth",
            "Langevin unlearning, losses that need not be convex",
            source="Chien, Wang, Chen & Li, Langevin Unlearning, NeurIPS 2024 (arXiv 2401.10371), abstract and public code",
            reason="its log-Sobolev constant for losses that are not convex stands in no public text that could be read, nor "
            "in the authors' code, which is about strongly convex ones; smooth-ball is a bound on the same run",
            tightest="smooth-ball",
            about=About(
                "noisy gradient descent in a ball",
                losses="smooth",
                data=("replace",),
                requests=("one", "group", "stream"),
                code="Graph-COM/Langevin_unlearning",
                year=2024,
            ),
        ),
        SmoothBall(),
        ConvexBall(),
        DescentToDelete(),
        OpenDescentToDelete(),
        ExactDescentToDelete(),
        PublishedNewton(),
        ExactNewton(),
        Gap(
            "certified-removal",
            "certified removal, noise in the training loss, published",
            source="Guo, Goldstein, Hannun & van der Maaten, ICML 2020 (arXiv 1911.03030), quoted from secondary sources",
            reason="its proof treats what the Newton step misses as independent of the noise in the training loss, and small "
            "epsilons that it claims are false (docs/theory.md, Newton steps); newton-exact is the same step with noise on "
            "what is released",
            tightest="newton-exact",
            about=About(
                "one Newton step, noise in the training loss",
                losses="curved",
                data=("remove",),
                requests=("one", "group", "stream"),
                code="facebookresearch/certified-removal",
                year=2020,
            ),
        ),
        PublishedRewind(),
        SmoothRewind(),
        ExactRewind(),
        StochasticDescent(),
        Gap(
            "rewind-random",
            "Rewind- and Descent-to-Delete on random batches, published",
            source="Mu & Klabjan, Descend or Rewind? (arXiv 2511.15983)",
            reason="only its abstract could be read, which bounds the distance in expectation; a mean distance alone proves no "
            "(epsilon, delta); rewind-exact, rewind-smooth and d2d-stochastic are about fixed batches",
            tightest="rewind-smooth",
            about=About(
                "SGD on random batches, one noise at the end",
                losses="smooth",
                data=("replace",),
                requests=("one",),
                code=None,
                year=2025,
            ),
        ),
        Gap(
            "dp-convergent",
            "no unlearning, private learning in a ball, Hoelder gradients, published",
            source="Chien & Li, Convergent Privacy Loss of Noisy-SGD without Convexity and Smoothness, ICLR 2025 (arXiv "
            "2410.01068), abstract and reviews",
            reason="its theorems are minima over shifts and over how late they begin, in no closed form, and no public text "
            "that could be read states what is minimised; common steps of hoelder-nonconvex (docs/theory.md, Any modulus) "
            "are proved for unlearning under its assumption, and dp for learning with smooth convex losses",
            tightest="dp",
            about=About(
                "noisy SGD in a ball, no unlearning",
                losses="hoelder",
                data=("replace",),
                requests=("one",),
                code=None,
                year=2024,
            ),
        ),
        PlainPrivacy("dp", "no unlearning, private learning", bound="optimal", proves="mu-GDP per batch order", about=_PLAIN),
        Retrain(),
    )
}
#: Those that are about steps which both runs share, as in fine-tuning.
STEP_METHODS: Final[dict[str, StepMethod]] = {
    method.name: method
    for method in (
        StepBound(),
        ClippingFormula(),
        ModelClipping(),
        OutputPerturbation(),
        ExactOutputPerturbation(),
        GradientClipping(),
    )
}
__all__ = ["METHODS", "STEP_METHODS"]
