"""Packets of whatever file a user has: a capture, or a captured_data.csv."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pandas as pd

from netnormal import frames, packets, tables


def packet_blocks(path: str | os.PathLike[str]) -> Iterator[pd.DataFrame]:
    """The packets in `path`, as tables of tables.PACKETS, a block at a time.

    `path` is a capture file (told by its first bytes, never by its name) or a packet CSV; gzipped or not.
    What is wrong with a damaged capture's end is left out here: `capture.py --read` tells it.
    Raises InputError as frames.open_capture or tables.blocks do.
    """
    if not frames.is_capture(path):
        yield from tables.blocks(path, tables.PACKETS)
        return
    decoder = packets.Decoder()
    with frames.open_capture(path) as source:
        for block in source:
            yield decoder.decode(block)
