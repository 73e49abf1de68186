"""Noisy SGD in a ball, for convex losses that need not be smooth: hinges, absolute errors, penalties on the 1-norm.

After the request unlearning and retraining take the same N steps along subgradients, by one rule, and each ends in the ball.
A step moves two models that are z apart to at most sqrt(((1 - eta m) z)^2 + (2 eta M)^2): see "Losses that are not smooth" in
docs/theory.md.
"""

from __future__ import annotations

from accountant.methods.about import OURS, About
from accountant.methods.ball import SmoothBall
from accountant.methods.steps import step_accountant
from accountant.numerics import shown
from accountant.problem import ConvexNonsmooth
from accountant.questions import Setup, StepAccountant


class ConvexBall(SmoothBall):
    """Common steps along subgradients from anywhere in the ball: a string, or blocks that contract."""

    name = "convex-ball"
    title = "noisy SGD in a ball, convex losses, smooth or not"
    source = "docs/theory.md, Losses that are not smooth"
    family = "convex-ball"
    tightest = "convex-ball"
    about = About(
        "noisy SGD in a ball", losses="lipschitz", data=("replace", "zero-out"),
        requests=("one", "group", "stream", "adaptive"), code=OURS, year=None,
    )  # fmt: skip

    def refusal(self, setup: Setup) -> str | None:
        if (reason := super().refusal(setup)) is not None:
            return reason
        eta, convexity = setup.algorithm.eta, setup.problem.strong_convexity
        if eta * convexity > 1:
            return f"step_size must be at most 1/strong_convexity = {1 / convexity:g} for {self.name}, got {eta:g}"
        return None

    def common(self, setup: Setup) -> StepAccountant:
        problem, algorithm = setup.problem, setup.algorithm
        steps = ConvexNonsmooth(
            step_size=algorithm.eta, weight_decay=problem.strong_convexity, lipschitz=problem.lipschitz,
            model_clip=float(algorithm.radius or 0),
        )  # fmt: skip
        return step_accountant(steps)

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        problem = setup.problem
        half = f"{shown(problem.strong_convexity)}/2 times the squared norm plus " if problem.strong_convexity else ""
        return (
            f"every point's loss is {half}a convex function, smooth or not, with subgradients of norm at most "
            f"{shown(problem.lipschitz)}, which both runs take by the same rule; smoothness counts for the default step size "
            "alone",
            *super().assumptions(setup)[1:],
        )
