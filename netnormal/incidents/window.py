"""One closed window as the merger sees it: why its rows are unusual, and which flows are theirs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from netnormal import community
from netnormal.explanation import Attribution, Sum
from netnormal.flows import conversations
from netnormal.incidents.story import MOST_NAMED


class WindowView:
    """Scored rows of a window of `window_s`, and its flows if there are any. See `IncidentMerger.push`."""

    def __init__(
        self,
        window_s: int,
        rows: pd.DataFrame,
        flows: pd.DataFrame | None,
        row_of_flow: np.ndarray | None,
        why: Attribution | None,
    ) -> None:
        self.window_s, self.rows, self.flows = window_s, rows, flows
        self.score = rows["score"].to_numpy(np.float64)
        self.tail = rows["tail_probability"].to_numpy(np.float64)
        self.anomaly = rows["anomaly"].to_numpy() == 1
        self._why, self._line = why, np.cumsum(self.anomaly) - 1
        if row_of_flow is None:
            row_of_flow = _row_of_flow(rows, flows) if flows is not None else np.zeros(0, np.int64)
        self.row_of_flow = row_of_flow
        self._by_row: np.ndarray | None = None

    def explained(self, rows: np.ndarray) -> Sum:
        """What made the anomalous ones among these rows so."""
        return Sum.of(self._why, self._line[rows[self.anomaly[rows]]], self.window_s)

    def flows_of(self, rows: np.ndarray) -> np.ndarray:
        """The flows of these rows."""
        if self._by_row is None:
            self._by_row = np.argsort(self.row_of_flow, kind="stable")
        ordered = self.row_of_flow[self._by_row]
        first, last = np.searchsorted(ordered, rows), np.searchsorted(ordered, rows, side="right")
        return np.concatenate([self._by_row[a:b] for a, b in zip(first, last, strict=True)] or [np.zeros(0, np.int64)])

    def community_ids(self, flows: np.ndarray) -> dict[str, int]:
        """Community IDs of the heaviest of these flows → packets."""
        return {} if self.flows is None else community.ids(self.flows, flows, MOST_NAMED)


def _row_of_flow(rows: pd.DataFrame, flows: pd.DataFrame) -> np.ndarray:
    """For each flow the row of its conversation, -1 where the rows have none."""
    keys, conversation = conversations(flows)
    names = ["source", "destination", "service"]
    if len(keys) == len(rows) and all((keys[n].to_numpy(str) == rows[n].to_numpy(str)).all() for n in names):
        return conversation  # the usual case: the rows are those of this flow table, in order
    known = pd.MultiIndex.from_frame(rows[names].astype(str))
    return np.asarray(known.get_indexer(pd.MultiIndex.from_frame(keys.astype(str))))[conversation].astype(np.int64)
