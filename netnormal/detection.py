"""The loop of detection: packets in, verdicts on rows and packets and incidents out. Batch drives it to the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from netnormal import features, flows, patterns, tables, traffic
from netnormal.incidents import SEVERITIES, IncidentMerger
from netnormal.model import Model
from netnormal.settings import Settings
from netnormal.threats import ThreatList

SECOND = 1_000_000_000
MOST_REASONS = 5  # that an anomaly lists
LABELS = pd.Index(["normal", "anomalous"])


@dataclass
class Outcome:
    """What detection found: tables of INCIDENTS, ANOMALIES and LABELLED_PACKETS, and summary.json's content."""

    incidents: pd.DataFrame
    anomalies: pd.DataFrame
    labelled_packets: pd.DataFrame
    summary: dict[str, Any]


class PacketVerdicts:
    """For each packet the score of its most unusual row, and the incident it belongs to.

    Bounded by 30 bytes a packet: a window of any length may still change the verdict on what an earlier one judged.
    """

    def __init__(self, lengths: tuple[int, ...]) -> None:
        self._column = {window_s: i for i, window_s in enumerate(lengths)}
        self._number = np.zeros(0, np.int64)
        self._score = np.zeros(0, np.float64)
        self._anomaly = np.zeros(0, bool)
        self._draft = np.zeros((0, len(lengths)), np.int32)
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

    @property
    def scores(self) -> np.ndarray:
        return self._score[: self.count]

    def table(self, place: np.ndarray, incident_ids: pd.Index, least: float) -> pd.DataFrame:
        """A table of tables.LABELLED_PACKETS; `place` and the order of `incident_ids` are IncidentMerger.flush's.

        A packet of an incident is anomalous and scores at least `least`, whatever its rows' scores: a named pattern
        knows what a forest trained on such traffic takes for usual.
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
                "score": np.maximum(self.scores, np.where(incident >= 0, least, 0.0)),
                "label": pd.Categorical.from_codes(anomalous.astype(np.int64), LABELS),
                "incident_id": pd.Categorical.from_codes(incident, incident_ids),
            }
        )


class Detection:
    """Packets in, verdicts out: `push` blocks of packets, `flush` at their end; `finish` tells what came of all.

    With `stored` the rows of features come from there, a window at a time, instead of from the packets. Without any
    packets `push_rows` judges conversations alone.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        threats: ThreatList | None = None,
        stored: Iterator[pd.DataFrame] | None = None,
    ) -> None:
        self._model, self._settings, self._threats, self._stored = model, settings.detect, threats, stored
        self._merger = IncidentMerger(settings.detect.incidents)
        self._anomalies: list[pd.DataFrame] = []
        self._drafts: list[np.ndarray] = []
        self._labels = PacketVerdicts(settings.extract_features.windows_s)
        self._windower = features.Windower(settings.extract_features)
        self._statistics = traffic.TrafficStatistics()

    def push(self, packets: pd.DataFrame) -> list[pd.DataFrame]:
        """The next packets (tables.PACKETS). Returns tables of tables.SCORES, one for each window they closed.

        Raises ValueError if packet numbers do not rise, or if `stored` holds other rows than these packets give.
        """
        self._statistics.add(packets)
        self._labels.add(packets["packet"].to_numpy())
        return self._judge_all(self._windower.push(packets))

    def flush(self) -> list[pd.DataFrame]:
        """The packets are over: judges the windows still open. Raises ValueError as `push` does."""
        judged = self._judge_all(self._windower.flush())
        if self._stored is not None and next(self._stored, None) is not None:
            raise ValueError("it has rows beyond the last packet")
        return judged

    def push_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Judge the rows (tables.FEATURES) of one window without their packets. Returns a table of tables.SCORES."""
        rows, anomalous = self._scored(rows)
        draft_of_row, _ = self._merger.push(int(rows["window_s"].iloc[0]), rows, [])
        return self._noted(rows, anomalous, draft_of_row)

    @property
    def row_scores(self) -> np.ndarray:
        """Of each packet so far the highest score of its rows, which is the forest's verdict without the patterns'."""
        return self._labels.scores

    def _judge_all(self, windows: list[features.Window]) -> list[pd.DataFrame]:
        rows = self._stored if self._stored is not None else rows_by_window([features.features_of(windows)])
        return [self._judge(window, next(rows, None)) for window in windows]

    def _judge(self, window: features.Window, rows: pd.DataFrame | None) -> pd.DataFrame:
        flow_table, flow_of_packet = flows.flows(window.packets)
        keys, row_of_flow = flows.conversations(flow_table)
        if rows is None or not _is_of(rows, keys, window):
            when = tables.iso(window.start)
            raise ValueError(f"its rows are not those of the packets in the {window.window_s} s window of {when}")
        rows, anomalous = self._scored(rows)
        findings = patterns.find(
            window.packets,
            flow_table,
            flow_of_packet,
            self._settings.patterns,
            window.window_s,
            self._model.known_before(window.start, window.start + window.window_s * SECOND),
        )
        if self._threats is not None:
            findings += self._threats.find(window.packets, flow_table, flow_of_packet)
        draft_of_row, draft_of_flow = self._merger.push(window.window_s, rows, findings, flow_table, row_of_flow)
        row_of_packet = row_of_flow[flow_of_packet]
        self._labels.judge(
            window.window_s,
            window.packets["packet"].to_numpy(),
            rows["score"].to_numpy()[row_of_packet],
            rows["anomaly"].to_numpy()[row_of_packet] == 1,
            self._merger.of_packets(draft_of_flow, flow_of_packet, window.packets["time"].to_numpy()),
        )
        return self._noted(rows, anomalous, draft_of_row)

    def _scored(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
        """The rows with score, tail probability, anomaly and reasons, and which of them are anomalous."""
        rows = rows.reset_index(drop=True)
        rows = pd.concat([rows, self._model.judge(rows)], axis=1)
        anomalous = np.flatnonzero(rows["anomaly"].to_numpy() == 1)
        texts = np.full(len(rows), None, object)
        for at, reasons in zip(anomalous, self._model.explain(rows.iloc[anomalous]), strict=True):
            texts[at] = "; ".join(str(reason) for reason in reasons[:MOST_REASONS])
        rows["reasons"] = texts
        return rows, anomalous

    def _noted(self, rows: pd.DataFrame, anomalous: np.ndarray, draft_of_row: np.ndarray) -> pd.DataFrame:
        if anomalous.size:
            self._anomalies.append(rows.iloc[anomalous])
            self._drafts.append(draft_of_row[anomalous])
        return rows[tables.SCORES.names]

    def finish(self, manifest: dict[str, Any]) -> Outcome:
        """Everything that is known now. manifest : captured_data.json, where there is one, else empty."""
        incidents, place = self._merger.flush()
        ids = pd.Index([str(word) for word in incidents["incident_id"]], dtype="str")
        anomalies = tables.empty(tables.ANOMALIES)
        if self._anomalies:
            anomalies = tables.concat(self._anomalies)
            draft = np.concatenate(self._drafts)
            anomalies["incident_id"] = pd.Categorical.from_codes(np.append(place, -1)[draft], ids)
            order = np.lexsort([anomalies["window_start"], anomalies["window_s"], anomalies["tail_probability"]])
            anomalies = anomalies.iloc[order].drop(columns="anomaly")
        least = self._model.least_anomalous_score
        incidents["score"] = np.maximum(incidents["score"], least)
        labelled = self._labels.table(place, ids, least)
        summary = self._statistics.summary(manifest, self._windower.late) if self._labels.count else {}
        return Outcome(incidents, anomalies, labelled, summary | self._summary(incidents, anomalies, labelled))

    def _summary(self, incidents: pd.DataFrame, anomalies: pd.DataFrame, packets: pd.DataFrame) -> dict[str, Any]:
        severities = incidents["severity"].astype(str).value_counts()
        anomalous = int((packets["label"] == "anomalous").sum())
        return {
            "detection": {
                "anomalies": len(anomalies),
                "incidents": len(incidents),
                "incidents_by_severity": {name: int(severities.get(name, 0)) for name in SEVERITIES},
                "anomalous_packets": anomalous,
                "anomalous_packets_ratio": round(anomalous / max(len(packets), 1), 6),
                "window_lengths_s": list(self._model.windows),
                "window_lengths_without_model_s": list(self._model.left_out),
            },
            "model": {
                "baseline_start": tables.iso(self._model.start),
                "baseline_end": tables.iso(self._model.end),
                "promise": self._model.promise(),
            },
        }


def documents(incidents: pd.DataFrame) -> list[dict[str, Any]]:
    """The incidents as plain values for incidents.json: lists where the CSV separates by blanks, times as text."""
    names = incidents.columns
    plain = incidents.astype(object).where(incidents.notna(), None).to_numpy()
    rows = [dict(zip(names, values, strict=True)) for values in plain]
    for row in rows:
        row["start"], row["end"] = tables.iso(row["start"]), tables.iso(row["end"])
        row["destinations"], row["services"] = str(row["destinations"]).split(), str(row["services"]).split()
    return rows


def _is_of(rows: pd.DataFrame, keys: pd.DataFrame, window: features.Window) -> bool:
    """Are these the rows of the window's conversations, in their order?"""
    if len(keys) != len(rows) or (rows["window_s"].iloc[0], rows["window_start"].iloc[0]) != (
        window.window_s,
        window.start,
    ):
        return False
    return all((keys[name].astype(str).to_numpy() == rows[name].astype(str).to_numpy()).all() for name in keys)


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
