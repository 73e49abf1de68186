"""The trials of an audit, in chunks of a fixed size: constant memory, and the same results however many processes share them.

Every chunk has one generator, from a seed that is a child of the audit's, so what a chunk draws depends on its number only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from accountant.numerics import MAX_COUNT, Progress, spread
from accountant.trainer.drawn_auditing import Cells, published_cells
from accountant.trainer.faults import Faulty
from accountant.trainer.instances import Instance
from accountant.trainer.losses import Array
from accountant.trainer.noise import Seeds

#: Trials of a chunk, where they have few parameters: all that a step touches should be in the cache.
_CHUNK: Final = 4096
#: Most parameters of a chunk's trials together, but at least so many trials.
_NUMBERS: Final = 1 << 20
_FEWEST: Final = 64


class Chunk(NamedTuple):
    """Trials to run. directions: (k, p) that parameters are projected on, None: all are kept. seed: None for a fresh one."""

    instance: Instance
    trials: int
    seed: int | None
    fault: str | None
    directions: Array | None


class Samples(NamedTuple):
    """Parameters, or their projections, (k, trials) after unlearning and of retraining; a cell each, if any are published."""

    unlearned: Array
    retrained: Array
    cells: tuple[Cells, Cells] | None


class ChunkSeeds:
    """Seeds of one chunk after the other; None each where the audit has none."""

    def __init__(self, seed: int | None) -> None:
        self._root = None if seed is None else Seeds(seed).spawn()

    def next(self) -> int | None:
        if self._root is None:
            return None
        # As large as a seed may be.
        return int(self._root.spawn(1)[0].generate_state(1, np.uint64)[0]) % MAX_COUNT


def sizes_of(trials: int, parameters: int) -> list[int]:
    """Trials of each chunk of so many, of models of so many parameters."""
    most = max(min(_CHUNK, _NUMBERS // parameters), _FEWEST)
    return [min(most, trials - first) for first in range(0, trials, most)]


def run_chunks(
    instance: Instance,
    trials: int,
    *,
    seeds: ChunkSeeds,
    fault: str | None,
    directions: Array | None,
    jobs: int | None,
    progress: Progress | None,
) -> Samples:
    """``trials`` of unlearning and as many of retraining. progress: told of trials."""
    sizes = sizes_of(trials, instance.loss.outputs * instance.features.shape[1])
    tasks = [Chunk(instance, size, seeds.next(), fault, directions) for size in sizes]
    return _joined(list(spread(run_chunk, tasks, jobs=jobs, progress=progress, weights=sizes)))


def _joined(parts: Sequence[Samples]) -> Samples:
    cells = [part.cells for part in parts if part.cells is not None]
    return Samples(
        np.concatenate([part.unlearned for part in parts], axis=1),
        np.concatenate([part.retrained for part in parts], axis=1),
        (np.concatenate([one for one, _ in cells]), np.concatenate([other for _, other in cells])) if cells else None,
    )


def run_chunk(chunk: Chunk, progress: Progress | None) -> Samples:
    """Learning, all requests and retraining, for trials that advance together."""
    instance, fault, trainer = chunk.instance, chunk.fault, _trainer(chunk)
    parts, whole = 3 + len(instance.later), _whole_epochs(instance)
    finished = [0]

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(int(1000 * (finished[0] + done / total)), 1000 * parts)

    own, per_epoch = instance.algorithm.own_draws, trainer.algorithm.steps_per_epoch
    order = None if own else np.arange(instance.labels.size)[None]
    length = whole if fault == "kept" else instance.learn_epochs
    learned = trainer.learn(instance.features, instance.labels, epochs=length, orders=order, progress=tell)
    requests = [(instance.removed, instance.replacement, instance.unlearn_epochs * per_epoch), *instance.later]
    run = learned
    for number, (row, new, steps) in enumerate(requests):
        finished[0] += 1
        x, y = (None, None) if new is None else (np.asarray(new[0])[None], np.array([new[1]]))
        left_out = min(per_epoch, steps) if fault == "short" and number == len(requests) - 1 else 0
        count = 0 if fault == "kept" else steps - left_out
        run = trainer.unlearn(run, [row], features=x, labels=y, steps=count, progress=tell)
        # Retraining is as long as what should have run.
        run = replace(run, steps=run.steps + left_out)
    finished[0] += 1
    cells = published_cells(learned, instance.removed, chunk.seed) if fault == "sizes" else None
    retrained = trainer.retrain(run, progress=tell).parameters
    if chunk.directions is None:
        return Samples(run.parameters, retrained, cells)
    return Samples(chunk.directions @ run.parameters, chunk.directions @ retrained, cells)


def _whole_epochs(instance: Instance) -> int:
    """Epochs from the first step to the release."""
    later = sum(each.steps for each in instance.later)
    return instance.learn_epochs + instance.unlearn_epochs + -(-later // instance.algorithm.steps_per_epoch)


def _trainer(chunk: Chunk) -> Faulty:
    instance, fault = chunk.instance, chunk.fault
    algorithm = instance.algorithm
    if fault == "kept":
        # All of it is learning, as far as the trainer knows.
        algorithm = replace(algorithm, learn_epochs=_whole_epochs(instance))
    return Faulty(
        instance.loss, algorithm, sigma=instance.sigma / 2 if fault == "half-noise" else instance.sigma, trials=chunk.trials,
        orders="own" if algorithm.own_draws else "shared", generators="one", dtype=instance.dtype, seed=chunk.seed, fault=fault,
    )  # fmt: skip
