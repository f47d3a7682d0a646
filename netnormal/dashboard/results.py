"""What the stages wrote, read for the dashboard: checked, cached by what the files look like, never written to."""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import answers, documents, tables, words
from netnormal import explanation as explaining
from netnormal.explanation import NOVEL, WORDS
from netnormal.plain import plain
from netnormal.tables import SEVERITIES

MOST_BYTES = 256 << 20  # of a JSON file that is read whole
MOST_ANOMALIES = 100_000  # whose reasons are counted
MOST_LISTED = 20  # destinations and services that an incident names
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
#: names of features where a reason begins; of one that begins as another does the longer
_FEATURE = re.compile(
    "(?:^|; )("
    + "|".join(re.escape(name) for name in sorted([*WORDS.values(), *NOVEL.values()], key=len, reverse=True))
    + r")(?= \d| of| under| less| none)"
)
_DETECT = "write it again with  python detect.py"


@dataclass(frozen=True)
class Reason:
    """One feature of an incident against its usual range; value is NaN where `words` say all. said: the value and the
    range in words; share: of the explanation, 0..1."""

    words: str
    value: float
    low: float
    high: float
    said: str
    share: float


@dataclass(frozen=True)
class Incident:
    """A document of incidents.json after checking. Times in ns UTC."""

    incident_id: str
    start: int
    end: int
    pattern: str
    title: str
    technique: str
    severity: str
    score: float
    source: str
    destinations: tuple[str, ...]
    services: tuple[str, ...]
    packets: int
    bytes: int
    reasons: str
    display_filter: str
    normal: str = ""
    evidence: str = ""
    explanation: tuple[Reason, ...] = ()
    community_ids: tuple[str, ...] = ()
    document: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def kind(self) -> str:
        return answers.kind(self.pattern)

    @property
    def lasts_s(self) -> float:
        return (self.end - self.start) / 1e9


def incident(document: Any) -> Incident:
    """Raises ValueError, TypeError or KeyError if `document` is no incident."""
    name = document["incident_id"]
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ValueError(f"incident_id {name!r}")
    return Incident(
        name,
        tables.nanoseconds(document["start"]),
        tables.nanoseconds(document["end"]),
        plain(document["pattern"], 60),
        plain(document["title"]),
        plain(document.get("technique") or "", 40),
        document["severity"] if document["severity"] in SEVERITIES else "low",
        number(document["score"], 0.0),
        plain(document["source"], 100),
        tuple(plain(word, 100) for word in list(document.get("destinations") or ())[:MOST_LISTED]),
        tuple(plain(word, 60) for word in list(document.get("services") or ())[:MOST_LISTED]),
        int(document["packets"]),
        int(document["bytes"]),
        plain(document.get("reasons") or "", 4000),
        plain(document.get("display_filter") or "", 8000),
        plain(document.get("normal") or "", 1000),
        _evidence(document.get("evidence") or {}),
        tuple(_reason(one) for one in list(document.get("explanation") or ())[:10]),
        tuple(plain(word, 80) for word in list(document.get("community_ids") or ())[:20]),
        document,
    )


def _reason(one: Any) -> Reason:
    values = {name: number(one.get(name)) for name in ("value", "usual_low", "usual_high")}
    value, low, high = values.values()
    said = ""
    if not any(map(math.isnan, values.values())):
        entry = {"feature": str(one["feature"]), "unit": plain(one.get("unit") or "", 20), **values}
        said = f"{explaining.amount(entry)} (usually {explaining.usual(entry)})"
    return Reason(plain(one.get("words") or one["feature"], 160), value, low, high, said, number(one.get("share"), 0.0))


def _evidence(found: Any) -> str:
    """The numbers behind a named pattern, in words."""
    try:
        return plain(words.evidence(found), 1000)
    except (KeyError, TypeError, ValueError):  # of another version, or not ours
        return plain(", ".join(f"{name} {value}" for name, value in dict(found).items()), 1000)


def number(value: Any, otherwise: float = math.nan) -> float:
    """A finite number from JSON, or `otherwise` where there is something else."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else otherwise


# ---------------------------------------------------------------- files


def signature(path: Path) -> tuple[int, int]:
    """Changes whenever the file does; (0, 0) if there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def document(path: Path, remedy: str = _DETECT) -> Any:
    """The JSON in `path`, or None if there is none. Raises InputError if it is damaged."""
    return _document(str(path), signature(path), remedy) if signature(path) != (0, 0) else None


@functools.lru_cache(maxsize=32)
def _document(path: str, seen: tuple[int, int], remedy: str) -> Any:
    if seen[1] > MOST_BYTES:
        raise tables.InputError(path, f"has {seen[1]:,} bytes, too many to show", remedy)
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise tables.InputError(path, f"is not JSON ({error})", remedy) from error


def incidents(folder: Path) -> list[Incident] | None:
    """The incidents of a results folder, worst first; None if detect.py did not write there yet.

    Raises InputError if the file is damaged.
    """
    path = folder / "incidents.json"
    seen = signature(path)
    return list(_incidents(str(path), seen)) if seen != (0, 0) else None


@functools.lru_cache(maxsize=8)
def _incidents(path: str, seen: tuple[int, int]) -> tuple[Incident, ...]:
    if seen[1] > MOST_BYTES:
        raise tables.InputError(path, f"has {seen[1]:,} bytes, too many to show", _DETECT)
    try:
        made = tuple(incident(one) for one in documents.read(path))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise tables.InputError(path, f"holds what is no incident ({error!r})", _DETECT) from error
    return tuple(sorted(made, key=lambda one: (SEVERITIES.index(one.severity), -one.score, one.start)))


def mapping(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file, or it holds something else."""
    value = document(path)
    return value if isinstance(value, dict) else {}


def at(value: Any, *names: str, otherwise: Any = None) -> Any:
    """value[name][name]…, or `otherwise` where there is none of it."""
    for name in names:
        if not isinstance(value, dict) or value.get(name) is None:
            return otherwise
        value = value[name]
    return value


def notices(folder: Path) -> pd.DataFrame | None:
    """What is new and no incident: tables.NOTICES with texts made plain; None without a file. Raises InputError."""
    path = folder / "notices.csv"
    seen = signature(path)
    return _notices(str(path), seen) if seen != (0, 0) else None


@functools.lru_cache(maxsize=2)
def _notices(path: str, seen: tuple[int, int]) -> pd.DataFrame:
    if seen[1] > MOST_BYTES:
        raise tables.InputError(path, f"has {seen[1]:,} bytes, too many to show", _DETECT)
    told = tables.read(path, tables.NOTICES)
    return told.assign(**{name: [plain(text) for text in told[name]] for name in ("title", "pattern", "source")})


# ---------------------------------------------------------------- verdicts on packets


@dataclass(frozen=True, eq=False)
class Verdicts:
    """labelled_packets.csv: by packet number - 1 whether it is anomalous, and its incident (-1: none) among `ids`."""

    anomalous: np.ndarray
    incident: np.ndarray
    ids: tuple[str, ...]

    def numbers(self, incident_id: str) -> np.ndarray:
        """The packets of an incident, ascending."""
        if incident_id not in self.ids:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.incident == self.ids.index(incident_id)) + 1


def verdicts(folder: Path) -> Verdicts | None:
    """What detect.py said of each packet; None where it did not. 5 bytes a packet in memory. Raises InputError."""
    path = folder / "labelled_packets.csv"
    seen = signature(path)
    return _verdicts(str(path), seen) if seen != (0, 0) else None


@functools.lru_cache(maxsize=1)
def _verdicts(path: str, _seen: tuple[int, int]) -> Verdicts:
    anomalous, codes, ids = [], [], list[str]()
    for block in tables.blocks(path, tables.LABELLED_PACKETS):
        anomalous.append((block["label"] == "anomalous").to_numpy())
        words = block["incident_id"].array
        place = []
        for word in words.categories:
            if word not in ids:
                ids.append(word)
            place.append(ids.index(word))
        codes.append(np.array([*place, -1], np.int32)[words.codes])
    if not codes:
        return Verdicts(np.zeros(0, bool), np.zeros(0, np.int32), ())
    return Verdicts(np.concatenate(anomalous), np.concatenate(codes), tuple(ids))


# ---------------------------------------------------------------- what decided


@dataclass(frozen=True)
class Deciding:
    """Of the first `rows` anomalous conversations, in how many each feature (in words) is among the reasons."""

    rows: int
    features: Counter[str]


def deciding(folder: Path) -> Deciding | None:
    """The reasons in anomalies.csv, counted; None where there is none. Raises InputError."""
    path = folder / "anomalies.csv"
    seen = signature(path)
    return _deciding(str(path), seen) if seen != (0, 0) else None


@functools.lru_cache(maxsize=2)
def _deciding(path: str, _seen: tuple[int, int]) -> Deciding:
    rows, features = 0, Counter[str]()
    for block in tables.blocks(path, tables.ANOMALIES):
        rows += len(block)
        for text, times in block["reasons"].astype(object).value_counts().items():
            named = set(_FEATURE.findall(str(text)))
            features.update(dict.fromkeys(named, int(times)))
        if rows >= MOST_ANOMALIES:
            break
    return Deciding(rows, features)


# ---------------------------------------------------------------- scores, summed up

EDGES = 10.0 ** -np.arange(0, 7.5, 0.5)  # tail probabilities that are counted


@dataclass(frozen=True)
class Scores:
    """scores.csv summed up. over_time: time [ns] (window start), window_s, rows, anomalies, rare (tail under 1 %).
    tails: window_s → rows at or under each of EDGES."""

    over_time: pd.DataFrame
    tails: dict[int, np.ndarray]


def scores(folder: Path) -> Scores | None:
    """Sums of scores.csv, read on from where the last reading ended; None where there is none. Raises InputError."""
    path = folder / "scores.csv"
    return _follower(str(path)).scores() if path.exists() else None


@functools.lru_cache(maxsize=4)
def _follower(path: str) -> _ScoresFollower:
    return _ScoresFollower(Path(path))


class _ScoresFollower:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._reset()

    def _reset(self) -> None:
        self.identity, self.offset, self.header = (0, 0), 0, ""
        self.times: dict[tuple[int, int], np.ndarray] = {}
        self.tails: dict[int, np.ndarray] = {}

    def scores(self) -> Scores:
        with self.path.open("rb") as file:
            status = self.path.stat()
            if self.identity != (status.st_dev, status.st_ino) or status.st_size < self.offset:
                self._reset()
                self.identity = (status.st_dev, status.st_ino)
                self.header = file.readline(1 << 16).decode("utf-8", "replace")
                self.offset = len(self.header.encode())
            file.seek(self.offset)
            while data := file.read(32 << 20):
                data = data[: data.rfind(b"\n") + 1]
                if not data:
                    break
                self._add(tables.parse(data, self.header, tables.SCORES, self.path))
                self.offset += len(data)
                file.seek(self.offset)
        rows = [(start, window, *sums) for (window, start), sums in sorted(self.times.items())]
        table = pd.DataFrame(rows, columns=["time", "window_s", "rows", "anomalies", "rare"]).astype(np.int64)
        return Scores(table, dict(self.tails))

    def _add(self, rows: pd.DataFrame) -> None:
        rows = rows.assign(rare=rows["tail_probability"] <= 0.01, rows=1)
        sums = rows.groupby(["window_s", "window_start"], as_index=False)[["rows", "anomaly", "rare"]].sum()
        for window, start, *counts in sums.to_numpy(np.int64).tolist():
            self.times[window, start] = self.times.get((window, start), np.zeros(3, np.int64)) + counts
        for window in np.unique(rows["window_s"].to_numpy()).tolist():
            tail = rows["tail_probability"].to_numpy()[rows["window_s"].to_numpy() == window]
            known = self.tails.get(window, np.zeros(len(EDGES), np.int64))
            self.tails[window] = known + (tail[:, None] <= EDGES).sum(axis=0)
