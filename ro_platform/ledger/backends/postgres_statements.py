"""What a ledger in PostgreSQL is asked, in statements that the indexes of its schema fit."""

from __future__ import annotations

from typing import Any

from ro_platform.ledger.backends.base import Selection

COLUMNS = "seq, entry, leaf, kind, subject, key, run_id, dagster_run_id"
FROM = f"SELECT {COLUMNS} FROM ro_ledger.entry"  # noqa: S608  (no value is part of it)
_MOST_SELECTIVE_FIRST = ("subject", "run_id", "dagster_run_id", "kind")
# Takes the turn, and answers what a writer begins with: the version, the size and the last leaf.
BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT ro_ledger.take_turn();
EXECUTE ro_begin
"""
# What stands under a key, numbered 0, and the newest entry about a subject.
RECORDED_ONE = "EXECUTE ro_recorded (%s, %s, %s)"
# The newest entry about each subject, by the number of the question from 1.
LATEST_OF = "EXECUTE ro_latest (%s, %s)"
# The same, and of the subjects between two.
LATEST_OF_ANY = "EXECUTE ro_latest_any (%s, %s, %s, %s, %s, %s)"
_LATEST_OF = f"""
SELECT number, found.*
FROM unnest({{}}::text[], {{}}::text[]) WITH ORDINALITY AS question (kind, subject, number)
CROSS JOIN LATERAL (
    {FROM} WHERE entry.subject = question.subject AND entry.kind = question.kind
    ORDER BY seq + 0 DESC LIMIT 1
) AS found
"""  # noqa: S608
# Of many keys and subjects.
RECORDED = f"""
SELECT 0, found.* FROM ({FROM} WHERE key = ANY(%s::text[])) AS found
UNION ALL ({_LATEST_OF.format("%s", "%s")})
"""  # noqa: S608
# What every guarded read asks, planned once a session: to plan it takes longer than to answer it.
PREPARED_TO_READ = {
    "ro_latest (text[], text[])": _LATEST_OF.format("$1", "$2"),
    "ro_latest_any (text[], text[], text[], text[], text[], bigint[])": f"""
{_LATEST_OF.format("$1", "$2")} UNION ALL
SELECT question.number, found.*
FROM unnest($3, $4, $5, $6) AS question (kind, first, last, number)
CROSS JOIN LATERAL (
    {FROM} WHERE entry.subject >= question.first AND entry.subject <= question.last
        AND entry.kind = question.kind
    ORDER BY subject DESC, kind DESC, seq + 0 DESC LIMIT 1
) AS found
""",  # noqa: S608
}
# And what every append asks.
PREPARED_TO_WRITE = PREPARED_TO_READ | {
    "ro_begin": """
SELECT (SELECT max(version) FROM ro_ledger.ledger_schema), tip.*
FROM (VALUES (0)) AS one LEFT JOIN (
    SELECT seq + 1, leaf FROM ro_ledger.entry ORDER BY seq DESC LIMIT 1
) AS tip ON true
""",
    "ro_recorded (text, text, text)": f"""
(SELECT 0, found.* FROM ({FROM} WHERE key = $1) AS found) UNION ALL
(SELECT 1, found.* FROM (
    {FROM} WHERE subject = $3 AND kind = $2 ORDER BY seq + 0 DESC LIMIT 1
) AS found)
""",  # noqa: S608
}
# Counts are of one moment.
CENSUS = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = on
"""
# With OFFSET 0 inside, which keeps the planner from beginning at the entries: the mention's index
# is in order of seq, so a page costs what it returns.
_MENTIONING = "SELECT {columns} FROM ro_ledger.mention CROSS JOIN LATERAL ({entry}) AS found"


def page_of(selection: Selection, limit: int) -> tuple[str, list[Any]]:
    """The statement for up to ``limit`` entries of a selection, and its values."""
    conditions, values = _conditions(selection)
    order = "DESC" if selection.newest_first else "ASC"
    within = [selection.start, selection.end]
    if selection.mention is not None:
        entry = f"{FROM} WHERE {' AND '.join(['seq = mention.seq', *conditions])} OFFSET 0"
        columns = ", ".join(f"found.{name}" for name in COLUMNS.split(", "))
        sql = (
            f"{_MENTIONING.format(columns=columns, entry=entry)} WHERE mention.name = %s AND "
            f"mention.seq >= %s AND mention.seq < %s ORDER BY mention.seq {order} LIMIT %s"
        )
        return sql, [*values, selection.mention, *within, limit]
    place = "seq + 0" if conditions else "seq"
    where = " AND ".join([f"{place} >= %s", f"{place} < %s", *conditions])
    sql = f"{FROM} WHERE {where} ORDER BY {place} {order} LIMIT %s"
    return sql, [*within, *values, limit]


def _conditions(selection: Selection) -> tuple[list[str], list[str]]:
    """What the entries' columns must equal, and the values: in words that one index fits."""
    conditions: list[str] = []
    wanted: list[str] = []
    for column in _MOST_SELECTIVE_FIRST:
        if (value := getattr(selection, column)) is not None:
            # A kind has an index of its own by that expression, the others by the plain column.
            plain = (column == "kind") == bool(wanted)
            conditions.append(f"{column} = %s" if plain else f"({column} || '') = %s")
            wanted.append(value)
    return conditions, wanted
