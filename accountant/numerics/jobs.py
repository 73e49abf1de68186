"""Work whose results do not depend on who does it: spread over processes, or over a cluster, by joblib; results in order.

joblib (extra ``trainer``) is imported only where more than one process is asked for, or where the caller has imported it: then
what was chosen by ``joblib.parallel_config``, a backend of Dask or Ray too, is what is used.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from accountant.numerics.shapes import Progress
from accountant.numerics.validation import InputError, MissingExtraError, integer

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def check_jobs(jobs: object) -> int | None:
    """Processes that are asked for: at least 1, or -1 for as many as there are processors; None: as joblib is configured, or 1.

    >>> check_jobs(-1)
    -1
    """
    if jobs is None:
        return None
    if jobs != -1:
        try:
            integer("jobs", jobs, at_least=1)
        except InputError:
            raise InputError(f"jobs must be a whole number from 1, or -1 for one on each processor, got {jobs!r}") from None
    count = int(jobs)  # type: ignore[call-overload]
    if count != 1:
        _joblib()
    return count


def processes(jobs: int | None) -> int:
    """How many workers :func:`spread` would have."""
    return _workers(jobs)[0]


def spread(
    work: Callable[[_Task, Progress | None], _Result],
    tasks: Sequence[_Task],
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
    weights: Sequence[int] | None = None,
) -> Iterator[_Result]:
    """``work`` of all tasks, in their order, each when it and those before it are done. In this process if jobs is 1.

    work: of one task; is given a progress of its own, or None where it runs elsewhere, and must then be what joblib can send.
    jobs: as for :func:`check_jobs`. weights: positive, (tasks,), what each task is of the whole, by default the same; progress
    is told their sum, and of other processes only what has come back. A consumer that stops early should close the iterator.

    >>> list(spread(lambda task, progress: task**2, [1, 2, 3]))
    [1, 4, 9]
    """
    sizes = [1] * len(tasks) if weights is None else list(weights)
    total, done = sum(sizes), 0
    count, lazy = _workers(jobs)
    if count == 1 or len(tasks) < 2:
        for task, size in zip(tasks, sizes, strict=True):
            yield work(task, None if progress is None else _part(progress, done, size, total))
            done += size
            if progress is not None:
                progress(done, total)
        return
    joblib = _joblib()
    # Without a number of its own, and without a backend: both are the caller's, if they chose.
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator" if lazy else "list")
    results = parallel(joblib.delayed(work)(task, None) for task in tasks)
    try:
        for result, size in zip(results, sizes, strict=True):
            done += size
            if progress is not None:
                progress(done, total)
            yield result
    finally:
        if lazy:
            with warnings.catch_warnings():
                # That work is cancelled is what an early end is about.
                warnings.simplefilter("ignore")
                results.close()


def _part(progress: Progress, done: int, size: int, total: int) -> Progress:
    """Progress of one task, in the units of all."""
    return lambda inner, whole: progress(done + size * inner // max(whole, 1), total)


def _workers(jobs: int | None) -> tuple[int, bool]:
    """How many workers there would be, and whether their results can be had one by one."""
    if jobs is None and "joblib" not in sys.modules:
        return 1, False
    if jobs == 1:
        return 1, False
    joblib = _joblib()
    backend, _ = joblib.parallel.get_active_backend()
    return int(joblib.effective_n_jobs(jobs)), bool(getattr(backend, "supports_return_generator", False))


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise MissingExtraError("jobs", "joblib", "trainer") from None
    return joblib
