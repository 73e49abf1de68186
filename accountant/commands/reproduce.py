"""``accountant reproduce``: the published tables and figures beside what was reported, accounted for or run anew."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import choices, drawings, experiments, files, layout, paths, present, renamed, writing
from accountant.commands.options import COUNT, PrecisionOption
from accountant.numerics import InputError, choice

if TYPE_CHECKING:
    from accountant.reproduction import Record, Reproduction

_EXPERIMENTS: Final = "Experiments"


def _made(folder: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The files that an experiment writes to a folder."""
    from accountant.reproduction import EXPERIMENTS

    for name in EXPERIMENTS if values["what"] is None else (values["what"],):
        yield from experiments.places(folder, name).values()


WhatArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="WHAT",
        autocompletion=choices.completing(choices.reproduced),
        help="table1, table2, table3, figure2, figure3b or figure3d of the paper; noisy-finetuning: published fine-tuning of "
        "networks; with --out or --data the experiment of figure3a, figure3b, figure3c or figure3d.",
        show_default=False,
    ),
]
OutOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Run the experiment, and write rows (CSV) and pictures (PNG, SVG) to this folder.",
        rich_help_panel=_EXPERIMENTS,
    ),
    paths.Written(_made),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Run it on MNIST: a .npz file of train_images, train_labels, test_images and test_labels, or a folder of IDX "
        "files; default scikit-learn's small digits.",
        rich_help_panel=_EXPERIMENTS,
    ),
    paths.Read(files.of_data),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(**COUNT, help="Independent runs of each setting, >= 1; default 20.", rich_help_panel=_EXPERIMENTS),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        **COUNT, help="Of all randomness, >= 0; the same files from the same seed; default 0.", rich_help_panel=_EXPERIMENTS
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        **COUNT,
        help="Processes that share the settings, or -1 for one on each processor; default 1. The rows are the same.",
        rich_help_panel=_EXPERIMENTS,
    ),
]
KeepOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Keep finished settings in this file, and go on from those that it has; default unfinished.json in --out, until "
        "all is written.",
        rich_help_panel=_EXPERIMENTS,
    ),
    paths.Written(),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
OutputOption = Annotated[list[str] | None, writing.option(*writing.ROWS_AND_PICTURES), writing.FILES]
CsvOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.csv."), paths.Written(), renamed.Old("-o FILE.csv")
]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.svg."), paths.Written(), renamed.Old("-o FILE.svg")
]
AllOption = Annotated[bool, typer.Option("--all", help="Print every row, however many; without WHAT: run all experiments.")]
#: Figures with nothing to account for without training.
_ONLY_RUN: Final = ("figure3a", "figure3c")
#: Rows printed of a longer table.
_SHOWN: Final = 60
_TITLES: Final = {
    "difference": "off_by", "batch_size": "batch", "optimal_gradient_evaluations": "optimal_gradients", "epsilon": "eps",
    "epochs": "K",
}  # fmt: skip


def reproduce(
    what: WhatArgument = None,
    *,
    out: OutOption = None,
    data: DataOption = None,
    trials: TrialsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    keep: KeepOption = None,
    json: JsonOption = False,
    csv: CsvOption = None,
    plot: PlotOption = None,
    output: OutputOption = None,
    all: AllOption = False,
    precision: PrecisionOption = None,
) -> None:
    """Tables and figures of Chien, Wang, Chen & Li (NeurIPS 2024): the accounting, beside the reported values.

    With --out or --data the experiment behind a figure is run: noise and epochs from the accountant, accuracies from training.

    Examples: accountant reproduce table3; accountant reproduce figure3a --data mnist.npz --out figures --trials 20
    """
    if out is None and data is None:
        given = {"trials": trials, "seed": seed, "jobs": jobs, "keep": keep}
        for name in (name for name, value in given.items() if value is not None):
            raise InputError(f"{name} must go with out or data: without them nothing is run")
        _reproduce(what, json, csv, plot, output, all, precision)
    else:
        if precision is not None:
            raise InputError("precision must be left out where an experiment is run")
        if output:
            raise InputError("output must be left out where an experiment is run: out is the folder of all its files")
        _experiment(what, out, data, trials, seed, jobs, keep, json, csv, plot, all)


def _experiment(
    what: str | None,
    out: str | None,
    data: str | None,
    trials: int | None,
    seed: int | None,
    jobs: int | None,
    keep: str | None,
    as_json: bool,
    csv: str | None,
    plot: str | None,
    everything: bool,
) -> None:
    from accountant.reproduction import EXPERIMENTS

    for name, value in (("csv", csv), ("plot", plot)):
        if value is not None:
            raise InputError(f"{name} must be left out where an experiment is run: out is the folder of all its files")
    if what is None and not everything:
        raise InputError(f"what must be given, one of {', '.join(EXPERIMENTS)}, or all of them with --all")
    names = EXPERIMENTS if what is None else (choice("what", what, EXPERIMENTS),)
    experiments.run(
        names,
        out=out,
        data=data,
        trials=experiments.TRIALS if trials is None else trials,
        seed=0 if seed is None else seed,
        jobs=jobs,
        keep=keep,
        as_json=as_json,
        everything=everything and what is not None,
    )


def _reproduce(
    what: str | None, as_json: bool, csv: str | None, plot: str | None, output: list[str] | None, everything: bool,
    precision: int | None,
) -> None:  # fmt: skip
    from accountant._version import __version__
    from accountant.reproduction import TARGETS, check_digits
    from accountant.reproduction import reproduce as reproduce_published

    if what in _ONLY_RUN:
        raise InputError(f"out or data must be given for {what}: it is an experiment, which is run")
    if what is None:
        raise InputError(f"what must be given, one of {', '.join(TARGETS)}")
    choice("what", what, TARGETS)
    present.check_precision(precision)
    if precision is not None:
        check_digits(what)
    if plot is not None and not what.startswith("figure"):
        raise InputError(f"plot must go with a figure, got {what}")
    # Tables have no picture.
    kinds = writing.ROWS_AND_PICTURES if what.startswith("figure") else ("csv", "json")
    writing.check(output, kinds)
    block = None if precision is None else present.kind(precision)
    with writing.writing(output, kinds, csv=csv, plot=plot) as targets, files.progress("computing") as progress:
        made = reproduce_published(what, digits=precision, progress=progress)
        more = {} if block is None else {"precision": block}
        record = {"command": "reproduce", **made.to_dict(), **more, "version": __version__}
        writing.write(
            targets, lambda: record, rows=lambda: [_flat(row) for row in made.rows],
            picture=lambda part, kind: drawings.reproduction(part, kind, made),
        )  # fmt: skip
    if as_json:
        print(json_module.dumps(record, allow_nan=False))
        return
    _show(made, everything, block)


def _flat(row: Record) -> Record:
    """With the digits as columns of their own: precise_ours, precise_optimal."""
    digits = {f"precise_{name}": value for name, value in row.get("precise", {}).items()}
    return {name: value for name, value in row.items() if name != "precise"} | digits


def _show(made: Reproduction, everything: bool, block: present.Digits | None) -> None:
    screen = layout.console()
    screen.print(f"{made.name}: {made.title}", style="italic")
    rows = made.rows
    if len(rows) > _SHOWN and not everything:
        # Those that differ most say most.
        order = sorted(range(len(rows)), key=lambda at: -abs(rows[at]["difference"] or 0.0))
        rows = tuple(rows[at] for at in sorted(order[:_SHOWN]))
    table = layout.numbers([_TITLES.get(column, column).replace("_", "\n") for column in made.columns])
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in made.columns))
    screen.print(table)
    if block is not None:
        screen.print(f"ours and optimal of these rows, in their order, {present.how(block)}", style="italic")
        for row in rows:
            screen.print(layout.bullet(", ".join(value or "in doubles only" for value in row["precise"].values())))
    if len(rows) < len(made.rows):
        screen.print(
            f"the {len(rows)} rows of {len(made.rows)} that differ most (--all, --json or -o FILE.csv show the others)"
        )
    if made.largest_difference is not None:
        screen.print(f"[bold]largest relative difference: {made.largest_difference:.3g}[/bold]")
    for line in (*made.notes, f"reported: {made.provenance}"):
        screen.print(layout.bullet(line))


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if name == "difference":
        return "0" if value == 0 else f"{value:+.2g}"
    return f"{value:d}" if isinstance(value, int) else f"{value:.0f}" if value == int(value) else f"{value:.4g}"
