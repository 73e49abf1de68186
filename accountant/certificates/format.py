"""The format as types: what a certificate's dictionary holds, down to its leaves."""

from __future__ import annotations

from typing import Final, TypedDict

FORMAT: Final = "unlearning-certificate"
VERSION: Final = 2
#: The ends of an enclosure, low and high.
Ends = list[str]


class Request(TypedDict):
    points: int
    steps: int


class Inputs(TypedDict):
    """What the claim is about, and the claim; numbers that are not counts are exact decimals or fractions."""

    n: int
    smoothness: str
    strong_convexity: str
    lipschitz: str
    adjacency: str
    batch_size: int
    last_batch: str
    step_size: str
    radius: str | None
    sigma: str
    learn_epochs: int | None
    start_distance: str | None
    reference: str | int
    requests: list[Request]
    placement: str | list[list[int]]
    epsilon: str
    delta: str


class WrittenCase(TypedDict):
    """placed: [lag, points, batch size] of each batch; pieces: [first, end, a]; start: common, diameter or given."""

    placed: list[list[int]]
    pieces: list[list[int | str | None]]
    steps: int | None
    start: str
    mu: Ends


class WrittenComponent(TypedDict):
    weight: str
    count: int
    cases: list[WrittenCase]


class Point(TypedDict):
    delta: str
    epsilon: Ends


class Result(TypedDict):
    mu: Ends
    delta: Ends
    epsilon: Ends
    curve: list[Point]


class Digests(TypedDict):
    inputs: str
    problem_file: str | None
    content: str


class Certificate(TypedDict):
    """The whole file; docs/certificates.md says what each key means."""

    format: str
    version: int
    statement: str
    inputs: Inputs
    origins: dict[str, str]
    theorems: list[dict[str, str]]
    assumptions: list[dict[str, str]]
    limits: list[str]
    witness: list[WrittenComponent]
    result: Result
    digests: Digests
    software: str
    time: str
    signature: str | None
