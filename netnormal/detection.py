"""The loop of detection: packets in, verdicts on rows and packets and incidents out. Batch drives it to the end, follow
mode never ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from netnormal import features, flows, patterns, tables, traffic
from netnormal.explanation import Attribution
from netnormal.incidents import IncidentMerger
from netnormal.model import Model
from netnormal.notices import INFO, Notices, counts
from netnormal.settings import Settings
from netnormal.threats import ThreatList

SECOND = 1_000_000_000
MOST_REASONS = 5  # that an anomaly lists
NAMED_SCORE = 0.99  # least score of a named incident of NAMED_SEVERITIES; the forest's highest are about 0.97
NAMED_SEVERITIES = ("critical", "high", "medium")
CALLS_S = 60  # calls are looked at as often as windows of at least this length close [s]
LABELS = pd.Index(["normal", "anomalous"])


@dataclass
class Judged:
    """What became known: tables of SCORES, one for each window that closed, tables of ANOMALIES whose incident is known
    now, and the documents of incidents that are new or changed."""

    scores: list[pd.DataFrame]
    anomalies: list[pd.DataFrame]
    documents: list[dict[str, Any]]


@dataclass
class Outcome:
    """What detection found in all: incidents, worst first, tables of LABELLED_PACKETS and NOTICES, and summary.json's
    content."""

    documents: list[dict[str, Any]]
    labelled_packets: pd.DataFrame
    notices: pd.DataFrame
    summary: dict[str, Any]

    @property
    def incidents(self) -> pd.DataFrame:
        """A table of INCIDENTS."""
        return incident_table(self.documents)


class PacketVerdicts:
    """For each packet the score of its most unusual row, and the incident it belongs to.

    Bounded by 34 bytes a packet: a window of any length may still change the verdict on what an earlier one judged.
    """

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self._column = {window_s: i for i, window_s in enumerate(lengths)}
        self._number = np.zeros(0, np.int64)
        self._score = np.zeros(0, np.float64)
        self._anomaly = np.zeros(0, bool)
        self._draft = np.zeros((0, len(lengths)), np.int32)
        self._talk = np.zeros(0, np.int32)
        self.count = 0

    def add(self, numbers: np.ndarray) -> None:
        """Packets that were read; `numbers` (int64) go on rising from block to block, else ValueError."""
        last = self._number[self.count - 1] if self.count else 0
        if (np.diff(numbers, prepend=last) <= 0).any():
            raise ValueError("packet numbers do not rise")
        count = self.count + len(numbers)
        if count > len(self._number):
            more = max(2 * len(self._number), count) - len(self._number)
            self._number, self._score = np.pad(self._number, (0, more)), np.pad(self._score, (0, more))
            self._anomaly = np.pad(self._anomaly, (0, more))
            self._talk = np.pad(self._talk, (0, more), constant_values=-1)
            self._draft = np.pad(self._draft, ((0, more), (0, 0)), constant_values=-1)
        self._number[self.count : count] = numbers
        self.count = count

    def judge(
        self, window_s: int, numbers: np.ndarray, score: np.ndarray, anomaly: np.ndarray, draft: np.ndarray
    ) -> None:
        """Verdicts of one window on packets that were added: the highest score of all windows counts."""
        at = np.searchsorted(self._number[: self.count], numbers)
        self._score[at] = np.maximum(self._score[at], score)
        self._anomaly[at] |= anomaly
        self._draft[at, self._column[window_s]] = draft

    def remember(self, numbers: np.ndarray, talk: np.ndarray) -> None:
        """Of which remembered talk these packets are; -1: none."""
        self._talk[np.searchsorted(self._number[: self.count], numbers)] = talk

    def look_back(self, window_s: int, earlier: patterns.Earlier, draft: int) -> None:
        """What a finding of a window of this length says of packets in windows before."""
        column = self._draft[: self.count, self._column[window_s]]
        first = int(np.searchsorted(self._number[: self.count], earlier.packet))
        mine = first + np.flatnonzero((self._talk[first : self.count] == earlier.talk) & (column[first:] < 0))
        column[mine] = draft

    @property
    def scores(self) -> np.ndarray:
        return self._score[: self.count]

    def table(self, place: np.ndarray, incident_ids: pd.Index, least: np.ndarray) -> pd.DataFrame:
        """A table of tables.LABELLED_PACKETS; `place` says which of `incident_ids` each draft became (-1: none).

        A packet of an incident is anomalous and scores at least `least` of that incident, whatever its rows' scores: a
        named pattern knows what a forest trained on such traffic takes for usual. See `joined`.
        """
        # What a short window saw says best which packets it was: a long one sees several incidents of a host at once.
        incident = np.full(self.count, -1, np.int64)
        for draft in self._draft[: self.count].T[::-1]:
            placed = np.append(place, -1)[draft]
            incident = np.where(placed >= 0, placed, incident)
        anomalous = self._anomaly[: self.count] | (incident >= 0)
        return pd.DataFrame(
            {
                "packet": self._number[: self.count],
                "score": joined(self.scores, np.append(least, 0.0)[incident]),
                "label": pd.Categorical.from_codes(anomalous.astype(np.int64), LABELS),
                "incident_id": pd.Categorical.from_codes(incident, incident_ids),
            }
        )


def joined(score: np.ndarray | float, least: np.ndarray | float) -> np.ndarray:
    """Scores of rows, raised to at least `least` of the incident they are in.

    Where that has a name both verdicts count, as 1 - (1 - score) (1 - least), a noisy or (Pearl 1988): what happens to
    go on beside an attack, between the same hosts, then ranks below it.
    """
    return np.where(least >= NAMED_SCORE, 1 - (1 - score) * (1 - least), np.maximum(score, least))


class Detection:
    """Packets in, verdicts out: `push` blocks of packets, `flush` at their end; `finish` tells what came of all.

    With `stored` the rows of features come from there, a window at a time, instead of from the packets. Without any
    packets `push_rows` judges conversations alone. `live` keeps nothing that grows with time: no verdicts by packet, no
    statistics, and of incidents those that may still change.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        threats: ThreatList | None = None,
        stored: Iterator[pd.DataFrame] | None = None,
        live: bool = False,
    ) -> None:
        self.model, self._settings, self._threats, self._stored = model, settings.detect, threats, stored
        self._live = live
        self.windower = features.Windower(settings.extract_features)
        self.merger = IncidentMerger(settings.detect.incidents, settings.extract_features.windows_s)
        self.notices = Notices()
        self._memory = patterns.ScanMemory(settings.detect.patterns)
        self._asked = patterns.NameMemory(settings.detect.patterns)
        self._calls = patterns.CallMemory(settings.detect.patterns)
        lengths = settings.extract_features.windows_s
        self._longest = max(lengths)
        self._step = min((length for length in lengths if length >= CALLS_S), default=self._longest)
        self.rows = self.anomalies = 0
        self._waiting: list[tuple[pd.DataFrame, np.ndarray]] = []  # anomalous rows and their drafts, not yet decided
        self._documents: dict[str, dict[str, Any]] = {}
        self._decided: list[tuple[int, str]] = []
        self._labels = PacketVerdicts(settings.extract_features.windows_s)
        self._statistics = traffic.TrafficStatistics()

    def push(self, packets: pd.DataFrame, mark: Any = None) -> Judged:
        """The next packets (tables.PACKETS); `mark` as for `Windower.push`.

        Raises ValueError if packet numbers do not rise, or if `stored` holds other rows than these packets give.
        """
        return _together(self.by_window(packets, mark))

    def by_window(self, packets: pd.DataFrame, mark: Any = None) -> Iterator[Judged]:
        """As `push`, but each window's verdicts as soon as they are there: the next window may take its time."""
        if not self._live:
            self._statistics.add(packets)
            self._labels.add(packets["packet"].to_numpy())
        yield from self._judge_all(self.windower.push(packets, mark))

    def quiet(self, now: int) -> Iterator[Judged]:
        """No packet came, but it is `now` (ns, packet time): judges the windows that ended; see `Windower.quiet`."""
        yield from self._judge_all(self.windower.quiet(now))

    def flush(self) -> Judged:
        """The packets are over: judges the windows still open. Raises ValueError as `push` does."""
        judged = _together(self._judge_all(self.windower.flush()))
        if self._stored is not None and next(self._stored, None) is not None:
            raise ValueError("it has rows beyond the last packet")
        self.merger.flush()
        judged.anomalies += self._anomalies_decided()
        judged.documents = list({d["incident_id"]: d for d in [*judged.documents, *self._changed()]}.values())
        return judged

    def push_rows(self, rows: pd.DataFrame) -> Judged:
        """Judge the rows (tables.FEATURES) of one window without their packets."""
        window_s, start = int(rows["window_s"].iloc[0]), int(rows["window_start"].iloc[0])
        rows, anomalous, why = self._scored(rows)
        draft_of_row, _ = self.merger.push(window_s, start + window_s * SECOND, rows, [], why=why)
        scores = self._noted(rows, anomalous, draft_of_row)
        return Judged([scores], self._anomalies_decided(), self._changed())

    def due(self, now: int) -> bool:
        """Would `quiet` tell anything new?"""
        return self.windower.due(now) or self.merger.due(now - self.windower.lateness_ns)

    @property
    def evicted(self) -> dict[str, int]:
        """What the bounds on memory cut short: packets of windows, incidents' parts, slow scans, calls, notices."""
        return {
            "packets": self.windower.evicted,
            **self.merger.evicted,
            "scans": self._memory.evicted,
            "calls": self._calls.evicted,
            "names": self._asked.evicted,
            "notices": self.notices.evicted,
        }

    def state(self) -> dict[str, Any]:
        """All that later windows depend on but the packets of the open ones, as values that JSON knows (and NaN).

        Only while `windower.firm`, and live. What `resume` needs besides is the windower's progress before the block
        from which packets are to be pushed again: that of `windower.oldest`, else of now.
        """
        assert self._live and self.windower.firm
        waiting = [
            [{name: rows[name].tolist() for name in _WAITING}, drafts.tolist()] for rows, drafts in self._waiting
        ]
        return {
            "closed": self.windower.judged,
            "evicted": self.windower.evicted,
            "rows": self.rows,
            "anomalies": self.anomalies,
            "waiting": waiting,
            "merger": self.merger.state(),
            "notices": self.notices.state(),
            "memory": self._memory.state(),
            "asked": self._asked.state(),
            "calls": self._calls.state(),
        }

    def resume(self, state: dict[str, Any], progress: dict[str, int]) -> None:
        """Go on from `state`. Raises ValueError, TypeError, KeyError or AttributeError if it is nothing of the kind."""
        self.windower.resumed(progress, state["closed"], state["evicted"])
        self.rows, self.anomalies = int(state["rows"]), int(state["anomalies"])
        self._waiting = [(_restored(columns), np.array(drafts, np.int64)) for columns, drafts in state["waiting"]]
        self.merger.restore(state["merger"])
        self.notices.restore(state["notices"])
        self._memory.restore(state["memory"])
        self._asked.restore(state["asked"])
        self._calls.restore(state["calls"])

    @property
    def row_scores(self) -> np.ndarray:
        """Of each packet so far the highest score of its rows, which is the forest's verdict without the patterns'."""
        return self._labels.scores

    def _judge_all(self, windows: list[features.Window]) -> Iterator[Judged]:
        # All windows at once take less time, one by one the first of them is known sooner.
        for some in [[window] for window in windows] if self._live else [windows] if windows else []:
            stored = rows_by_window([features.features_of(some)]) if self._stored is None else self._stored
            for window in some:
                scores = self._judge(window, next(stored, None))
                yield Judged([scores], self._anomalies_decided(), self._changed() if self._live else [])
        self.merger.advance(self.windower.closed)
        yield Judged([], self._anomalies_decided(), self._changed())

    def _judge(self, window: features.Window, rows: pd.DataFrame | None) -> pd.DataFrame:
        flow_table, flow_of_packet = flows.flows(window.packets)
        keys, row_of_flow = flows.conversations(flow_table)
        if rows is None or not _is_of(rows, keys, window):
            when = tables.iso(window.start)
            raise ValueError(f"its rows are not those of the packets in the {window.window_s} s window of {when}")
        rows, anomalous, why = self._scored(rows)
        findings = patterns.find(
            window.packets,
            flow_table,
            flow_of_packet,
            self._settings.patterns,
            window.window_s,
            self.model.known_before(*window.packets["time"].iloc[[0, -1]].tolist()),
            self._memory if window.window_s == self._longest else None,
            self._asked if window.window_s == self._longest else None,
            self._calls if window.window_s == self._step else None,
        )
        self.notices.push(findings)
        findings = [finding for finding in findings if finding.severity != INFO]
        if self._threats is not None:
            findings += self._threats.find(window.packets, flow_table, flow_of_packet)
        end = window.start + window.window_s * SECOND
        draft_of_row, draft_of_flow = self.merger.push(
            window.window_s, end, rows, findings, flow_table, row_of_flow, why
        )
        if not self._live:
            row_of_packet = row_of_flow[flow_of_packet]
            draft = self.merger.of_packets(draft_of_flow, flow_of_packet, window.packets["time"].to_numpy())
            # A finding explains why its row is unusual. What else is in that row, as the ordinary lookups beside a
            # tunnel, is not judged by it.
            beside = (draft < 0) & self.merger.named(draft_of_row)[row_of_packet]
            self._labels.judge(
                window.window_s,
                window.packets["packet"].to_numpy(),
                np.where(beside, 0.0, rows["score"].to_numpy()[row_of_packet]),
                (rows["anomaly"].to_numpy()[row_of_packet] == 1) & ~beside,
                draft,
            )
            if window.window_s == self._step:
                self._look_back(window, flow_of_packet, findings)
        return self._noted(rows, anomalous, draft_of_row)

    def _look_back(self, window: features.Window, flow_of_packet: np.ndarray, findings: list[patterns.Finding]) -> None:
        """What is known now of packets in windows before."""
        self._labels.remember(window.packets["packet"].to_numpy(), self._calls.talk_of_flow[flow_of_packet])
        for finding in findings:
            if finding.earlier is not None and finding.earlier.packets:
                self._labels.look_back(window.window_s, finding.earlier, self.merger.of_finding(finding))

    def _scored(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, Attribution | None]:
        """The rows with score, tail probability, anomaly and reasons; which of them are anomalous; and why these."""
        rows = rows.reset_index(drop=True)
        rows = pd.concat([rows, self.model.judge(rows)], axis=1)
        anomalous = np.flatnonzero(rows["anomaly"].to_numpy() == 1)
        texts = np.full(len(rows), None, object)
        found = self.model.attribution(rows.iloc[anomalous])
        if found is not None:
            for number, at in enumerate(anomalous):
                texts[at] = "; ".join(found.reasons(number)[:MOST_REASONS])
        rows["reasons"] = texts
        return rows, anomalous, found

    def _noted(self, rows: pd.DataFrame, anomalous: np.ndarray, draft_of_row: np.ndarray) -> pd.DataFrame:
        self.rows, self.anomalies = self.rows + len(rows), self.anomalies + len(anomalous)
        if anomalous.size:
            self._waiting.append((rows.iloc[anomalous].drop(columns="anomaly"), draft_of_row[anomalous]))
        return rows[tables.SCORES.names]

    def _anomalies_decided(self) -> list[pd.DataFrame]:
        """The rows that waited for what was decided now, in order of their windows."""
        decided = dict(self.merger.decided())
        if not self._live:
            self._decided += decided.items()
        waiting, self._waiting = self._waiting, []
        found = []
        for rows, drafts in waiting:
            incident = np.array([decided.get(draft) for draft in drafts.tolist()], object)
            done = np.array([one is not None for one in incident])
            if done.any():
                found.append(rows[done].assign(incident_id=pd.Categorical(incident[done])))
            if not done.all():
                self._waiting.append((rows[~done], drafts[~done]))
        return found

    def _changed(self) -> list[dict[str, Any]]:
        changed = self.merger.changed()
        for row in changed:
            row["score"] = float(joined(row["score"], self._least(row)))
        found = documents(changed)
        if not self._live:
            self._documents |= {document["incident_id"]: document for document in found}
        return found

    def _least(self, incident: dict[str, Any]) -> float:
        """The least score of an incident and its packets: what has a name outranks what is only unusual."""
        named = incident["pattern"] != tables.UNUSUAL and incident["severity"] in NAMED_SEVERITIES
        return max(self.model.least_anomalous_score, NAMED_SCORE if named else 0.0)

    def finish(self, manifest: dict[str, Any]) -> Outcome:
        """Everything, after `flush`. manifest : captured_data.json, where there is one, else empty."""
        ids = pd.Index(list(self._documents), dtype="str")
        place = np.full(1 + max((draft for draft, _ in self._decided), default=-1), -1, np.int64)
        if self._decided:
            place[[draft for draft, _ in self._decided]] = ids.get_indexer(pd.Index([one for _, one in self._decided]))
        least = np.array([self._least(document) for document in self._documents.values()])
        labelled = self._labels.table(place, ids, least)
        summary = self._statistics.summary(manifest, self.windower.late) if self._labels.count else {}
        incidents = worst_first(self._documents.values())
        return Outcome(incidents, labelled, self.notices.table(), summary | self._summary(incidents, labelled))

    def _summary(self, incidents: list[dict[str, Any]], packets: pd.DataFrame) -> dict[str, Any]:
        severities = [document["severity"] for document in incidents]
        anomalous = int((packets["label"] == "anomalous").sum())
        return {
            "detection": {
                "anomalies": self.anomalies,
                "incidents": len(incidents),
                "incidents_by_severity": {name: severities.count(name) for name in tables.SEVERITIES},
                "notices": counts(self.notices.table()),
                "anomalous_packets": anomalous,
                "anomalous_packets_ratio": round(anomalous / max(len(packets), 1), 6),
                "packets_beyond_packets_per_window": self.windower.evicted,
                "window_lengths_s": list(self.model.windows),
                "window_lengths_without_model_s": list(self.model.left_out),
            },
            "model": {
                "baseline_start": tables.iso(self.model.start),
                "baseline_end": tables.iso(self.model.end),
                "promise": self.model.promise(),
            },
        }


_WAITING = [name for name in tables.ANOMALIES.names if name != "incident_id"]


def _restored(columns: dict[str, list[Any]]) -> pd.DataFrame:
    """Anomalous rows that wait for their incident, from the plain values of each column."""
    kinds = {"float": np.float64, "int": np.int64, "time": np.int64}
    made: dict[str, Any] = {}
    for name in _WAITING:
        kind = tables.ANOMALIES[name].kind
        made[name] = pd.Categorical(columns[name]) if kind == "text" else np.array(columns[name], kinds[kind])
    return pd.DataFrame(made)


TIMES = tuple(column.name for column in tables.INCIDENTS if column.kind == "time")
LISTS = ("destinations", "services")  # separated by blanks in the CSV


def documents(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of incidents (IncidentMerger.changed) for incidents.json: lists for texts with blanks, times as text."""
    return [
        row | {name: tables.iso(row[name]) for name in TIMES} | {name: row[name].split() for name in LISTS}
        for row in rows
    ]


def worst_first(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Incidents in the order in which a person should look at them."""
    rank = {name: place for place, name in enumerate(tables.SEVERITIES)}
    return sorted(
        documents, key=lambda d: (rank[d["severity"]], -d["score"], -d["packets"], d["start"], d["incident_id"])
    )


def incident_table(documents: list[dict[str, Any]]) -> pd.DataFrame:
    """The table of tables.INCIDENTS that says what the documents say, in their order."""
    columns: dict[str, Any] = {}
    for column in tables.INCIDENTS:
        values = [document[column.name] for document in documents]
        if column.kind == "time":
            columns[column.name] = np.array([text.rstrip("Z") for text in values], "M8[ns]").astype(np.int64)
        elif column.kind == "text":
            texts = [" ".join(value) for value in values] if column.name in LISTS else values
            columns[column.name] = pd.Categorical(texts)
        else:
            columns[column.name] = np.array(values, np.float64 if column.kind == "float" else np.int64)
    return pd.DataFrame(columns)


def _is_of(rows: pd.DataFrame, keys: pd.DataFrame, window: features.Window) -> bool:
    """Are these the rows of the window's conversations, in their order?"""
    if len(keys) != len(rows) or (rows["window_s"].iloc[0], rows["window_start"].iloc[0]) != (
        window.window_s,
        window.start,
    ):
        return False
    return all((keys[name].astype(str).to_numpy() == rows[name].astype(str).to_numpy()).all() for name in keys)


def _together(parts: Iterable[Judged]) -> Judged:
    """All of it as one, of an incident that changed several times the last."""
    whole = Judged([], [], [])
    last: dict[str, dict[str, Any]] = {}
    for part in parts:
        whole.scores += part.scores
        whole.anomalies += part.anomalies
        last |= {document["incident_id"]: document for document in part.documents}
    whole.documents = list(last.values())
    return whole


def rows_by_window(blocks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Blocks of a features file → the rows of one window at a time, in the file's order."""
    waiting: pd.DataFrame | None = None
    for block in blocks:
        table = block if waiting is None else tables.concat([waiting, block])
        length, start = table["window_s"].to_numpy(), table["window_start"].to_numpy()
        edges = np.flatnonzero((np.diff(length) != 0) | (np.diff(start) != 0)) + 1
        for first, last in zip([0, *edges[:-1]], edges, strict=False):
            yield table.iloc[first:last]
        waiting = table.iloc[edges[-1] if edges.size else 0 :]
    if waiting is not None and len(waiting):
        yield waiting
