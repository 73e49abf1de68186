"""Killed at every write while a command runs that somebody else wrote, which may be killed, too: nothing is lost, nothing is
released without its entry, what ran before is thrown away. Every test ends by ``verify`` and a search for who is gone."""

from pathlib import Path

import pytest
from crashes import count_calls, killed_at_call
from ledger_scenes import CommandScene, check_kills

#: And how many apart those are at which it is killed: of starting Python most calls are alike.
CALLS = {
    "pwrite64": 17, "fdatasync": 6, "fsync": 2, "rename": 1, "unlink": 2, "write": 9, "mkdir": 1, "rmdir": 1, "sendto": 17,
    "execve": 1,
}  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, url: str | None, request: pytest.FixtureRequest) -> CommandScene:
    return CommandScene(tmp_path, None if url is None else request.getfixturevalue("postgresql"))


@pytest.mark.parametrize(("first", "step"), [(3, 12), *(pytest.param(at, 12, marks=pytest.mark.slow) for at in (0, 6, 9))])
def test_killed_at_any_statement_of_a_run_by_command(scene: CommandScene, first: int, step: int) -> None:
    check_kills(scene, first, step)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("call", CALLS)
def test_worker_or_command_killed_at_a_system_call(
    scene: CommandScene, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in ("working", "worker"):
        monkeypatch.setattr(f"accountant.ledger.{file}.guarded", lambda lease, called, timeout: called())
    traced = tmp_path / "log"
    scene.begin()
    most = count_calls(scene.process, traced, CALLS)
    assert call in most or call == "sendto"
    for number in range(1, most.get(call, 0) + 1, CALLS[call]):
        scene.begin()
        killed_at_call(scene.process, call, number, traced)
        scene.check_recovery()
