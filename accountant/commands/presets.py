"""``accountant presets``: the published problems."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from accountant.commands import layout
from accountant.problem import PRESETS

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def presets(*, json: JsonOption = False) -> None:
    """The published problems and their constants.

    Example: accountant presets --json
    """
    from accountant._version import __version__

    if json:
        problems = {name: problem.to_dict() for name, problem in PRESETS.items()}
        print(json_module.dumps({"command": "presets", "presets": problems, "version": __version__}))
        return
    titles = ["preset", "n", "smoothness", "strong convexity", "lipschitz"]
    table = layout.Grid(titles, names=len(titles), padding=(1, 1))
    for name, problem in PRESETS.items():
        constants = (problem.n, problem.smoothness, problem.strong_convexity, problem.lipschitz)
        table.add_row(name, *(f"{value:.10g}" for value in constants))
    screen = layout.console()
    screen.print("Published problems", style="italic")
    screen.print(table)
    screen.print(
        "l2-regularised logistic regression on unit-norm features, lambda = 1e-6 n; MNIST digits 3 and 8, CIFAR-10 classes "
        "3 and 8 (Chien, Wang, Chen & Li, NeurIPS 2024). Step size 1/smoothness, delta 1/n.",
        soft_wrap=False,
    )
