"""``accountant audit``: run the reference trainer many times, and see how far its output can be told from retraining."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from accountant.commands import choices, files, layout, paths, pictures, present, renamed, writing
from accountant.commands.options import COUNT, NUMBER
from accountant.numerics import InputError, Progress, check_jobs, choice, digits, integer, number

if TYPE_CHECKING:
    from accountant.numerics import Floats
    from accountant.trainer import Audit, Claim, Instance


def _faults() -> list[str]:
    from accountant.trainer import FAULTS

    return list(FAULTS)


_PRESETS: Final = ("small", "gaussian", "logistic", "stream", "zero-out", "finite", "secret", "linear", "mnist")
PresetOption = Annotated[
    str,
    typer.Option(
        "--instance",
        **choices.closed(*_PRESETS),
        help="What is run: small (both of: gaussian, where the exact distance is known; logistic, few points), stream (three "
        "requests), zero-out, finite (two epochs of learning, accounted for as such), secret (records that draw batches by "
        "themselves), linear (gaussian, stream, zero-out, finite and secret) or mnist (needs --data).",
    ),
    renamed.Formerly("--preset"),
]
TrialsOption = Annotated[
    int | None, typer.Option(**COUNT, help="Trials of each of the two laws, at least 100; default 20000, for mnist 500.")
]
ConfidenceOption = Annotated[float, typer.Option(**NUMBER, help="Confidence of each lower bound, between 0 and 1.")]
SeedOption = Annotated[int | None, typer.Option(**COUNT, help="Seed >= 0, for the same result again.")]
FaultOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=choices.completing(_faults),
        help="Break the trainer first, to see that it is found: half-noise, short (one epoch too few), one-step (too few), "
        "kept, silent-step, wrong-batch or divisor; with --instance secret also one-draw, ordered, stand-in or sizes.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        **COUNT, help="Processes that share the trials, or -1 for one on each processor; default 1. The result is the same."
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="MNIST for the preset mnist: a .npz file, or a folder with IDX files."),
    paths.Read(files.of_data),
]
_KINDS: Final = ("json", *writing.PICTURES)
OutputOption = Annotated[list[str] | None, writing.option(*_KINDS), writing.FILES]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.svg."), paths.Written(), renamed.Old("-o FILE.svg")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
#: Those of several instances.
_TOGETHER: Final = {"small": ("gaussian", "logistic"), "linear": ("gaussian", "stream", "zero-out", "finite", "secret")}


def audit(
    *,
    preset: PresetOption = "small",
    trials: TrialsOption = None,
    confidence: ConfidenceOption = 0.99,
    seed: SeedOption = None,
    fault: FaultOption = None,
    jobs: JobsOption = None,
    data: DataOption = None,
    plot: PlotOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Lower bounds on epsilon and mu from trials of unlearning against retraining, beside what is claimed.

    Exit code 1 if a claim of optimal or paper is refuted, which only a broken trainer (--fault) should bring about.

    Example: accountant audit --instance small --trials 20000
    """
    if _audit(preset, trials, confidence, seed, fault, jobs, data, plot, output, json):
        raise typer.Exit(1)


def _audit(
    preset: str,
    trials: int | None,
    confidence: float,
    seed: int | None,
    fault: str | None,
    jobs: int | None,
    data: str | None,
    plot: str | None,
    output: list[str] | None,
    as_json: bool,
) -> bool:
    from accountant._version import __version__
    from accountant.trainer import FAULTS, LEAST, check_fault
    from accountant.trainer import audit as run_audit

    choice("preset", preset, _PRESETS)
    count = integer("trials", (500 if preset == "mnist" else 20_000) if trials is None else trials, at_least=LEAST)
    number("confidence", confidence, above=0, below=1)
    if fault is not None:
        choice("fault", fault, tuple(FAULTS))
    check_jobs(jobs)
    if (data is None) == (preset == "mnist"):
        raise InputError("data must be given with preset=mnist, and with no other")
    writing.check(output, _KINDS)
    instances = _instances(preset, data)
    for instance in instances:
        check_fault(fault, instance.algorithm, instance.name)
    with writing.writing(output, _KINDS, plot=plot) as targets, files.progress("trials") as progress:
        made = [
            run_audit(
                instance, trials=count, confidence=confidence, seed=seed, fault=fault, jobs=jobs,
                progress=_part(progress, at, len(instances)),
            )
            for at, instance in enumerate(instances)
        ]  # fmt: skip
        result = {"command": "audit", "audits": [one.to_dict() for one in made], "version": __version__}
        writing.write(targets, lambda: result, picture=lambda part, kind: _draw(part, kind, made, instances))
    refuted = any(one.violated for one in made)
    if as_json:
        print(json_module.dumps(result, allow_nan=False))
    else:
        for one in made:
            _show(one)
    return refuted


def _part(progress: Progress, at: int, parts: int) -> Progress:
    """Progress of one of several equal parts."""
    return lambda done, total: progress(at * total + done, parts * total)


def _instances(preset: str, data: str | None) -> list[Instance]:
    from accountant.trainer import data_instance, gaussian_instance, logistic_instance, secret_instance

    if preset == "mnist":
        from accountant.trainer import load

        assert data is not None
        digits = load(data)
        return [data_instance(digits.features, digits.labels)]
    makers: dict[str, Callable[[], Instance]] = {
        "gaussian": gaussian_instance,
        "logistic": logistic_instance,
        "stream": lambda: gaussian_instance(requests=3),
        "zero-out": lambda: gaussian_instance(adjacency="zero-out"),
        # A start that is still there would hide an epoch too few.
        "finite": lambda: gaussian_instance(learn_epochs=2, contraction=0.6),
        "secret": secret_instance,
    }
    return [makers[name]() for name in _TOGETHER.get(preset, (preset,))]


def _show(one: Audit) -> None:
    screen = layout.console()
    if one.violated:
        screen.print(f"[bold red]REFUTED: the trials contradict {' and '.join(one.violated)}[/bold red]")
    else:
        found, claim = digits(one.epsilon_lower, 4, down=True), min(one.claims, key=lambda claim: claim.epsilon)
        said = f"epsilon is at least {found}, and {present.rough(claim.epsilon)} is claimed."
        screen.print(layout.text(f"No claim is refuted, which proves none: {said}", style="bold"))
    screen.print(f"{one.instance}: {one.description}", style="italic")
    table = layout.Grid(["", f"epsilon at delta = {one.delta:.4g}", "mu"], names=1, padding=(1, 1))
    at = f"{100 * one.confidence:g} % lower bound"
    table.add_row(f"{at}, any law", _down(one.epsilon_lower), "-")
    if any(claim.mu is not None for claim in one.claims):
        table.add_row(f"{at}, GDP", _down(one.epsilon_gdp_lower), _down(one.mu_lower))
    if one.mu_exact is not None:
        from accountant.curves import gdp_epsilon

        exact = float(gdp_epsilon(delta=one.delta, mu=one.mu_exact))
        table.add_row("exact", present.rough(exact), present.rough(one.mu_exact))
    for claim in one.claims:
        table.add_row(f"claimed by {claim.bound}", present.rough(claim.epsilon), present.rough(claim.mu))
    screen.print(table)
    trials = f"{one.trials} trials of unlearning and as many of retraining, sigma = {one.sigma:.4g}"
    screen.print(trials + ("" if one.fault is None else f", with the trainer broken on purpose: {one.fault}"))
    screen.print()


def _down(value: float) -> str:
    return digits(value, 4, down=True)


def _least(instance: Instance, claim: Claim, errors: Floats) -> Floats | None:
    """Errors of type II that a claim allows beside those of type I; None of published streams, which say epsilon only."""
    import numpy as np

    from accountant.curves import gdp_tradeoff

    if not instance.later:
        guarantee = instance.accountant(claim.bound).guarantee(sigma=instance.sigma, epochs=instance.unlearn_epochs)
        return guarantee.tradeoff(errors)
    return None if claim.mu is None else np.asarray(gdp_tradeoff(type_i=errors, mu=claim.mu))


def _draw(path: Path, kind: str, made: list[Audit], instances: list[Instance]) -> None:
    import numpy as np

    figure, panels = pictures.figure(rows=len(made), height=3.4)
    for axes, one, instance in zip(panels, made, instances, strict=True):
        x = np.linspace(0, 1, 400)
        for style, claim in enumerate(one.claims):
            least = _least(instance, claim, x)
            if least is not None:
                label = f"least that {claim.bound} allows"
                pictures.line(axes, x, least, style, label=label, marker="", linewidth=1.8)
        alpha, beta = zip(*one.errors, strict=True)
        pictures.reported(axes, alpha, beta, first=True, label="threshold tests, counted", markersize=5)
        axes.set_xlabel("type I error (retrained taken for unlearned)")
        axes.set_ylabel("type II error")
        fault = "" if one.fault is None else f", broken: {one.fault}"
        axes.set_title(f"{one.instance}, {one.trials} trials{fault}", loc="left", fontsize=11)
        pictures.legend(axes)
    pictures.save(figure, path, kind)
