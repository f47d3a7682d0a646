"""Packets of whatever a user has: a capture, a captured_data.csv, or a folder of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal import frames, packets, tables


def packet_blocks(path: str | os.PathLike[str]) -> Iterator[pd.DataFrame]:
    """The packets in `path`, as tables of tables.PACKETS, a block at a time.

    `path` is a capture file (told by its first bytes, never by its name), a packet CSV, gzipped or not, or a folder:
    then all captures in it and in its folders, in order of their first packets and numbered as if they were one.
    What is wrong with a damaged capture's end is left out here: `capture.py --read` tells it.
    Raises InputError as frames.open_capture or tables.blocks do, and if a folder has no capture.
    """
    if not Path(path).is_dir():
        yield from _blocks(path)
        return
    before = 0
    for file in captures(Path(path)):
        here = 0
        for block in _blocks(file):
            here += len(block)
            yield block.assign(packet=np.arange(before + here - len(block) + 1, before + here + 1))
        before += here


def _blocks(path: str | os.PathLike[str]) -> Iterator[pd.DataFrame]:
    if not frames.is_capture(path):
        yield from tables.blocks(path, tables.PACKETS)
        return
    decoder = packets.Decoder()
    with frames.open_capture(path) as source:
        for block in source:
            yield decoder.decode(block)


def captures(folder: Path) -> list[Path]:
    """The captures in `folder` and below, in order of their first packets; of a CSV and its pcap only the CSV.

    Those without packets are left out. Raises InputError if none is left.
    """
    found: list[tuple[int, Path]] = []
    for file in sorted(folder.rglob("*")):
        name = file.name.removesuffix(".gz")
        if not name.endswith((".csv", ".pcap", ".pcapng")) or name.startswith("."):
            continue
        stem = file.with_name(name.rsplit(".", 1)[0])
        if not name.endswith(".csv") and any(stem.with_name(stem.name + end).exists() for end in (".csv", ".csv.gz")):
            continue
        first = next((block for block in _blocks(file) if len(block)), None)
        if first is not None:
            found.append((int(first["time"].iloc[0]), file))
    if not found:
        raise tables.InputError(folder, "has no capture with packets", "name a folder of captures, or a file")
    return [file for _, file in sorted(found)]


def manifest(path: str) -> dict[str, Any]:
    """What capture.py wrote beside the packets: what was lost, how the clock behaved. Empty if there is nothing.

    Of a folder the sum of the captures in it.
    """
    if not Path(path).is_dir():
        beside = Path(path.removesuffix(".gz")).with_suffix(".json")
        return tables.read_json(beside, "write it again with  python capture.py") if beside.exists() else {}
    whole: dict[str, Any] = {"problems": []}
    for one in [manifest(str(file)) for file in captures(Path(path))]:
        for name in ("packets", "kernel_drops", "interface_drops", "duplicate_packets", "oversized_packets"):
            if one.get(name) is not None:
                whole[name] = whole.get(name, 0) + one[name]
        whole["drop_share_limit"] = min(whole.get("drop_share_limit", 1.0), one.get("drop_share_limit") or 0.0)
        whole["problems"] += one.get("problems", [])
    return whole
