"""The deletion service: every request is recorded once and answered once, and what is recorded stays as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledgers import NAMES, Server, begun, check_end, kinds, server

from accountant.trainer import PNSGDClassifier

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    with server() as made:
        yield made


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str | None:
    """None for a file beside the model."""
    if request.param == "sqlite":
        return None
    made: Server = request.getfixturevalue("postgresql")
    return made.database()


def test_a_request_goes_through_all_phases_and_is_answered_by_a_model_without_it(tmp_path: Path, url: str | None) -> None:
    with begun(tmp_path, url) as ledger:
        first, second = ledger.add([NAMES[3], NAMES[7]])
        assert (first.number, second.number, first.new, second.new) == (1, 2, True, True)
        assert ledger.process().run is None
        assert ledger.status().waiting == 2
        run = ledger.process(everything=True).run
        assert run is not None
        assert run.requests == (1, 2)
        assert kinds(ledger) == ["begun", "received", "received", "intent", "run", "saved", "released", "purged"]
        check_end(ledger, released=2, gone=(NAMES[3], NAMES[7]))
        model = PNSGDClassifier.load(ledger.settings.model)
        assert model.steps_run_ == (run.steps,)
        assert model.guarantee_.statement == run.statement
