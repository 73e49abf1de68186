"""What a stream says in words: its guarantee and what that rests on, how it averages, why nothing is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from accountant.bounds import assumptions_of
from accountant.curves import Guarantee
from accountant.numerics import MAX_COUNT, shown
from accountant.problem import PNSGD, RANDOM, too_large
from accountant.questions import UnlearningAccountant
from accountant.requests.classes import counted_classes, said
from accountant.requests.rules import CurveAfter
from accountant.requests.state import StreamState


def stated(
    after: CurveAfter,
    *,
    accountant: UnlearningAccountant,
    settings: Mapping[str, Any],
    source: str,
    state: StreamState,
    points: int,
    steps: int,
    share: float,
) -> Guarantee:
    """The guarantee after one more request, of so many points of a class, answered with ``steps``; settings: of the stream."""
    sums = {"requests": state.requests + 1, "points": state.points + points, "steps": state.steps + steps}
    setting, placing = accountant.placing.setting, accountant.placing
    if setting.algorithm.own_draws and setting.algorithm.redraw is None:
        # The run that was answered for, where there was a choice.
        setting = replace(setting, algorithm=replace(setting.algorithm, redraw=after.redrawn > 0))
    lines = [*assumptions_of(setting, placing.batches, placing.group_size)]
    if sums["points"] > 1:
        lines.append(f"{sums['points']} points are deleted in {sums['requests']} requests; the guarantee is for them all")
    own = accountant.algorithm.norm_class
    lines += said(counted_classes(state.classes, share, points) if share < own else state.classes, sums["points"], own)
    if state.requests:
        earlier = "earlier requests count at their worst positions"
        if accountant.batches == RANDOM and accountant.bound == "optimal" and accountant.steps_per_epoch > 1:
            earlier = "earlier requests are averaged over positions, too, or count at their worst, whichever proves more"
        order = "draws" if setting.algorithm.own_draws else "batch order where the last one stopped"
        lines.append(f"each request goes on over the same {order}; {earlier}")
    retrained, context = "one retrained on what is left", {**settings, **sums, "source": source}
    if state.inserted:
        retrained = "one of the same history without the deleted records, newcomers included"
        lines.append(
            f"{state.inserted} records joined after the start; retraining from scratch on the final data is no reference"
        )
        context["inserted"] = state.inserted
    statement = (
        f"After {sums['requests']} request{'s'[: sums['requests'] != 1]}, answered with {sums['steps']} unlearning steps with "
        f"noise sigma={shown(settings['sigma'])}, the unlearned model is indistinguishable from {retrained}, up to the "
        f"curve given here ({accountant.bound} bound, batches {accountant.batches}, reference {accountant.reference})."
    )
    return Guarantee(**after.arguments, statement=statement, assumptions=tuple(lines), context=context)


def averaging(accountant: UnlearningAccountant, state: StreamState) -> str:
    """How placements are averaged: "exact", or in words where that is an upper bound."""
    if accountant.batches != RANDOM:
        return "exact"
    laws = accountant.bound == "optimal" and accountant.steps_per_epoch > 1
    if laws and accountant.algorithm.own_draws:
        return "exact" if state.points < 2 else "law of what all requests left, on a grid rounded up: an upper bound"
    if laws and state.requests > 1:
        return "older requests by the law of what they left, on a grid rounded up, or at their worst: an upper bound"
    if state.points == state.requests:
        return "exact"
    return "groups by the law of their placement, of which only convex functions are taken: an upper bound"


def out_of_reach(
    algorithm: PNSGD, settings: Mapping[str, Any], state: StreamState, *, most: int, points: int, most_steps: int
) -> str:
    """Why no number of steps (or epochs) up to ``most`` is enough; most_steps: in all, up to which rounding may be paid for."""
    why = "" if most_steps == MAX_COUNT else f": beyond {most_steps} steps in all rounding would cost too much"
    if algorithm.own_draws:
        reason = too_large(algorithm, settings["delta"], points=state.points + points)
        why = why if reason is None else f": {reason}"
    return (
        f"no number of {settings['unit']} up to {most} reaches epsilon={settings['epsilon']:g} at delta={settings['delta']:g} "
        f"with sigma={settings['sigma']:g} after {state.requests} earlier requests{why}"
    )
