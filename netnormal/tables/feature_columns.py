"""The columns of features.csv: the key of a row, and every feature with its definition, unit, reason and source.

A feature's name ends in its unit. The model compares `_count`, `_bytes`, `_s` and `_per_s` on a logarithmic scale, and
`_ratio` and `_bits` as they are. Its prefix says whose behaviour it is, and so whose past it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netnormal.tables.columns import Column, Schema

ROW_KEY = (
    Column("window_s", "int", "length of the window", "s", low=1, high=86_400),
    Column("window_start", "time", "start of the window; windows are half-open and aligned to the epoch"),
    Column("source", "text", "who initiated: an IP address, else a MAC address, else `-`"),
    Column("destination", "text", "who responded"),
    Column("service", "text", "protocol and, where it has ports, the responder's port: TCP/443, ICMP, ARP, 0x88cc"),
)


@dataclass(frozen=True)
class Feature(Column):
    """A column of numbers for the model. `side` says which deviation is unusual: more than usual, or either way."""

    why: str = ""
    source: str = ""
    side: Literal["high", "both"] = "high"


def _feature(name: str, unit: str, meaning: str, why: str, source: str, **more: object) -> Feature:
    return Feature(name, "float", meaning, unit, why=why, source=source, low=0, **more)  # type: ignore[arg-type]


FEATURE_COLUMNS: tuple[Feature, ...] = ()

FEATURES = Schema(
    "features",
    "one row per conversation and window, in order of window_s, window_start, source, destination, service",
    "python extract_features.py",
    (
        *ROW_KEY,
        # Not a feature but what rows are compared within: the model scales each kind by itself (required by model/).
        Column("kind", "text", "protocol and outcome of most of its flows: `TCP answered`, `UDP unanswered`, `ARP broadcast` …"),
        Column("packets", "int", "packets of the conversation in the window, both directions", low=1),
        Column("bytes", "int", "bytes on the wire, both directions", "bytes", low=0),
        Column("first_packet", "time", "time of its first packet in the window"),
        Column("last_packet", "time", "time of its last packet in the window"),
        *FEATURE_COLUMNS,
    ),
    carries=True,
)
