"""Verdicts of a person on incidents, `dataset/feedback.csv`: what the model called unusual, and was it harmless?

A verdict changes nothing by itself. At the next training the rows of benign incidents join the calibration, as rows of
held-out traffic do: the threshold then rests on what people here found harmless too. It rises a little for everything;
who wants to hear no more of one thing writes a suppression.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import tables
from netnormal.tables import FEEDBACK, InputError

FILE = "dataset/feedback.csv"
BENIGN, MALICIOUS = "benign", "malicious"
VERDICTS = (BENIGN, MALICIOUS)
MOST_ROWS = 20  # of one incident: no single flood decides what is usual
MOST_VERDICTS = 10_000
MOST_BYTES = 200 << 20
MOST_LETTERS = 1000  # of a reason or title
_KEY = ["window_s", "window_start", "source"]
_REMEDY = "correct the line, or delete it"


def record(
    path: str | os.PathLike[str],
    document: Mapping[str, Any],
    verdict: str,
    reason: str = "",
    results: str | os.PathLike[str] | None = None,
) -> None:
    """Add a verdict, whole or not at all, also when others write at the same time.

    document : of incidents.json. verdict : one of VERDICTS. results : the folder with the incident's anomalies.csv, from
    which a benign verdict keeps the rows; without it, or if it has none of the incident, no rows join.
    Raises InputError if the verdict is none, if the file has something else in it, or if it cannot be written.
    """
    identifier = str(document["incident_id"])
    if verdict not in VERDICTS:
        raise InputError(identifier, f"{verdict!r} is no verdict", f"write  {identifier}=benign  or  =malicious")
    rows = "" if verdict == MALICIOUS or results is None else _rows_of(identifier, Path(results) / "anomalies.csv")
    start = document["start"]
    line = pd.DataFrame(
        {
            "given": np.array([time.time_ns()]),
            "incident_id": [_plain(identifier)],
            "verdict": [verdict],
            "reason": [_plain(reason) or None],
            "pattern": [_plain(document["pattern"])],
            "start": np.array([_moment(start) if isinstance(start, str) else start], np.int64),
            "title": [_plain(document["title"])],
            "rows": [rows or None],
        }
    )
    with tables.alone(path):
        earlier = read(path)
        if len(earlier) >= MOST_VERDICTS:
            raise InputError(path, f"has {len(earlier):,} verdicts, and no room for more", "delete old ones")
        both = pd.concat([earlier.astype({name: object for name in _TEXTS}), line.astype(object)], ignore_index=True)
        for name in _TEXTS:
            both[name] = pd.Categorical(both[name])
        tables.write(path, FEEDBACK, both)


def read(path: str | os.PathLike[str], optional: bool = True) -> pd.DataFrame:
    """All verdicts, a table of tables.FEEDBACK; without the file none, unless it is not `optional`.

    Raises InputError at the first line that holds no verdict.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if optional:
            return tables.empty(FEEDBACK)
        raise InputError(path, "does not exist", "give a verdict first:  python detect.py --feedback ID=benign") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "make it readable") from error
    if size > MOST_BYTES:
        raise InputError(path, f"has {size:,} bytes, more than verdicts ever have", _REMEDY)
    table = tables.read(path, FEEDBACK)
    for number, verdict in enumerate(table["verdict"].astype(str), 1):
        if verdict not in VERDICTS:
            raise InputError(path, f"verdict {number:,} is {verdict!r}, not benign or malicious", _REMEDY)
    return table


def benign_rows(path: str | os.PathLike[str], optional: bool = True) -> tuple[pd.DataFrame, int, int]:
    """The rows that join the calibration (tables.FEATURES), of how many incidents they are, and how many incidents
    kept rows of another version, which do not.

    Raises InputError where a cell is no value of its column.
    """
    table = read(path, optional)
    last = table[~table["incident_id"].astype(str).duplicated(keep="last")]
    kept, other = [], 0
    for number, row in last[(last["verdict"] == BENIGN) & last["rows"].notna()].iterrows():
        header, _, lines = str(row["rows"]).partition("\n")
        if set(tables.FEATURES.names) - set(header.split(",")):
            other += 1  # of a version with other features; the verdict stays, for people
            continue
        kept.append(tables.parse(lines.encode(), header, tables.FEATURES, f"{path}: rows of verdict {number + 1:,}"))
    joined = tables.concat(kept) if kept else tables.empty(tables.FEATURES)
    return joined[tables.FEATURES.names], len(kept), other


def asked(text: str) -> tuple[str, str]:
    """ID=benign or ID=malicious → (id, verdict). Raises InputError."""
    identifier, _, verdict = text.partition("=")
    if not identifier or verdict not in VERDICTS:
        raise InputError("--feedback", f"{text!r} is no verdict", "write  --feedback ID=benign  or  ID=malicious")
    return identifier, verdict


def find(identifier: str, documents: Iterable[Mapping[str, Any]], where: object) -> Mapping[str, Any]:
    """The incident with this id. Raises InputError if none has it."""
    known = []
    for document in documents:
        if document["incident_id"] == identifier:
            return document
        known.append(str(document["incident_id"]))
    remedy = f"name one of its ids, as {known[0]}" if known else "there is no incident to judge"
    raise InputError(where, f"has no incident {ascii(identifier[:40])}", remedy)


_TEXTS = [column.name for column in FEEDBACK if column.kind == "text"]


def _rows_of(identifier: str, path: Path) -> str:
    """The most unusual row of each source and window of an incident, as lines of features.csv."""
    if not path.exists():
        return ""
    found = [part[part["incident_id"] == identifier] for part in tables.blocks(path, tables.ANOMALIES)]
    rows = tables.concat([part for part in found if len(part)] or [tables.empty(tables.ANOMALIES)])
    rows = rows.sort_values("score", ascending=False, kind="stable")
    rows = rows.drop_duplicates(_KEY).head(MOST_ROWS)
    return tables.text(tables.FEATURES, rows[tables.FEATURES.names]) if len(rows) else ""


def _plain(text: object) -> str:
    """Text that may come from the network, for a cell: one line, and no formula."""
    shown = "".join(c if c.isprintable() else " " for c in str(text))
    return tables.harmless(" ".join(shown.split())[:MOST_LETTERS])


def _moment(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))
