"""The format as types: what a certificate's dictionary holds, down to its leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, NotRequired, TypedDict, TypeVar

FORMAT: Final = "unlearning-certificate"
#: Of batches cut from a partition, of batches that records draw, of noisy steps that both runs share; of streams of records
#: that draw, and of a partition.
VERSION: Final = 2
DRAWN_VERSION: Final = 3
STEP_VERSION: Final = 4
LAW_VERSION: Final = 5
PARTS_VERSION: Final = 6
#: What an assumption's status is.
DECLARED: Final = "declared by the user"
CHECKED: Final = "checked by the program"
BUILT_IN: Final = "holds by construction"
#: The ends of an enclosure, low and high.
Ends = list[str]
#: Of each class of a stand-in's batches [end, x1, x2, y1, y2]: places around those where P/R is e^epsilon, and e^-epsilon.
Signs = list[list[int | str | None]]
AnyInputs = TypeVar("AnyInputs", bound=Mapping[str, object])
AnyPart = TypeVar("AnyPart")
AnyResult = TypeVar("AnyResult")


class Request(TypedDict):
    """joined: version 5."""

    points: int
    steps: int
    joined: NotRequired[int]


class Inputs(TypedDict):
    """What the claim is about, and the claim; numbers that are not counts are exact decimals or fractions.

    last_batch: versions 2 and 6; assignment, largest_n, redraw: 3 and 5; rounding: 5 and 6.
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
    rounding: NotRequired[str]
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


class Envelope(TypedDict, Generic[AnyInputs, AnyPart, AnyResult]):
    """The whole file; docs/guides/certificates.md says what each key means."""

    format: str
    version: int
    statement: str
    inputs: AnyInputs
    origins: dict[str, str]
    theorems: list[dict[str, str]]
    assumptions: list[dict[str, str]]
    limits: list[str]
    witness: list[AnyPart]
    result: AnyResult
    digests: Digests
    software: str
    time: str
    signature: str | None


class Certificate(Envelope[Inputs, WrittenComponent, Result]):
    """The whole file of versions 2 and 3."""


class WrittenKind(TypedDict):
    """Requests alike: pieces [first, end, a] for every choice of batches of ``together`` records, in the order of itertools.

    worst: version 6: counted at their worst positions, so many steps before the release.
    """

    together: int
    steps: int
    epochs: int | None
    worst: NotRequired[bool]
    pieces: list[list[list[int | str | None]]]


class WrittenLaw(TypedDict):
    """requests: the kind of each. cell, cells: of the grids. inner, outer: [mu, chance of more], of leavers and stand-ins.

    group: version 6: how the newest points are followed, tails, drawn or replaced.
    """

    kinds: list[WrittenKind]
    requests: list[int]
    cells: int
    cell: str
    group: NotRequired[str]
    inner: list[list[str]]
    outer: list[list[str]]


class LawCertificate(Envelope[Inputs, WrittenLaw, Result]):
    """The whole file of versions 5 and 6."""


class StepInputs(TypedDict):
    """The same of version 4."""

    algorithm: str
    step_size: str
    gradient_clip: str | None
    start_clip: str | None
    model_clip: str | None
    weight_decay: str
    start: str
    clip_first: bool
    start_distance: str | None
    sigma: str
    steps: int
    epsilon: str
    delta: str


class WrittenBlocks(TypedDict):
    """So many equal blocks of so many steps; the shift r steps before the end of one is shift rho^r."""

    blocks: int
    steps: int
    shift: str


class StepResult(TypedDict):
    """mu: of a single string, null where blocks contract."""

    mu: Ends | None
    delta: Ends
    epsilon: Ends
    curve: list[Point]


class StepCertificate(Envelope[StepInputs, WrittenBlocks, StepResult]):
    """The whole file of version 4."""
