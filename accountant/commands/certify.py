"""``accountant certify``: a certificate of a guarantee, for somebody who trusts neither the maker nor this program."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from accountant.commands import files, layout, paths, renamed, streams, telling, writing
from accountant.commands.options import NUMBER, DeltaOption, EpochsOption, Shared, SigmaOption, StepsOption, check_told
from accountant.numerics import InputError
from accountant.problem import DERIVED
from accountant.questions import KEYS, STEP_KEYS, merged

ClaimOption = Annotated[
    float | None, typer.Option(**NUMBER, help="epsilon >= 0 that is claimed; default: the smallest that is proved.")
]
OutputOption = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to, a .json file; default: standard output."),
    paths.Written(),
]
KeyOption = Annotated[
    str | None,
    typer.Option("--sign", metavar="FILE", help="Ed25519 private key (PEM) that signs the certificate; extra sign."),
    paths.Read(),
    renamed.Formerly("--key"),
]
RequestsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="CSV with columns points and steps, as plan --csv writes: a stream of requests; no --epochs, --steps.",
    ),
    paths.Read(),
]
DistanceOption = Annotated[
    float | None, typer.Option(**NUMBER, help="Bound on the distance of the two models when unlearning starts.")
]
_KINDS: Final = ("json",)
#: Bytes of a requests file that are read.
_LARGEST: Final = 1 << 22


def certify(
    shared: Shared,
    sigma: SigmaOption,
    epsilon: ClaimOption = None,
    delta: DeltaOption = None,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    requests: RequestsOption = None,
    start_distance: DistanceOption = None,
    output: OutputOption = None,
    key: KeyOption = None,
) -> None:
    """A certificate that (epsilon, delta) holds, which accountant check verifies; exit code 1 if it is not proved.

    Example: accountant certify --preset mnist --batch-size 128 --sigma 0.03 --epochs 1 --epsilon 1 -o certificate.json
    """
    from accountant.certificates import certify as make_certificate

    stream = None
    if requests is not None:
        if epochs is not None or steps is not None:
            raise InputError("epochs and steps must not be given with requests, which say how long unlearning is")
        stream = _requests(requests)
    origins = _origins(shared, {"sigma": sigma, "epsilon": epsilon, "delta": delta, "start_distance": start_distance})

    def make(**options: Any) -> Any:
        return make_certificate(
            shared.accountant, sigma=sigma, epsilon=epsilon, delta=delta, epochs=epochs, steps=steps,
            start_distance=start_distance, requests=stream, origins=origins, **options,
        )  # fmt: skip

    writing.check(None if output is None else [output], _KINDS)
    accountant = shared.accountant
    noise = telling.noise_line(accountant.algorithm.noise_std(sigma))
    _written(shared, make, output, key, [noise, *accountant.assumptions()])


def certify_steps(
    shared: Shared, *, sigma: float, epsilon: float | None, delta: float | None, epochs: int | None, steps: int | None,
    requests: str | None, start_distance: float | None, output: str | None, key: str | None,
) -> None:  # fmt: skip
    """``accountant certify`` of noisy steps that both runs share."""
    from accountant.certificates import certify_steps as make_certificate

    name = shared.step_accountant.algorithm.name
    if epochs is not None:
        raise InputError(f"epochs must be left out for {name}: common steps are counted one by one; give --steps")
    if requests is not None:
        raise InputError(f"requests must be left out for {name}: every request starts again from a clipped model")
    if shared.step_accountant.schedule is not None:
        raise InputError(f"schedule must be left out for a certificate of {name}, which is of one step size and one noise")
    check_told(name, steps=steps, delta=delta)
    assert steps is not None
    assert delta is not None
    in_file = {} if shared.problem is None else merged({}, problem_file=shared.problem)
    target = {"sigma": sigma, "epsilon": epsilon, "delta": delta, "steps": steps, "start_distance": start_distance}
    settings = {name: shared.options.get(name) for name in ("algorithm", *STEP_KEYS)}
    origins = {
        name: "given" if value is not None and in_file.get(name) != value else "problem file" if name in in_file else "default"
        for name, value in {**settings, **target}.items()
    }

    def make(**options: Any) -> Any:
        return make_certificate(
            shared.step_accountant, sigma=sigma, epsilon=epsilon, delta=delta, steps=steps, start_distance=start_distance,
            origins=origins, **options,
        )  # fmt: skip

    writing.check(None if output is None else [output], _KINDS)
    _written(shared, make, output, key, shared.step_accountant.assumptions())


def _written(shared: Shared, make: Callable[..., Any], output: str | None, key: str | None, assumptions: Sequence[str]) -> None:
    """What ``make(problem_file=..., progress=...)`` makes: signed, checked, written and told."""
    from accountant.bounds import to_check
    from accountant.certificates import ClaimError, canonical, check_again, load_key, sign

    private = None if key is None else load_key(_bytes("key", key))
    problem_file = None if shared.problem is None else _bytes("problem", shared.problem)
    with files.replacing("output", output) as part:
        try:
            with files.progress("proving", counted=False) as progress:
                made = make(problem_file=problem_file, progress=progress)
        except ClaimError as error:
            print(f"Not certified: {error}")
            raise typer.Exit(1) from None
        if private is not None:
            made = sign(made, private)
        text = canonical(made)
        check_again(text)
        if part is not None:
            part.write_bytes(text)
    if part is None:
        print(text.decode())
        return
    told = {
        "assumptions": list(assumptions), "to_check": to_check(assumptions),
        "constants": None if shared.stepping is not None else shared.stated.to_dict(),
        "next": shlex.join(["accountant", "check", str(output)]),
    }  # fmt: skip
    if shared.json:
        summary = {key: made[key] for key in ("statement", "inputs", "result", "digests", "software", "time")}
        print(json.dumps({"command": "certify", "file": output, "bytes": len(text), **summary, **told}))
        return
    _show(made, f"{output} ({len(text)} bytes)", told, verbose=shared.verbose)


def _show(made: Mapping[str, Any], place: str, told: Mapping[str, Any], *, verbose: bool) -> None:
    inputs = made["inputs"]
    screen = layout.console()
    claim = f"epsilon = {inputs['epsilon']} at delta = {inputs['delta']} is certified, and written to {place}."
    screen.print(layout.text(claim, style="bold"))
    screen.print(layout.text(made["statement"]))
    rows = [
        ("epsilon proved", f"{made['result']['epsilon'][1]} at delta = {inputs['delta']}"),
        ("digest", made["digests"]["content"]),
        ("signed", "no" if made["signature"] is None else f"by {made['signature'].split(' ')[1]}"),
    ]
    screen.print(layout.facts(rows))
    lines = told["assumptions" if verbose else "to_check"]
    telling.closing(screen, lines, told["next"], verbose=verbose)


def _bytes(name: str, path: str) -> bytes:
    data = files.contents(name, path, _LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError(f"{name} file {path} must have at most {_LARGEST} bytes")
    return data


def _requests(path: str) -> list[tuple[int, int]]:
    from accountant.tables import Table

    found: list[tuple[int, int]] = []
    with files.rereadable("requests file", path) as source:
        table = Table(source, name=path, what="requests file", plain=True)
        for name in ("points", "steps"):
            if name not in table.columns:
                has = ", ".join(table.columns) or "none"
                raise InputError(f"requests file {path} must have one column points and one column steps, got {has}")
        for row in table.rows():
            where = f"line {row.line} of requests file {Path(path).name}"
            if row.fault is not None:
                raise InputError(f"{where}: {row.fault}")
            try:
                points, steps = (int(row.cells[column]) for column in ("points", "steps"))
            except ValueError:
                got = [row.cells[column] for column in ("points", "steps")]
                raise InputError(f"{where} must have whole numbers of points and steps, got {got}") from None
            found.append((points, steps))
    return found


def _origins(shared: Shared, target: dict[str, Any]) -> dict[str, str]:
    """Where each constant came from: an option, the problem file, a preset or a default."""
    in_file = {} if shared.problem is None else merged({}, problem_file=shared.problem)
    names = [*KEYS["problem"], *KEYS["algorithm"], "reference"]
    origins = {}
    stated = shared.stated
    for name in names:
        option = shared.options.get(name)
        if option is not None and option != "default":
            origins[name] = "given"
        elif name in in_file and option is None:
            origins[name] = "problem file"
        elif stated.preset is not None and name in ("n", *DERIVED):
            origins[name] = f"preset {stated.preset}"
        elif stated.derivation is not None and name in DERIVED:
            origins[name] = streams.ascii_text(f"follows from the {stated.derivation.about}")
        else:
            origins[name] = "default: 1/smoothness" if name == "step_size" else "default"
    for name, value in target.items():
        if value is None:
            origins[name] = "default: 1/n" if name == "delta" else "default"
        else:
            origins[name] = "problem file" if in_file.get(name) == value else "given"
    return origins
