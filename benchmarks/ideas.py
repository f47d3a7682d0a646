"""Features that were tried for rows and are not among those of the model: functions of one window.

Each takes a window's packets and flows and returns columns of a value for each conversation: name → float[n], NaN where
it has no meaning. `benchmarks.experiments` says what they give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from netnormal import features, flows

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scene:
    """A window's packets, its flows, the flow of each packet, the conversation of each flow, how many there are."""

    packets: pd.DataFrame
    flows: pd.DataFrame
    flow: np.ndarray
    outward: np.ndarray
    conversation: np.ndarray
    n: int

    @classmethod
    def of(cls, window: features.Window) -> Scene:
        table, flow, outward = flows.directed_flows(window.packets)
        keys, conversation = flows.conversations(table)
        return cls(window.packets, table, flow, outward > 0, conversation, len(keys))


def burstiness(of: Scene) -> Columns:
    """(1 + B) / 2 for B = (deviation - mean) / (deviation + mean) of the gaps between the source's packets: 0 a clock,
    0.5 chance, 1 bursts (Goh and Barabási 2008)."""
    time = of.packets["time"].to_numpy()[of.outward].astype(np.float64) / features.SECOND
    row = of.conversation[of.flow][of.outward]
    order = np.lexsort((time, row))
    gap, same = np.diff(time[order]), np.diff(row[order]) == 0
    owner = row[order][1:][same]
    count = np.bincount(owner, minlength=of.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(owner, gap[same], of.n) / count
        deviation = np.sqrt(np.maximum(np.bincount(owner, gap[same] ** 2, of.n) / count - mean**2, 0))
        ratio = deviation / (deviation + mean)
    return {"conversation_burst_ratio": np.where(count >= 3, ratio, np.nan)}


def _most_alike(conversation: np.ndarray, kind: np.ndarray, n: int) -> np.ndarray:
    pairs = pd.DataFrame({"row": conversation, "kind": kind}).value_counts()
    most = np.zeros(n)
    np.maximum.at(most, pairs.index.get_level_values("row").to_numpy(), pairs.to_numpy())
    return most


def alike(of: Scene) -> Columns:
    """How many flows are of the same size, in packets and payload both ways: tools repeat themselves."""
    sizes = of.flows[["packets_out", "packets_in", "payload_out", "payload_in"]]
    kind = sizes.groupby(list(sizes.columns)).ngroup().to_numpy()
    return {"conversation_alike_count": _most_alike(of.conversation, kind, of.n)}


def openings(of: Scene) -> Columns:
    """How many flows begin with the same payload sizes: the first three, each with its direction."""
    payload = of.packets["payload"].to_numpy()
    filled = payload > 0
    flow, signed = of.flow[filled], np.where(of.outward, payload, -payload)[filled]
    place = pd.Series(flow).groupby(flow).cumcount().to_numpy()
    first = np.zeros((len(of.flows), 3), np.int64)
    first[flow[place < 3], place[place < 3]] = signed[place < 3]
    said = first[:, 0] != 0
    kind = np.unique(first, axis=0, return_inverse=True)[1].reshape(-1)
    most = _most_alike(of.conversation[said], kind[said], of.n)
    return {"conversation_openings_count": np.where(most > 0, most, np.nan)}


SIDES = {
    "burstiness": {"conversation_burst_ratio": "both"},
    "alike": {"conversation_alike_count": "high"},
    "openings": {"conversation_openings_count": "high"},
    "change": {
        f"{name}_change_ratio": "high"
        for name in ("source_flows_count", "source_destinations_count", "source_payload_out_bytes")
    },
}
IDEAS: dict[str, Callable[[Scene], Columns]] = {"burstiness": burstiness, "alike": alike, "openings": openings}


def change(rows: pd.DataFrame, past: int = 6) -> Columns:
    """How many times more flows, destinations and bytes its source has than in the mean of its last windows alike.

    rows : tables.FEATURES of one capture. Empty for what comes in the first of the windows.
    """
    found: Columns = {}
    for name in (key.removesuffix("_change_ratio") for key in SIDES["change"]):
        values = np.full(len(rows), np.nan)
        for window_s, part in rows.groupby("window_s"):
            place = (part["window_start"] // (window_s * features.SECOND)).to_numpy()  # type: ignore[operator]
            who = part.groupby(["source", "kind"], observed=True).ngroup().to_numpy()
            count = np.log1p(np.nan_to_num(part[name].to_numpy()))
            grid = np.zeros((who.max() + 1, np.ptp(place) + 1 + past))
            at = place - place.min() + past
            grid[who, at] = count
            total = np.cumsum(grid, axis=1)
            before = (total[who, at - 1] - total[who, at - past] + grid[who, at - past]) / np.clip(at - past, 1, past)
            values[rows.index.get_indexer(part.index)] = np.where(at > past, np.maximum(count - before, 0), np.nan)
        found[f"{name}_change_ratio"] = values
    return found
