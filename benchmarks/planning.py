"""Processor time of planning: 100 requests of MNIST's size with what an estimator states, long streams, and ``choose_setting``.

OMP_NUM_THREADS=1 python benchmarks/planning.py [--largest 10000000]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from accountant import PNSGD, UnlearningAccountant, UnlearningStream, preset
from accountant.problem import LogisticConstants
from accountant.requests import TunedSetting, choose_setting

KINDS = [("secret", "remove"), ("secret", "replace"), ("partition", "replace"), ("partition", "zero-out")]
MNIST = 11264


def chosen(n: int, **fixed: Any) -> TunedSetting:
    loss = LogisticConstants(regularisation=0.0, feature_bound=1.0)
    return choose_setting(loss=loss, n=n, epsilon=1.0, delta=1 / n, requests=100, rounding="float64", dimension=785, **fixed)


def planning(assignment: str, adjacency: str) -> None:
    """Steps and guarantee of each of 100 requests, and the request itself, as an estimator asks for them."""
    beside = {"largest_n": MNIST + 200} if (assignment, adjacency) == ("secret", "replace") else {}
    setting = chosen(MNIST, batch_size=32, assignment=assignment, adjacency=adjacency, **beside)
    stream = UnlearningStream(
        UnlearningAccountant(setting.algorithm), sigma=setting.sigma * 1.0001, epsilon=1.0, delta=1 / MNIST
    )
    taken = []
    for _ in range(100):
        start = time.process_time()
        stream.planned()
        stream.request()
        taken.append(1e3 * (time.process_time() - start))
    times = f"mean {np.mean(taken):.2f}, median {np.median(taken):.2f}, first {taken[0]:.0f}, second {taken[1]:.0f} ms"
    print(f"{assignment}, {adjacency}: {times}; {stream.total_steps} steps", flush=True)


def long_streams() -> None:
    for batch_size in (128, 32):
        stream = UnlearningStream(UnlearningAccountant(PNSGD(preset("mnist"), batch_size)), sigma=0.03, epsilon=1.0)
        start = time.process_time()
        steps = sum(stream.request() for _ in range(1000))
        print(f"1000 requests, b = {batch_size}: {time.process_time() - start:.2f} s; {steps} steps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=10_000_000)
    arguments = parser.parse_args()
    for kind in KINDS:
        planning(*kind)
    long_streams()
    for n in (MNIST, 250_000, 10_000_000):
        if n <= arguments.largest:
            start = time.process_time()
            setting = chosen(n)
            print(f"choose_setting, n = {n}: {time.process_time() - start:.2f} s; sigma {setting.sigma:.9g}", flush=True)


if __name__ == "__main__":
    main()
