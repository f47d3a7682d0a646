"""Write docs/features.md, docs/schemas.md and docs/database.md from the code, so that they cannot lie.

python docs/make_docs.py           write them
python docs/make_docs.py --check   exit with 1 if they differ from what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from netnormal import tables  # noqa: E402
from netnormal.sinks import schema as database  # noqa: E402
from netnormal.sinks.queries import QUERIES  # noqa: E402
from netnormal.tables.feature_columns import FEATURE_COLUMNS, Feature  # noqa: E402
from netnormal.tables.flow_columns import FLOWS  # noqa: E402

WRITTEN = "<!-- written by docs/make_docs.py: change the code and run it -->\n"
KINDS = {"int": "whole number", "float": "number", "text": "text", "time": "time"}
GROUPS = {
    "conversation": "What the conversation itself does",
    "source": "What its source does in conversations alike",
    "destination": "What its destination undergoes in conversations alike",
}
FEATURES_INTRO = """# Features

One row of `features.csv` is a **conversation** in a **window**: all flows of a source (who initiated), a destination
and a service, within 10, 60 or 600 seconds (`windows_s` in params.yaml). Its {count} features say what the conversation
did, and what its source and its destination did in conversations *alike*: of the same protocol and the same class.

The classes: **failed** (refused, unanswered, or left half open), **answered** (or going on since before the window),
**one-way** (to a group address, or an ICMP notice), **pending** (begun in the last second in sight, and not answered
yet: its answer may lie beyond). A conversation is of the class that most of its flows are of. So a probe sees the scan
it is part of, while the scanner's own name lookups do not.

Most features are *high*: more than usual is suspicious, less is not; a conversation cut by the edge of a window or of
the capture is not unusual for that. A few count *both* ways. A feature that has no meaning for a conversation is empty,
never 0. None is an identifier: renaming hosts, renumbering ports of the same class and moving the clock leave all of
them as they are.

A name ends in the unit. `_count`, `_bytes`, `_s` and `_per_s` are compared on a logarithmic scale, `_ratio` (0 to 1)
and `_bits` as they are.
"""
SCHEMAS_INTRO = """# File formats

Plain CSV in UTF-8 with one header line, commas between cells, lines ended by LF; `.csv.gz` works wherever `.csv` does.
An empty cell means "does not apply"; 0 means measured zero. Times are UTC, ISO 8601 with nine decimals and `Z`
(`2026-11-21T04:00:05.275434000Z`). Readers check names, types and ranges, and say which stage to run when something is
missing. Extra columns are allowed.
"""
DATABASE_INTRO = """# Databases

`--database` makes `capture.py` store packets, and `detect.py` scores and incidents, besides writing their files:

```sh
python capture.py --read office.pcap --database                 # SQLite, results/packet_logs.db
python detect.py --database mysql://netnormal@db.lan/netnormal  # MariaDB or MySQL; postgresql://USER@HOST/DATABASE
```

The password comes from `NETNORMAL_DATABASE_PASSWORD`, or the whole URL from `NETNORMAL_DATABASE`, in the
environment or in a file `.env`, which git ignores. A password on the command line is refused: all users of
the machine could read it.

- **Nothing is stored twice.** A packet is known by its capture and number, a score by its window and
  conversation, an incident by its identifier. A capture is known by its first packet and, where two begin
  alike, by its checksum. Use one database for one network.
- **Outages.** A live capture never waits for a database: up to `database_rows` (params.yaml) rows wait in
  memory, what comes beyond is lost to the database (not to the files), is counted in `captures.lost_packets`,
  and is said once. A run that reads files waits 30 s, then ends with exit code 1; running it again stores
  what is missing.
- **`--keep-days N`** deletes, at the start, hourly, and at the end of a run that reads files, what is more than
  N days older than the latest row, by packet time. SQLite uses the room again, but its file does not shrink.
- **Versions.** The tables are of version {version}. An earlier database is brought up to date, a later one is
  refused.
{measured}
Times are nanoseconds since 1970, UTC.

## Ready queries

They are about the last capture; for another one, or some, change `capture_id = …`, or take a time instead:
`time_ns BETWEEN … AND …`. All run on SQLite, MariaDB and PostgreSQL; tests compare what they answer with
`summary.json`. For example

```sh
sqlite3 -box results/packet_logs.db    # or  mariadb DATABASE,  psql DATABASE;  then paste a query, and end it with ;
```
"""
MEASURED = """- **Speed.** 100,000 packets a second into SQLite, 39,000 into MariaDB, 40,000 into PostgreSQL:
  [measured](performance.md#how-many-packets-a-second-a-database-takes) on two cores.
"""


def cell(words: str) -> str:
    return words.replace("|", r"\|").replace("\n", " ") or " "


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *([cell(word) for word in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def features_page() -> str:
    parts = [WRITTEN, FEATURES_INTRO.format(count=len(FEATURE_COLUMNS))]
    for prefix, title in GROUPS.items():
        mine = [feature for feature in FEATURE_COLUMNS if feature.name.startswith(f"{prefix}_")]
        parts.append(f"\n## {title}\n\n")
        parts.append(table(("feature", "definition", "unit", "side", "why", "empty when", "source"), map(row, mine)))
    return "".join(parts)


def row(feature: Feature) -> tuple[str, ...]:
    empty = feature.empty or "never"
    return f"`{feature.name}`", feature.meaning, feature.unit, feature.side, feature.why, empty, feature.source


def schemas_page() -> str:
    parts = [WRITTEN, SCHEMAS_INTRO]
    for schema in (*tables.SCHEMAS, FLOWS):
        shown = [column for column in schema if not isinstance(column, Feature)]
        parts.append(f"\n## {schema.name}\n\n{schema.meaning}. Written by: `{schema.stage}`.\n\n")
        cells = ((f"`{c.name}`", KINDS[c.kind], c.meaning, c.unit, c.empty or "never") for c in shown)
        parts.append(table(("column", "type", "meaning", "unit", "empty when"), cells))
        if schema is tables.INCIDENTS:
            parts.append(
                "\n`incidents.json` is a list of the same, `destinations` and `services` as lists, and has:\n\n"
            )
            more = ((f"`{name}`", kind, meaning) for name, (kind, meaning) in tables.DOCUMENT.items())
            parts.append(table(("name", "type", "meaning"), more))
        if len(shown) < len(schema.columns):
            parts.append(f"\nThen {len(schema.columns) - len(shown)} features: see [features.md](features.md).\n")
    return "".join(parts)


def database_page() -> str:
    parts = [WRITTEN, DATABASE_INTRO.format(version=database.VERSION, measured=MEASURED)]
    for query in QUERIES.values():
        words = f"{query.words}\n\n" if query.words else ""
        parts.append(f"\n### {query.title}\n\n{words}```sql\n{query.sql}\n```\n")
    parts.append("\n## Tables\n")
    for one in database.METADATA.sorted_tables:
        parts.append(f"\n### {one.name}\n\n{str(one.comment).capitalize()}.\n\n")
        key = {column.name for column in one.primary_key}
        cells = (
            (
                f"`{c.name}`",
                str(c.type),
                str(c.comment),
                "key" if c.name in key else "may be" if c.nullable else "never",
            )
            for c in one.columns
        )
        parts.append(table(("column", "type", "meaning", "empty"), cells))
    return "".join(parts)


PAGES = {"features.md": features_page, "schemas.md": schemas_page, "database.md": database_page}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is not up to date")
    check = parser.parse_args().check
    for name, page in PAGES.items():
        path = DOCS / name
        if not check:
            path.write_text(page(), "utf-8")
        elif not path.exists() or path.read_text("utf-8") != page():
            sys.exit(f"docs/{name} is not what the code says: run  python docs/make_docs.py")


if __name__ == "__main__":
    main()
