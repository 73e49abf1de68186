"""Who changes one thing in the database is found by ``verify``; who cuts off the end, by what was kept elsewhere."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledgers import NAMES, Clock, begun
from sqlalchemy import delete, insert, select, text

from accountant import InputError
from accountant.ledger import Ledger, RunFailedError
from accountant.ledger.chain import KINDS, NOTHING, Entry, entry_digest, following, spans
from accountant.ledger.schema import ENTRIES, HEAD, LEDGER, REQUESTS, RUNS
from accountant.trainer import PNSGDClassifier

TABLES = (LEDGER, ENTRIES, HEAD, REQUESTS, RUNS)
Rows = list[dict[str, Any]]


class Attacker:
    """Who may do anything to the database, and put everything back afterwards."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.database = ledger, ledger._database
        with self.database.writing() as connection:
            if self.database.sqlite:
                for event in ("update", "delete", "replace"):
                    connection.execute(text(f"DROP TRIGGER entries_no_{event}"))
            else:
                connection.execute(text("ALTER TABLE entries DISABLE TRIGGER ALL"))
        self.kept = self.read()

    def read(self) -> dict[str, Rows]:
        with self.database.reading() as connection:
            return {table.name: [dict(row._mapping) for row in connection.execute(select(table))] for table in TABLES}

    def write(self, content: dict[str, Rows]) -> None:
        with self.database.writing() as connection:
            for table in TABLES:
                connection.execute(delete(table))
                if content[table.name]:
                    connection.execute(insert(table), content[table.name])

    def found(self, change: Callable[[dict[str, Rows]], None], **options: Any) -> bool:
        """Whether verify finds this change."""
        content = {name: [dict(row) for row in rows] for name, rows in self.kept.items()}
        content["entries"].sort(key=lambda row: row["number"])
        change(content)
        self.write(content)
        try:
            return not self.ledger.verify(**options).valid
        finally:
            self.write(self.kept)


@pytest.fixture
def attacker(tmp_path: Path, url: str | None) -> Iterator[Attacker]:
    """Of a ledger with entries of every kind that anybody writes."""
    draws = np.random.default_rng(1)
    X = draws.uniform(-0.5, 0.5, (1, 2))
    clock = Clock()
    with begun(tmp_path, url, clock=clock) as ledger:
        for at in range(0, 12, 2):
            clock.now += 1_000_000
            ledger.add(NAMES[at : at + 2], urgent=at == 4)
        clock.now -= 5_000_000
        ledger.add([NAMES[0]])
        ledger.refuse(NAMES[11], "by law")
        with pytest.raises(RunFailedError):
            ledger.process(Failing(), everything=True)
        ledger.process(everything=True)
        ledger.add([NAMES[20]])
        ledger.refit()
        ledger.refit()
        ledger.join(lambda path: PNSGDClassifier.load(path).learn_more(X, X[:, 0] > 0, ids=["new"]), {"new": ["new"]})
        ledger.add([NAMES[30], "new"])
        ledger.process(everything=True)
        ledger.add(NAMES[40:42])
        ledger.rotate_key({"new": ["new"]})
        ledger.add(NAMES[41:43])
        assert ledger.verify().findings == ()
        assert {entry.kind for entry in ledger.entries()} == set(KINDS) - {"disclosed", "certified"}
        yield Attacker(ledger)


class Failing:
    """A backend that plans and does not run."""

    name, declared = "estimator", False

    def plan(self, rows: Any) -> Any:
        from accountant.ledger import Plan

        return Plan(points=len(rows), steps=1, sigma=1.0, epsilon=1.0, delta=0.1)

    def run(self, plan: Any, rows: Any) -> Any:
        raise ValueError

    def save(self, model: Any, path: Path) -> None:
        raise ValueError


def own_digest(row: dict[str, Any]) -> None:
    """An entry whose digest is that of its content again."""
    row["digest"] = entry_digest(row["previous"], row["number"], row["time"], row["kind"], row["body"])


def changed_text(draws: np.random.Generator, old: str, letters: str) -> str:
    at = int(draws.integers(len(old)))
    new = draws.choice([letter for letter in letters if letter != old[at]])
    return old[:at] + str(new) + old[at + 1 :]


def change_entry(draws: np.random.Generator, rows: Rows) -> str:
    row = rows[int(draws.integers(len(rows)))]
    column = str(draws.choice(["time", "kind", "body", "previous", "digest"]))
    if column == "time":
        row["time"] += int(draws.choice([-1, 1, -(10**6), 10**9]))
    elif column == "kind":
        row["kind"] = str(draws.choice([kind for kind in KINDS if kind != row["kind"]]))
    else:
        row[column] = changed_text(draws, row[column], "0123456789abcdef")
    if column not in ("digest", "previous") and draws.random() < 0.5:
        own_digest(row)
        return f"{column}, with its digest, of entry {row['number']}"
    return f"{column} of entry {row['number']}"


def remove_entry(draws: np.random.Generator, rows: Rows) -> str:
    at = int(draws.integers(len(rows)))
    del rows[at]
    how = int(draws.integers(3))
    for row in rows[at:]:
        # Numbers are made contiguous again, and the next entry follows the one before the gap.
        row["number"] -= how > 0
    if how == 2 and 0 < at < len(rows):
        rows[at]["previous"] = rows[at - 1]["digest"]
        own_digest(rows[at])
    return f"entry {at} removed ({how})"


def swap_entries(draws: np.random.Generator, rows: Rows) -> str:
    first, second = sorted(draws.choice(len(rows), 2, replace=False).tolist())
    one, two = rows[first], rows[second]
    columns = ("number",) if draws.random() < 0.3 else ("time", "kind", "body")
    if all(one[column] == two[column] for column in columns):
        return change_entry(draws, rows)
    for column in columns:
        one[column], two[column] = two[column], one[column]
    if draws.random() < 0.5:
        own_digest(one)
        own_digest(two)
    return f"entries {first} and {second} swapped"


def insert_entry(draws: np.random.Generator, rows: Rows) -> str:
    at = int(draws.integers(len(rows) + 1))
    source = dict(rows[int(draws.integers(len(rows)))])
    for row in rows[at:]:
        row["number"] += 1
    source |= {"number": at, "previous": rows[at - 1]["digest"] if at else NOTHING}
    own_digest(source)
    rows.insert(at, source)
    if at + 1 < len(rows) and draws.random() < 0.5:
        rows[at + 1]["previous"] = source["digest"]
        own_digest(rows[at + 1])
    return f"one like another put in as entry {at}"


@pytest.mark.parametrize("mutate", [change_entry, remove_entry, swap_entries, insert_entry])
def test_any_single_change_of_the_entries_is_found(attacker: Attacker, mutate: Callable[..., str]) -> None:
    draws = np.random.default_rng(11)
    told: list[str] = []
    for _ in range(50):

        def change(content: dict[str, Rows]) -> None:
            told.append(mutate(draws, content["entries"]))

        assert attacker.found(change), told[-1]


def test_any_change_of_what_follows_from_the_entries_is_found(attacker: Attacker) -> None:
    others: dict[str, Any] = {
        "subject": "0" * 64, "points": 7, "received": 5, "due": 2**50, "urgent": True, "state": "refused", "run": 3,
        "what": "join", "digest": "0" * 64, "certificate": "0" * 64, "saved": 2, "closed": 9, "time": 3, "number": 999,
        "id": "0" * 32, "key_check": "0" * 64,
    }  # fmt: skip
    for table in (REQUESTS, RUNS, HEAD, LEDGER):
        for at in range(len(attacker.kept[table.name])):
            for column in others.keys() & set(table.c.keys()):
                old = attacker.kept[table.name][at][column]
                new = not old if isinstance(old, bool) else others[column]

                def change(content: dict[str, Rows], name: str = table.name, at: int = at, to: Any = (column, new)) -> None:
                    content[name][at][to[0]] = to[1]

                if old != new:
                    assert attacker.found(change), (table.name, at, column)

            def removed(content: dict[str, Rows], name: str = table.name, at: int = at) -> None:
                del content[name][at]

            assert attacker.found(removed), (table.name, at)
    settings = json.loads(attacker.kept["ledger"][0]["settings"])
    assert attacker.found(lambda content: content["ledger"][0].update(settings=json.dumps({**settings, "deadline": 1e9})))
    extra = {**attacker.kept["requests"][0], "number": 998, "subject": "1" * 64}
    assert attacker.found(lambda content: content["requests"].append(extra))
    assert attacker.found(lambda content: content["runs"].append({**attacker.kept["runs"][0], "number": 998}))


def cut(content: dict[str, Rows], number: int) -> None:
    """The ledger as it was after this entry, as far as who can write it all can make it."""
    entries = [row for row in content["entries"] if row["number"] <= number]
    content["entries"][:] = entries
    last = entries[-1]
    content["head"][0] |= {"number": number, "time": last["time"], "digest": last["digest"]}
    content["requests"][:] = [row for row in content["requests"] if row["number"] <= number]
    content["runs"][:] = [row for row in content["runs"] if row["number"] <= number]


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_kept_and_a_run_by_its_model(attacker: Attacker) -> None:
    head = attacker.ledger.status().head
    last = int(head.split(":")[0])
    # Requests that came last and were answered by nothing yet: the chain alone cannot tell.
    assert not attacker.found(lambda content: cut(content, last - 1))
    assert attacker.found(lambda content: cut(content, last - 1), head=head)
    # With a run, the model is not the one before it.
    purged = max(row["number"] for row in attacker.kept["entries"] if row["kind"] == "purged")
    intent = max(row["number"] for row in attacker.kept["entries"] if row["kind"] == "intent")

    def without_run(content: dict[str, Rows]) -> None:
        cut(content, intent - 1)
        content["ledger"][0]["key_check"] = json.loads(content["entries"][0]["body"])["key_check"]
        for row in content["requests"]:
            if row["run"] == intent:
                row |= {"state": "waiting", "run": None}

    assert attacker.found(without_run)
    assert not attacker.found(without_run, model=False)
    assert attacker.found(without_run, head=head, model=False)
    assert purged > intent


def test_a_chain_that_was_written_anew_is_found_by_a_head_that_was_kept(attacker: Attacker) -> None:
    def anew(content: dict[str, Rows]) -> None:
        previous = NOTHING
        for row in content["entries"]:
            body = json.loads(row["body"])
            if row["kind"] == "refused":
                body["reason"] = "because"
            row |= asdict(following(previous, row["number"], row["time"], row["kind"], body))
            previous = row["digest"]
        content["head"][0]["digest"] = previous

    head = attacker.ledger.status().head
    assert not attacker.found(anew)
    assert attacker.found(anew, head=head)
    assert attacker.ledger.verify(head=head).valid
    for wrong in ("", "3", "3:abc", "x:" + "0" * 64, "3:" + "g" * 64):
        with pytest.raises(InputError, match="head must be NUMBER:DIGEST"):
            attacker.ledger.verify(head=wrong)


def test_the_digest_is_the_one_that_is_documented() -> None:
    import hashlib

    entry = following(NOTHING, 3, 17, "received", {"b": "ε", "a": [1, None, 0.5]})
    said = NOTHING + '[3,17,"received",{"a":[1,null,0.5],"b":"\\u03b5"}]'
    assert entry.digest == hashlib.sha256(said.encode()).hexdigest()
    assert entry == Entry(3, 17, "received", '{"a":[1,null,0.5],"b":"\\u03b5"}', NOTHING, entry.digest)
    assert spans([1, 2, 5]) == [[1, 2], [5, 5]]
    assert spans([]) == []
