"""Plans of backends whose algorithm is declared: its constants stand in a problem file, and the accountant does the rest.

    problem      what ``accountant sigma --problem FILE`` takes, with the target: sigma and epsilon, and delta
    steps        of common steps, such as fine-tuning, instead of sigma or epsilon
    past         of noisy SGD, what the model has answered before this ledger began: [[points, steps], ...]

Of noisy SGD on batches every request goes on from the one before, as :class:`~accountant.requests.UnlearningStream` counts
them; of common steps every request begins anew with a clipped model, and takes as many steps as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final

from accountant.curves import Guarantee
from accountant.ledger.backends import Past, Plan, Result, Row, RunFailedError
from accountant.ledger.disclosing import DISCLOSE, check_disclosed, discloses
from accountant.ledger.settings import Settings
from accountant.numerics import InputError, UnreachableError, integer, number
from accountant.problem import SECRET, Stepping
from accountant.questions import (
    SCHEDULE,
    TARGET,
    StepAccountant,
    StepOutcome,
    UnlearningAccountant,
    load,
    merged,
    step_schedule,
    stepping_of,
)
from accountant.requests import UnlearningStream
from accountant.trainer import requested

#: Arguments that every such backend has.
ARGUMENTS: Final = ("problem", "steps", "past", "refit_steps", DISCLOSE)


def read_problem(path: str | PathLike[str]) -> dict[str, Any]:
    """The constants in a problem file, as the argument ``problem`` has them: a ledger keeps them, not the file's name."""
    return merged({}, problem_file=path)


class Declared:
    """What such backends share. Arguments: ``problem`` and ``steps``, refit_steps (of learning again), and ``own`` ones."""

    own: tuple[str, ...] = ()

    def __init__(self, settings: Settings) -> None:
        self.settings, arguments = settings, settings.arguments
        for name in sorted(set(arguments) - {*ARGUMENTS, *self.own}):
            known = ", ".join([*ARGUMENTS, *self.own])
            raise InputError(f"arguments must be some of {known} for backend {settings.backend}, got {name!r}")
        problem = arguments.get("problem")
        if not isinstance(problem, Mapping):
            got = "nothing" if problem is None else type(problem).__name__
            raise InputError(f"problem must be the algorithm's constants, as in a problem file, got {got}")
        discloses(settings)
        self._problem: dict[str, Any] = dict(problem)
        self._steps = arguments.get("steps")
        if self._steps is not None:
            integer("steps", self._steps, at_least=1)
        if arguments.get("refit_steps") is not None:
            integer("refit_steps", arguments["refit_steps"], at_least=1)
        self._before = _checked_past(arguments.get("past", ()))
        self._past: list[Past] = list(self._before)
        self._made: _Common | _Stream | None = None
        self.guarantee: Guarantee | None = None

    def check(self) -> None:
        """Refuse constants that answer no request, and a ledger whose every run would fail."""
        self._planning().plan(1)

    def check_rows(self, rows: Iterable[Row]) -> None:
        """Numbers only: names could be of people, and would stand in a file."""
        for row in rows:
            if isinstance(row, bool) or not isinstance(row, int):
                raise InputError(
                    f"rows must be whole numbers for backend {self.settings.backend}, got {type(row).__name__} {row!r}"
                )

    def check_join(self) -> None:
        """Records may join where requests do not pile up: every run begins with a clipped model, whatever was learned."""
        if isinstance(self._planning(), _Stream):
            raise InputError("records cannot join with noisy SGD on batches, whose problem counts n: begin a new ledger")

    def follow(self, past: Sequence[Past]) -> None:
        self._past, self._made = [*self._before, *past], None

    def plan(self, rows: Sequence[Row]) -> Plan:
        try:
            self.check_rows(rows)
        except InputError:
            raise RunFailedError(f"rows must be whole numbers for backend {self.settings.backend}") from None
        plan, self.guarantee = self._planning().plan(len(rows))
        return plan

    def foreseen(self, points: Sequence[int]) -> list[int]:
        return self._planning().foreseen(points)

    def plan_refit(self, rows: Sequence[Row]) -> Plan:
        """Its length is refit_steps, of noisy SGD else as long as learning was."""
        planning = self._planning()
        steps = self.settings.arguments.get("refit_steps") or planning.learned
        if steps is None:
            raise RunFailedError("refit_steps must be given: nobody can tell what learning again takes")
        return Plan(points=len(rows), steps=int(steps), sigma=None, epsilon=0.0, delta=planning.delta)

    def certify(self, model: Path, path: Path, key: Path | None) -> None:
        """Of the last run that was followed: that so many steps as the problem says prove this. Whether they ran as it says is
        another matter, and declared where nobody looked into it."""
        from accountant.certificates import ClaimError, load_key, save, sign

        last = self._past[-1]
        self._past, self._made = self._past[:-1], None
        try:
            made = self._planning().certificate(last.points, last.steps)
        except ClaimError as error:
            raise InputError(str(error)) from None
        save(made if key is None else sign(made, load_key(key.read_bytes())), path)

    def declared_result(self, model: object, plan: Plan, steps: int, what: str) -> Result:
        """The result of a run that nobody looked into. what: what ran, "a command ran"."""
        assert self.guarantee is not None
        own = (
            *self._planning().taken,
            f"that {plan.steps} noisy steps ran as the problem says is declared by the operator: {what}, nobody looked into it",
            "the removed rows are gone from the data that it reads, those of earlier requests, too",
        )
        return Result(
            model=model, steps=steps, statement=f"As declared, not checked: {self.guarantee.statement}",
            assumptions=(*own, *self.guarantee.assumptions), epsilon=plan.epsilon, delta=plan.delta,
        )  # fmt: skip

    def _planning(self) -> _Common | _Stream:
        if self._made is None:
            algorithm = stepping_of(self._problem, scheduled=True)
            if algorithm is not None and self._before:
                raise InputError(f"past must be left out for {algorithm.name}: its requests do not pile up")
            made = _Stream(self._problem, self._steps, self._past) if algorithm is None else self._common(algorithm)
            if isinstance(made, _Stream) and made.stream.accountant.algorithm.norm_class < 1:
                check_disclosed(self.settings, "norm_class")
            self._made = made
        return self._made

    def _common(self, algorithm: Stepping) -> _Common:
        return _Common(StepAccountant(algorithm, schedule=step_schedule(self._problem)), _target(self._problem), self._steps)


class _Common:
    """Steps that both runs share: requests do not pile up."""

    learned: int | None = None
    #: What is taken for granted besides.
    taken: tuple[str, ...] = ()

    def __init__(self, accountant: StepAccountant, target: Mapping[str, float], steps: int | None) -> None:
        accountant.check()
        stages = accountant.stages
        closed = stages is not None and not stages.open
        if "delta" not in target:
            raise InputError("delta must be given in the problem: there is no n, and so no default 1/n")
        told = [name for name, there in (("sigma", "sigma" in target), ("epsilon", "epsilon" in target)) if there]
        told += ["steps"] if steps is not None or closed else []
        if len(told) != 2:
            raise InputError(f"two of sigma, epsilon and steps must be given, got {' and '.join(told) or 'none'}")
        self.accountant, self.target, self.steps, self.delta = accountant, target, steps, target["delta"]
        self._answered: tuple[Plan, Guarantee] | None = None

    def plan(self, points: int) -> tuple[Plan, Guarantee]:
        if self._answered is None:
            sigma, count, outcome = self._outcome()
            epsilon = self.target.get("epsilon", outcome.answer)
            plan = Plan(points=points, steps=count, sigma=sigma, epsilon=float(epsilon), delta=self.delta)
            self._answered = plan, outcome.guarantee
        plan, guarantee = self._answered
        values = {**plan.to_dict(), "points": points}
        return Plan(**values), guarantee

    def _outcome(self) -> tuple[float, int, StepOutcome]:
        sigma, epsilon, steps = self.target.get("sigma"), self.target.get("epsilon"), self.steps
        if sigma is None:
            sigma = float(self._asked("sigma", epsilon=epsilon, delta=self.delta, steps=steps).answer)
        elif epsilon is not None:
            steps = int(self._asked("steps", sigma=sigma, epsilon=epsilon, delta=self.delta).answer)
        outcome = self._asked("epsilon", sigma=sigma, delta=self.delta, steps=steps)
        return sigma, outcome.step_count, outcome

    def _asked(self, unknown: Any, **question: Any) -> StepOutcome:
        outcome = self.accountant.ask(unknown, **question)
        for reason in outcome.refusals.values():
            raise UnreachableError(reason)
        return outcome

    def foreseen(self, points: Sequence[int]) -> list[int]:
        return [self.plan(each)[0].steps for each in points]

    def certificate(self, points: int, steps: int) -> Any:
        from accountant.certificates import certify_steps

        plan, _ = self.plan(points)
        assert plan.sigma is not None
        return certify_steps(self.accountant, sigma=plan.sigma, steps=steps, delta=self.delta, epsilon=plan.epsilon)


class _Stream:
    """Noisy SGD on batches: every request is counted with all before it, since learning began."""

    def __init__(self, problem: Mapping[str, Any], steps: int | None, past: Sequence[Past]) -> None:
        if steps is not None:
            raise InputError("steps must be left out for noisy SGD on batches: the accountant finds them")
        target = _target(problem)
        missing = [name for name in ("sigma", "epsilon") if name not in target]
        if missing:
            raise InputError(f"{' and '.join(missing)} must be given in the problem: the noise of every step, and the target")
        options = {name: value for name, value in problem.items() if name not in TARGET}
        accountant = load(options).accountant
        if options.get(SCHEDULE) is not None:
            raise InputError("schedule must be left out for noisy SGD on batches: streams of requests have none")
        self.delta = target.get("delta", accountant.default_delta)
        begins = max((at + 1 for at, run in enumerate(past) if run.what == "refit"), default=0)
        if begins:
            gone = sum(run.points for run in past[:begins])
            accountant = load({**options, "n": accountant.algorithm.problem.n - gone}).accountant
        if any(run.what == "join" for run in past):
            raise RunFailedError("records have joined, which the constants of the problem do not count: begin a new ledger")
        self.taken = (
            "the model had answered no request when this ledger began but those that past says, and what was learned, in which "
            "order, is what the problem says",
        )
        self.stream = _stream(accountant, target, self.delta)
        self.past = [(run.points, run.steps) for run in past[begins:]]
        self._options = accountant, target
        for points, ran in self.past:
            self.stream.answer(points, ran)
        learned = accountant.algorithm.learn_epochs
        self.learned = None if learned is None else learned * accountant.algorithm.steps_per_epoch

    def plan(self, points: int) -> tuple[Plan, Guarantee]:
        planned, stream = self.stream.planned(points), self.stream
        evaluations, ran = stream.accountant.algorithm.gradient_evaluations, stream.total_steps
        plan = Plan(
            points=points, steps=planned.steps, sigma=stream.sigma, epsilon=stream.epsilon, delta=stream.delta,
            gradient_evaluations=evaluations(ran + planned.steps) - evaluations(ran),
        )  # fmt: skip
        return plan, planned.guarantee

    def foreseen(self, points: Sequence[int]) -> list[int]:
        return requested(self.stream, points)

    def certificate(self, points: int, steps: int) -> Any:
        from accountant.certificates import certify, certify_stream

        accountant, target = self._options
        stream = self.stream.ahead()
        stream.answer(points, steps)
        try:
            return certify_stream(stream, [*self.past, (points, steps)], epsilon=stream.epsilon)
        except InputError:
            if accountant.algorithm.assignment == SECRET:
                raise
        # With earlier requests at their worst, and without a ball, as much may be proved.
        return certify(
            accountant, sigma=target["sigma"], epsilon=target["epsilon"], delta=self.delta,
            requests=[*self.past, (points, steps)],
        )  # fmt: skip


def _stream(accountant: UnlearningAccountant, target: Mapping[str, float], delta: float) -> UnlearningStream:
    return UnlearningStream(accountant, sigma=target["sigma"], epsilon=target["epsilon"], delta=delta)


def _checked_past(past: object) -> list[Past]:
    if not isinstance(past, list | tuple) or not all(isinstance(each, list | tuple) and len(each) == 2 for each in past):
        raise InputError(f"past must be a list of [points, steps], got {past!r}")
    return [
        Past(what="unlearn", points=integer("past", points, at_least=1), steps=integer("past", steps, at_least=0))
        for points, steps in past
    ]


def _target(problem: Mapping[str, Any]) -> dict[str, float]:
    return {name: number(name, problem[name], at_least=0) for name in TARGET if name in problem}
