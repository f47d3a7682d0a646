"""What made rows unusual, feature by feature: exact shares of the forest's path lengths, for one row or many, in words.

A feature's splits are how much it shortened the path that the forest expected before it asked anything (negative if it
made it longer). A row's splits sum to that expectation less the row's mean path length, exactly; so do sums over rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST = 5  # features that an explanation names
LEAST_SHARE = 0.1  # of the strongest feature's splits: less is no reason
NOVELTY = "novelty_"

#: Endings of feature names and their units.
UNITS = {"_count": "", "_bytes": "bytes", "_per_s": "/s", "_s": "s", "_ratio": "", "_bits": "bits"}

#: feature → what it measures, for who never saw its name; before a number
WORDS = {
    "conversation_flows_count": "connections",
    "conversation_failed_count": "failed connections",
    "conversation_failed_ratio": "failed share of the connections",
    "conversation_most_open_count": "connections open at once",
    "conversation_packets_out_count": "packets sent",
    "conversation_packets_in_count": "packets received",
    "conversation_payload_out_bytes": "data sent",
    "conversation_payload_in_bytes": "data received",
    "conversation_upload_ratio": "sent share of the data",
    "conversation_peak_packets_per_s": "peak rate of packets",
    "conversation_peak_flows_per_s": "peak rate of new connections",
    "conversation_payload_out_mean_bytes": "data in a packet sent",
    "conversation_payload_in_mean_bytes": "data in a packet received",
    "conversation_payload_out_entropy_bits": "variety of the sizes sent",
    "conversation_duration_s": "time from first to last packet",
    "conversation_flow_duration_mean_s": "length of a connection",
    "conversation_regularity_ratio": "evenness of the pauses between calls",
    "conversation_handshake_mean_s": "time until a connection was accepted",
    "conversation_rst_count": "resets",
    "conversation_odd_flags_count": "packets with flags that no TCP sends",
    "conversation_empty_ratio": "share of packets without data",
    "conversation_turns_mean_count": "turns of the dialogue in a connection",
    "conversation_payload_per_flow_bytes": "data in a connection",
    "conversation_fragments_count": "fragments",
    "conversation_ttls_count": "different times to live from one sender",
    "conversation_odd_macs_ratio": "share of packets from another hardware address than usual",
    "conversation_unanswered_count": "requests without a reply",
    "conversation_unasked_count": "replies that nobody asked for",
    "conversation_dns_queries_count": "names asked for",
    "conversation_dns_names_count": "different names asked for",
    "conversation_dns_names_per_domain_count": "different names below one domain",
    "conversation_dns_name_mean_bytes": "mean length of the names",
    "conversation_dns_name_max_bytes": "length of the longest name",
    "conversation_dns_name_entropy_bits": "disorder of the letters in names",
    "conversation_dns_failed_ratio": "share of name lookups that failed",
    "conversation_dns_odd_types_ratio": "share of lookups for rare record types",
    "conversation_dns_answer_mean_bytes": "size of a name server's answer",
    "source_destinations_count": "hosts that the source contacted",
    "source_services_count": "services that the source asked for",
    "source_services_at_destination_count": "services that the source asked this host for",
    "source_destinations_of_service_count": "hosts that the source asked for this service",
    "source_flows_count": "connections of the source",
    "source_packets_out_count": "packets of the source",
    "source_payload_out_bytes": "data sent by the source",
    "source_payload_in_bytes": "data received by the source",
    "source_peak_flows_per_s": "peak rate of the source's new connections",
    "source_destinations_entropy_bits": "spread of the source over hosts",
    "source_services_entropy_bits": "spread of the source over services",
    "source_failed_ratio": "failed share of the source's connections",
    "destination_sources_count": "sources that contacted the destination",
    "destination_services_count": "services that the destination was asked for",
    "destination_flows_count": "connections to the destination",
    "destination_packets_in_count": "packets to the destination",
    "destination_payload_in_bytes": "data sent to the destination",
    "destination_payload_out_bytes": "data sent by the destination",
    "destination_peak_flows_per_s": "peak rate of new connections to the destination",
    "destination_most_open_count": "connections to the destination open at once",
    "destination_sources_entropy_bits": "spread of the destination's callers",
    "destination_failed_ratio": "failed share of the connections to the destination",
}
#: novelty → what was seen together how seldom; after it stands a share of the baseline's windows
NOVEL = {
    "novelty_service_ratio": "this service was used by anybody in",
    "novelty_source_service_ratio": "this source used this service in",
    "novelty_source_destination_ratio": "this source contacted this destination in",
    "novelty_destination_service_ratio": "this destination was asked for this service in",
}


@dataclass(frozen=True)
class Attribution:
    """What the forest made of n rows of one window length. Arrays are (n, names).

    splits : see above. value : of the feature, in its unit. low, high : what is usual for this service or host; low is
    0 where less than usual would be no reason. spreads : how many spreads the value lies from the usual centre.
    outside : whether it lies outside the usual range: what does not is no reason to a person, whatever its splits.
    Of a novelty, value is the share of the baseline's windows in which the combination was seen; it has no range (0).
    """

    names: tuple[str, ...]
    splits: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spreads: np.ndarray
    outside: np.ndarray

    def __len__(self) -> int:
        return len(self.splits)

    def reasons(self, row: int) -> list[str]:
        """Why one row is unusual, in words: what gave at least a tenth of the most, strongest first."""
        found = []
        for column in np.argsort(-self.splits[row], kind="stable"):
            if self.splits[row, column] <= 0 or self.splits[row, column] < LEAST_SHARE * self.splits[row].max():
                break
            if self.outside[row, column]:
                found.append(said(self._entry(row, int(column))))
        return found

    def _entry(self, row: int, column: int) -> dict[str, Any]:
        numbers = (float(one[row, column]) for one in (self.value, self.low, self.high, self.spreads))
        return _entry(self.names[column], *numbers)


@dataclass
class Sum:
    """The attributions of many rows, added up.

    splits : feature → sum over the rows. best : feature → [splits, value, low, high, spreads, window_s] of the row to
    which it gave most among those where it lies outside the usual range; features that nowhere do are not in it.
    """

    splits: dict[str, float]
    best: dict[str, list[float]]

    @classmethod
    def of(cls, found: Attribution | None, rows: Sequence[int] | np.ndarray, window_s: int) -> Sum:
        """Of these rows of an attribution; `found` may be None only if there are none."""
        if found is None or not len(rows):
            return cls({}, {})
        splits = found.splits[rows]
        total = splits.sum(axis=0)
        strongest = np.where(found.outside[rows], splits, -np.inf)
        at = strongest.argmax(axis=0)
        best = {}
        for column in np.flatnonzero(strongest.max(axis=0) > 0).tolist():
            row = rows[at[column]]
            numbers = (one[row, column] for one in (found.splits, found.value, found.low, found.high, found.spreads))
            best[found.names[column]] = [*(float(number) for number in numbers), window_s]
        return cls(dict(zip(found.names, total.tolist(), strict=True)), best)

    def copy(self) -> Sum:
        return Sum(self.splits.copy(), {name: list(numbers) for name, numbers in self.best.items()})

    def add(self, other: Sum) -> None:
        for name, splits in other.splits.items():
            self.splits[name] = self.splits.get(name, 0.0) + splits
        for name, numbers in other.best.items():
            if name not in self.best or numbers[0] > self.best[name][0]:
                self.best[name] = list(numbers)

    def entries(self) -> list[dict[str, Any]]:
        """The MOST features that made the rows unusual, strongest first, as incidents.json has them."""
        whole = sum(splits for splits in self.splits.values() if splits > 0)
        ranked = sorted(self.best, key=lambda name: (-self.splits[name], name))
        found = []
        for name in ranked[:MOST]:
            if self.splits[name] <= 0 or self.splits[name] < LEAST_SHARE * self.splits[ranked[0]]:
                break
            _, *numbers, window_s = self.best[name]
            found.append(
                _entry(name, *numbers) | {"share": round(self.splits[name] / whole, 4), "window_s": int(window_s)}
            )
        return found


def _entry(name: str, value: float, low: float, high: float, spreads: float) -> dict[str, Any]:
    if name.startswith(NOVELTY):
        words = f"{NOVEL[name]} {_share(value)} of the baseline's windows"
        return {"feature": name, "words": words, "value": None, "usual_low": None, "usual_high": None, "unit": ""}
    numbers = {"value": _rounded(value), "usual_low": _rounded(low), "usual_high": _rounded(high)}
    unit = UNITS[next(ending for ending in UNITS if name.endswith(ending))]
    return {"feature": name, "words": WORDS[name], **numbers, "unit": unit, "spreads": round(spreads, 1)}


def said(entry: Mapping[str, Any]) -> str:
    """One feature in words, as: failed connections 40 (usually up to 3; 12 spreads out)."""
    if entry["value"] is None:
        return str(entry["words"])
    out = f"{entry['spreads']:,.0f} spreads out"
    return f"{entry['words']} {amount(entry)} (usually {usual(entry)}; {out})"


def brief(entries: Sequence[Mapping[str, Any]]) -> str:
    """The feature that lies furthest out in few words, as: failed connections 40, usually up to 3; empty if none has
    a range."""
    ranged = [one for one in entries if one["value"] is not None]
    if not ranged:
        return ""
    furthest = max(ranged, key=lambda one: one["spreads"])
    return f"{furthest['words']} {amount(furthest)}, usually {usual(furthest)}"


def amount(entry: Mapping[str, Any]) -> str:
    """The value of a feature that has a range, with its unit."""
    return _amount(entry["value"], entry)


def usual(entry: Mapping[str, Any]) -> str:
    """The usual range of a feature that has one, in words, as: up to 3; 10 to 14 bytes; none."""
    low, high = entry["usual_low"], entry["usual_high"]
    if _counts(entry):  # things that are counted are whole
        low, high = math.ceil(low), math.floor(high)
    if high <= 0:
        return "none"
    if low > 0:
        return f"{_amount(low, entry, bare=True)} to {_amount(high, entry)}"
    return f"up to {_amount(high, entry)}"


def normal(entries: Sequence[Mapping[str, Any]], most: int = 3) -> str:
    """What the baseline had instead of what made rows unusual, a clause; empty if nothing did."""
    ranged = [one for one in entries if one["value"] is not None][:most]
    if not ranged:
        return "".join([one["words"] for one in entries][:1])
    lengths = {one["window_s"] for one in ranged}
    parts = []
    for one in ranged:
        part = f"no {one['words']}" if usual(one) == "none" else f"{one['words']} {usual(one)}"
        parts.append(part + (f" (in {one['window_s']} s)" if len(lengths) > 1 else ""))
    return ", ".join(parts) + ("" if len(lengths) > 1 else f" in {ranged[0]['window_s']} s")


def _counts(entry: Mapping[str, Any]) -> bool:
    name = str(entry["feature"])
    return name.endswith("_count") and not name.endswith("_mean_count")


def _amount(value: float, entry: Mapping[str, Any], bare: bool = False) -> str:
    if str(entry["feature"]).endswith("_ratio"):
        return f"{value:.0%}"
    text = f"{value:,.0f}" if value >= 100 or _counts(entry) else f"{value:.3g}"
    unit = "" if bare else str(entry["unit"])
    return text + (unit if unit.startswith("/") or not unit else f" {unit}")


def _share(value: float) -> str:
    return "none" if value <= 0 else f"{value:.0%}" if value >= 0.01 else "less than 1%"


def _rounded(value: float) -> float:
    """Six significant digits: what is written is read by people and charts."""
    return float(f"{value:.6g}")
