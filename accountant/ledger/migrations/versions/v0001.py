"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_OPEN = sa.text("state NOT IN ('released', 'refused')")


def _number() -> sa.Column[int]:
    return sa.Column("number", _BIG, primary_key=True, autoincrement=False)


def _one() -> sa.Column[int]:
    return sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("key_check", sa.String(64), nullable=False),
    )
    op.create_table(
        "entries",
        _number(),
        sa.Column("time", _BIG, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "head",
        _one(),
        sa.Column("number", _BIG, nullable=False),
        sa.Column("time", _BIG, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("held", _BIG),
    )
    _requests()
    op.create_table(
        "runs",
        _number(),
        sa.Column("what", sa.String(8), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("digest", sa.String(64)),
        sa.Column("certificate", sa.String(64)),
        sa.Column("saved", _BIG),
        sa.Column("closed", _BIG),
    )
    op.create_index("runs_by_state", "runs", ["state"])
    op.create_table(
        "lease",
        _one(),
        sa.Column("holder", sa.String(32)),
        sa.Column("host", sa.String(80)),
        sa.Column("who", sa.Text),
        sa.Column("since", _BIG),
        sa.Column("expires", _BIG),
    )
    op.execute("INSERT INTO lease (one) VALUES (1)")
    for statement in _append_only(op.get_bind().dialect.name):
        op.execute(statement)


def _requests() -> None:
    op.create_table(
        "requests",
        _number(),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("points", sa.Integer, nullable=False),
        sa.Column("received", _BIG, nullable=False),
        sa.Column("due", _BIG, nullable=False),
        sa.Column("urgent", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("run", _BIG),
    )
    op.create_index("requests_by_state", "requests", ["state", "due"])
    op.create_index("requests_by_run", "requests", ["run", "number"])
    op.create_index("requests_by_subject", "requests", ["subject"])
    op.create_index("requests_open", "requests", ["subject"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)


def _append_only(dialect: str) -> list[str]:
    """Triggers that refuse to change or remove entries."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER entries_no_{event} BEFORE {event} ON entries "
            "BEGIN SELECT RAISE(ABORT, 'entries are never changed or removed'); END"
            for event in ("UPDATE", "DELETE")
        ] + [
            # REPLACE would remove the old one without asking the other trigger.
            "CREATE TRIGGER entries_no_replace BEFORE INSERT ON entries "
            "WHEN EXISTS (SELECT 1 FROM entries WHERE number = NEW.number) "
            "BEGIN SELECT RAISE(ABORT, 'entries are never changed or removed'); END"
        ]
    return [
        "CREATE FUNCTION entries_stay() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'entries are never changed or removed'; END $$",
        "CREATE TRIGGER entries_no_change BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION entries_stay()",
        "CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION entries_stay()",
    ]
