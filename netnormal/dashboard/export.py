"""Packets that a reader chose, as CSV or as PCAP to download. Both are bounded, and say so."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from netnormal import frames, tables
from netnormal.dashboard import questions, results
from netnormal.dashboard.filters import Filter
from netnormal.dashboard.store import Store
from netnormal.plain import cell

MOST_PACKETS = 200_000  # in a download
MOST_BYTES = 200_000_000


def as_csv(store: Store, chosen: Filter, numbers: np.ndarray | None = None) -> bytes:
    """The first MOST_PACKETS packets that match, with times as text; names from the network are no formulas."""
    table = questions.packets(store, chosen, MOST_PACKETS, numbers)
    if not len(table):
        return b"packet\n"
    table = questions.iso_columns(table)
    for name in table.columns[table.dtypes == "int64"]:
        table[name] = table[name].astype(object).where(table[name] != -1, "")
    for name in ("dns_query", "server_name"):
        table[name] = table[name].map(cell, na_action="ignore")
    return table.to_csv(index=False, lineterminator="\n").encode()


def numbers_of(store: Store, chosen: Filter, among: np.ndarray | None = None) -> np.ndarray:
    """Numbers of the first MOST_PACKETS packets that match."""
    found: list[np.ndarray] = []
    for table in questions.packet_tables(store, chosen, among):
        found.append(table["packet"].to_numpy())
        if sum(map(len, found)) >= MOST_PACKETS:
            break
    return np.concatenate(found)[:MOST_PACKETS] if found else np.zeros(0, np.int64)


def origin(capture: Path) -> tuple[Path | None, str]:
    """The capture file that the packets came from; where there is none, why, and what to do."""
    if capture.is_dir():
        return None, "These packets come from a folder of captures: choose one of them to export from it."
    if frames.is_capture(capture):
        return capture, ""
    beside = capture.with_suffix(".pcap")
    if frames.is_capture(beside):
        return beside, ""
    manifest = results.mapping(capture.with_suffix(".json"))
    source, known = manifest.get("source"), manifest.get("sha256")
    if manifest.get("format") == "live" or not isinstance(source, str) or not isinstance(known, str):
        return None, f"There is no {beside.name} beside the table: capture.py keeps one unless it is told not to."
    path = Path(source)
    if not frames.is_capture(path):
        return None, f"The capture was read from {results.plain(path.name)}, which is no longer there."
    if _sha256(str(path), results.signature(path)) != known:
        return None, f"{results.plain(path.name)} has changed since it was read: run  python capture.py --read  again."
    return path, ""


@functools.lru_cache(maxsize=8)
def _sha256(path: str, _seen: tuple[int, int]) -> str | None:
    return frames.checksum(path)


def as_pcap(source: Path, numbers: np.ndarray) -> bytes:
    """The frames of `source` with these numbers (1-based, ascending), as a pcap.

    Raises InputError if the file cannot be read, holds frames of several link types, or they are too many bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packets.pcap"
        writer, before = None, 0
        with frames.open_capture(source) as blocks:
            for block in blocks:
                here = numbers[(numbers > before) & (numbers <= before + len(block))] - before - 1
                chosen = block.select(here)
                before += len(block)
                if len(chosen):
                    writer = writer or frames.PcapWriter(path, int(chosen.link_type[0]), blocks.snaplen or 262_144)
                    try:
                        writer.append(chosen)
                    except ValueError as error:
                        raise tables.InputError(source, str(error), "filter so that one link type is left") from error
                    if writer.size > MOST_BYTES:
                        raise tables.InputError(source, "these packets are over 200 MB", "choose fewer")
                if not len(numbers) or before >= numbers[-1]:
                    break
        if writer is None:
            raise tables.InputError(source, "has none of these packets", "choose others")
        writer.close()
        return path.read_bytes()
