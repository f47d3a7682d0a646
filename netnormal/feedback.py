"""Verdicts of a person on incidents, `dataset/feedback.csv`: what the model called unusual, and was it harmless?

A verdict changes nothing by itself. At the next training the rows of benign incidents join the calibration, as rows of
held-out traffic do: the threshold then rests on what people here found harmless too. It rises a little for everything;
who wants to hear no more of one thing writes a suppression.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import documents, tables
from netnormal.plain import cell, plain
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

    document : of incidents.json. verdict : one of VERDICTS. results : the folder with its anomalies.csv, from which a
    benign verdict keeps the rows; without it, or if it has none of the incident, no rows join.
    Raises InputError if the verdict is none, if the file has something else in it, or if it cannot be written.
    """
    identifier = str(document["incident_id"])
    if verdict not in VERDICTS:
        what = f"{plain(verdict, 40)} is no verdict"
        raise InputError(plain(identifier, 40), what, f"it is {' or '.join(VERDICTS)}")
    try:
        start = tables.nanoseconds(str(document["start"]))
    except ValueError as error:
        what = f"its start is no time ({plain(document['start'], 40)})"
        raise InputError(plain(identifier, 40), what, "write it again with  python detect.py") from error
    texts = {
        "incident_id": _cell(identifier),
        "verdict": verdict,
        "reason": _cell(reason) or None,
        "pattern": _cell(document["pattern"]),
        "title": _cell(document["title"]),
        "rows": None if verdict == MALICIOUS or results is None else _rows_of(identifier, Path(results)),
    }
    values = {"given": np.array([time.time_ns()]), "start": np.array([start])}
    line = pd.DataFrame(values | {name: pd.Categorical(pd.array([text], dtype="str")) for name, text in texts.items()})
    with tables.alone(path):
        earlier = read(path)
        if len(earlier) >= MOST_VERDICTS:
            raise InputError(path, f"has {len(earlier):,} verdicts, and no room for more", "delete old ones")
        tables.write(path, FEEDBACK, tables.concat([earlier, line[FEEDBACK.names]]))


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
        raise InputError(
            path, "does not exist", "give a verdict first:  python detect.py --feedback ID=benign"
        ) from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "make it readable") from error
    if size > MOST_BYTES:
        raise InputError(path, f"has {size:,} bytes, more than verdicts ever have", _REMEDY)
    table = tables.read(path, FEEDBACK)
    for number, verdict in enumerate(table["verdict"].astype(str), 1):
        if verdict not in VERDICTS:
            raise InputError(path, f"verdict {number:,} is {verdict!r}, not benign or malicious", _REMEDY)
    return table


def verdicts(path: str | os.PathLike[str]) -> dict[str, str]:
    """Of each incident that a person judged the last verdict, by id. Raises InputError as `read` does."""
    table = read(path)
    return dict(zip(table["incident_id"].astype(str), table["verdict"].astype(str), strict=True))


def benign_rows(path: str | os.PathLike[str], optional: bool = True) -> tuple[pd.DataFrame, int, int]:
    """The rows that join the calibration (tables.FEATURES), of how many incidents they are, and how many incidents
    kept rows of another version, which do not.

    Raises InputError where a cell is no value of its column.
    """
    table = read(path, optional)
    last = table[~table["incident_id"].astype(str).duplicated(keep="last")]
    parts, other = [], 0
    for text in last.loc[last["verdict"] == BENIGN, "rows"].dropna():
        header, _, lines = str(text).partition("\n")
        if set(tables.FEATURES.names) - set(header.split(",")):
            other += 1  # the verdict stays, for people
        else:
            parts.append(tables.parse(lines.encode(), header, tables.FEATURES, path))
    joined = tables.concat(parts) if parts else tables.empty(tables.FEATURES)
    return joined[tables.FEATURES.names], len(parts), other


def given(verdicts: Sequence[str], results: str | os.PathLike[str], reason: str = "") -> str:
    """Record verdicts written as ID=benign or ID=malicious in FILE; returns a sentence. All of them or, if one is
    none, raises InputError and records nothing."""
    judged = []
    for text in verdicts:
        identifier, _, verdict = text.partition("=")
        if not identifier or verdict not in VERDICTS:
            what = f"{plain(text, 60)} is no verdict"
            raise InputError("--feedback", what, "write  --feedback ID=benign  or  ID=malicious")
        judged.append((*find(identifier, results), verdict))
    for document, folder, verdict in judged:
        record(FILE, document, verdict, reason, folder)
    said = ", ".join(f"{document['incident_id']} {verdict}" for document, _, verdict in judged)
    return f"{said} → {FILE}; models change at the next  python train_model.py  only"


def find(identifier: str, results: str | os.PathLike[str]) -> tuple[dict[str, Any], Path]:
    """The document of the incident with this id, and the folder that tells of it: `results`, or its `live`.

    Raises InputError if there is none, or if an incidents.json is damaged.
    """
    files = [Path(results) / "incidents.json", Path(results) / "live" / "incidents.json"]
    there = [path for path in files if path.exists()] or files[:1]
    known: list[str] = []
    for path in there:
        for document in documents.read(path):
            if document["incident_id"] == identifier:
                return document, path.parent
            known.append(document["incident_id"])
    remedy = f"name one of the {len(known):,} it has, as {known[0]}" if known else "there is nothing to judge"
    raise InputError(there[0], f"has no incident {plain(identifier, 40)}", remedy)


def _rows_of(identifier: str, results: Path) -> str | None:
    """The most unusual row of each source and window of an incident, as lines of features.csv."""
    path = results / "anomalies.csv"
    if not path.exists():
        return None
    found = [part[part["incident_id"] == identifier] for part in tables.blocks(path, tables.ANOMALIES)]
    rows = tables.concat([part for part in found if len(part)] or [tables.empty(tables.ANOMALIES)])
    rows = rows.sort_values("score", ascending=False, kind="stable").drop_duplicates(_KEY).head(MOST_ROWS)
    return tables.text(tables.FEATURES, rows[tables.FEATURES.names]) if len(rows) else None


def _cell(text: object) -> str:
    return cell(plain(text, MOST_LETTERS))
