"""A ledger worth a report, for the tests of what the report says and of how it looks."""

from ledgers import DAY, NAMES, Clock

from accountant.ledger import Ledger

#: Days from a request to the next, and the requests after which there is a run.
GAPS, RUNS = (3, 11, 8, 22, 15, 1, 30, 12), (0, 3, 4, 7)


def months(ledger: Ledger, clock: Clock) -> None:
    """Eight requests in four runs, some late, one of them by seconds, and a refused one; then three, overdue by now."""
    for number, days in enumerate(GAPS):
        ledger.add([NAMES[number]])
        clock.now += days * DAY + number * 1_000_003
        if number in RUNS:
            ledger.process(everything=True)
    ledger.add([NAMES[20]])
    ledger.refuse(NAMES[20], "to be kept")
    ledger.add(NAMES[21:24])
