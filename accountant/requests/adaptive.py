"""Requests chosen in knowledge of released models: what all releases tell together about any one point."""

from __future__ import annotations

from dataclasses import replace

from accountant.curves import Guarantee
from accountant.numerics import InputError, integer, shown
from accountant.problem import RESHUFFLE, WORST
from accountant.questions import UnlearningAccountant


def about_every_point(accountant: UnlearningAccountant, *, sigma: float, releases: int) -> Guarantee:
    """What ``releases`` >= 1 models of one run tell together about any one point, whoever chose the requests and when.

    Every released model, learned or unlearned, hides each point that it was trained on as well as a model does that is released
    right after a visit to it; conditioned on what was released before, each further one does so again, and the whole composes
    (adaptive composition of Gaussian differential privacy, Dong, Roth & Su 2022). So for one point, named beforehand, all
    releases together are as likely, up to the curve, as if it had been replaced before learning. It is no guarantee about the
    unlearned model alone, and a request that depends on released models has no other.

    sigma > 0 as everywhere; the accountant's bound must be optimal, its run constant and matched. Raises InputError otherwise.

    >>> from accountant import PNSGD, preset
    >>> run = UnlearningAccountant(PNSGD(preset("mnist"), 128))
    >>> [round(float(about_every_point(run, sigma=0.1, releases=k).epsilon(1e-5)), 3) for k in (1, 4)]
    [0.79, 1.695]
    """
    count = integer("releases", releases, at_least=1)
    if accountant.bound != "optimal" or not accountant.constant or accountant.starts_apart or accountant.reference != "matched":
        raise InputError("releases compose under bound=optimal, reference=matched and a constant algorithm without schedule")
    if accountant.batches == RESHUFFLE:
        raise InputError(
            "batches must keep their order for releases to compose, got reshuffle: a point could be visited twice in a row"
        )
    # A point that stays is visited in every epoch of unlearning others too: as often as if learning never ended.
    endless = replace(accountant.algorithm, learn_epochs=None)
    if endless.log_contraction == 0 and endless.radius is None:
        raise InputError(
            "releases compose with strong_convexity > 0 or a radius only: without them every visit adds to what is told"
        )
    one = UnlearningAccountant(endless, batches=WORST).guarantee(sigma=sigma, steps=0)
    lines = [
        line for line in one.assumptions if "any model learned or released" not in line and "released, unlearned" not in line
    ]
    lines += [
        "requests may depend on everything that was released before; they do not depend on the batch order or on secret models",
        "every step of learning and unlearning has its own noise; the guarantee is about one point at a time",
    ]
    plural = "model" if count == 1 else "models"
    share = accountant.algorithm.norm_class
    among = f"any one point of the norm class {shown(share)}" if share < 1 else "any one point"
    statement = (
        f"{count} released {plural} of one run with noise sigma={sigma!r} together tell no more than the curve given here "
        f"whether {among}, named beforehand, was learned or replaced from the start."
    )
    composed = one.self_compose(count)
    return replace(composed, statement=statement, assumptions=tuple(lines))
