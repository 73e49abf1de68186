"""The format as types: what a certificate's dictionary holds, down to its leaves."""

from __future__ import annotations

from typing import Final, NotRequired, TypedDict

FORMAT: Final = "unlearning-certificate"
#: Of batches cut from a partition, and of batches that records draw.
VERSION: Final = 2
DRAWN_VERSION: Final = 3
#: The ends of an enclosure, low and high.
Ends = list[str]
#: Of each class of a stand-in's batches [end, x1, x2, y1, y2]: places around those where P/R is e^epsilon, and e^-epsilon.
Signs = list[list[int | str | None]]


class Request(TypedDict):
    points: int
    steps: int


class Inputs(TypedDict):
    """What the claim is about, and the claim; numbers that are not counts are exact decimals or fractions.

    last_batch: version 2; assignment, largest_n, redraw: version 3.
    """

    n: int
    smoothness: str
    strong_convexity: str
    lipschitz: str
    adjacency: str
    batch_size: int
    last_batch: NotRequired[str]
    assignment: NotRequired[str]
    largest_n: NotRequired[int]
    redraw: NotRequired[bool]
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
    """signs: version 3."""

    delta: str
    epsilon: Ends
    signs: NotRequired[Signs]


class Result(TypedDict):
    """paid and signs: version 3."""

    mu: Ends
    paid: NotRequired[Ends]
    delta: Ends
    delta_signs: NotRequired[Signs]
    epsilon: Ends
    epsilon_signs: NotRequired[Signs]
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
