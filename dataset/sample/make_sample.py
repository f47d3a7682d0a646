"""Cut the sample capture out of the lab recording it comes from. You need this only to make another cut.

    python dataset/sample/make_sample.py ../shared/data/lab/set1

Reads   A.pcap.gz, B.pcap.gz, B.labels.csv.gz in that folder
Writes  baseline.pcap.gz, mixed.pcap.gz, mixed.labels.csv.gz beside this script

Frames are cut behind their last header, since netnormal reads no further: except DNS messages, whose question it
reads, and TLS client hellos, which name the server. Wire lengths are kept. The same input gives the same files.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from netnormal import frames, tables  # noqa: E402

BASELINE_S = (0, 481)  # of A [s after its first packet]: all of it
MIXED_S = (240, 572)  # of B: floods, scans, a bot, an upload, a spoofer, a tunnel and password guessing lie whole in it
LINK_ETHERNET = 1


def kept_bytes(frame: bytes) -> int:
    """How many bytes of an Ethernet frame to keep."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == 0x0800:
        protocol, transport = frame[23], 14 + 4 * (frame[14] & 15)
    elif kind == 0x86DD:
        protocol, transport = frame[20], 54
    else:
        return len(frame)
    if protocol == 6 and len(frame) >= transport + 20:
        payload = transport + 4 * (frame[transport + 12] >> 4)
        hello = frame[payload : payload + 1] == b"\x16" and frame[payload + 5 : payload + 6] == b"\x01"
        return len(frame) if hello else payload
    if protocol == 17:
        ports = {int.from_bytes(frame[transport + i : transport + i + 2], "big") for i in (0, 2)}
        return len(frame) if ports & {53, 5353} else transport + 8
    return transport + 40  # an ICMP error repeats the header it answers


def cut(source: Path, target: Path, span_s: tuple[int, int]) -> np.ndarray:
    """Write the frames of `source` within `span_s` to `target`. Returns their numbers in `source`, from 1."""
    numbers = []
    first = seen = 0
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "cut.pcap"
        with frames.open_capture(source) as capture, frames.PcapWriter(plain, LINK_ETHERNET, 65_535) as out:
            for block in capture:
                first = first or int(block.time[0])
                after_s = (block.time - first) / 1e9
                rows = np.flatnonzero((after_s >= span_s[0]) & (after_s < span_s[1]))
                numbers.append(seen + 1 + rows)
                seen += len(block)
                part = block.select(rows)
                data = part.data.tobytes()
                ends = [
                    min(captured, kept_bytes(data[offset : offset + captured]))
                    for offset, captured in zip(part.offset, part.captured, strict=True)
                ]
                part.captured = np.array(ends, np.int64)
                out.append(part)
        # no name and no clock inside, so that the same cut is the same file
        with (
            plain.open("rb") as stream,
            target.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as packed,
        ):
            shutil.copyfileobj(stream, packed)
    return np.concatenate(numbers)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="with A.pcap.gz, B.pcap.gz and B.labels.csv.gz")
    folder = arguments.parse_args().folder
    cut(folder / "A.pcap.gz", HERE / "baseline.pcap.gz", BASELINE_S)
    numbers = cut(folder / "B.pcap.gz", HERE / "mixed.pcap.gz", MIXED_S)
    labels = (
        tables.read(folder / "B.labels.csv.gz", tables.PACKET_LABELS).set_index("packet").loc[numbers].reset_index()
    )
    labels["packet"] = np.arange(1, len(labels) + 1)
    attacks = labels[labels["label"] != "benign"]
    tables.write(HERE / "mixed.labels.csv.gz", tables.PACKET_LABELS, labels)
    print(f"{len(numbers):,} packets of B, {len(attacks):,} of them of {attacks['label'].nunique()} attacks")


if __name__ == "__main__":
    main()
