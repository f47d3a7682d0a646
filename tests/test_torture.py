"""Captures that others collected to break decoders, and tshark as the judge of what we make of ordinary ones."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import reference_decode as make
import reference_tshark as tshark

from netnormal import frames, inputs, settings, tables

needs_tshark = pytest.mark.skipif(tshark.TSHARK is None, reason="tshark is not installed")
ROOT = Path(__file__).resolve().parent.parent

# file → columns that differ, each explained in docs/decoding.md
KNOWN = {
    "ndpi-cfgs__tests__cfgs__default__pcap__fuzz-2021-06-07-c6c72a0a56.pcap": {"time", "length"},
    "pcapplusplus__Tests__Pcap++Test__PcapExamples__pcapng-example.pcapng": {"time"},
    "suricata-verify__tests__bug-6875-01__fuzz.pcap": {"src_mac", "dst_mac"},
    "tcpdump__tests__atm-heapoverflow.pcap": {"length", "captured"},
    "tcpdump__tests__atm-oam-loopback-print-overrun.pcap": {"time", "length", "captured"},
    "tcpdump__tests__bigtcp-ipv4-vxlan-ipv6.pcap": {"payload"},
    "tcpdump__tests__tftp-heapoverflow.pcap": {"payload"},
}


def ours(path: Path, packets: int | None = None) -> pd.DataFrame | None:
    """Our table of a capture; None if it is refused."""
    try:
        blocks, rows = [], 0
        for block in inputs.packet_blocks(path):
            blocks.append(block)
            rows += len(block)
            if packets and rows >= packets:
                break
    except tables.InputError:
        return None
    return tables.concat(blocks).iloc[:packets] if blocks else tables.empty(tables.PACKETS)


def test_every_torture_file_becomes_a_table_or_one_sentence(shared, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import capture

    common = vars(capture.arguments().parse_args(["--output", str(tmp_path / "out.csv")]))
    common |= {"settings": settings.load(ROOT / "params.yaml"), "terminal": False}
    refused = {}
    paths = sorted((shared / "data" / "torture").iterdir())
    for path in paths:
        (tmp_path / "out.csv").unlink(missing_ok=True)
        try:
            sentence = capture.main(argparse.Namespace(**common | {"read": str(path)}))
        except tables.InputError as error:
            refused[path.name] = str(error)
            assert not (tmp_path / "out.csv").exists()
            continue
        rows = sum(len(block) for block in tables.blocks(tmp_path / "out.csv", tables.PACKETS))
        assert sentence.startswith(f"{rows:,} packets (")
    assert len(paths) > 150
    assert sorted(refused) == [
        "libpcap__tests__shb-option-too-long.pcapng",
        "ndpi-cfgs__tests__cfgs__caches_cfg__pcap__teams.pcap",
    ]
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


@pytest.mark.parametrize("sizes", [(64, 3), (5000, 50), (1 << 20, 1000)])
def test_torture_files_read_the_same_however_they_are_cut_into_blocks(shared, sizes):
    for path in sorted((shared / "data" / "torture").iterdir()):
        if path.stat().st_size > 200_000 or not frames.is_capture(path):
            continue
        said = []
        for size, count in (sizes, (frames.BLOCK_BYTES, frames.BLOCK_PACKETS)):
            decoder = inputs.packets.Decoder()
            try:
                with frames.open_capture(path, size, count) as source:
                    said.append((make.csv_of([decoder.decode(block) for block in source]), source.problems))
            except tables.InputError as error:
                said.append((str(error), []))
        assert said[0] == said[1], path.name


@needs_tshark
def test_torture_files_agree_with_tshark(shared):
    paths = [p for p in sorted((shared / "data" / "torture").iterdir()) if frames.is_capture(p)]
    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(tshark.columns_of, paths))
    agree = differ = 0
    for path, table in zip(paths, theirs, strict=True):
        mine = ours(path)
        if mine is None or not len(mine) or not len(table):
            continue
        counts = tshark.compare(mine, table)
        assert set(counts.index[counts.differ > 0]) <= KNOWN.get(path.name, set()), path.name
        agree, differ = agree + int(counts.agree.sum()), differ + int(counts.differ.sum())
    assert differ < agree / 1000


@needs_tshark
@pytest.mark.parametrize(
    "name",
    [
        "lab/set1/A.pcap.gz",
        "lab/set1/B.pcap.gz",
        "benign/home_iot.pcap.gz",
        "wild/telnet_scan.pcap",
        "wild/arp_spoofing.pcap",
    ],
)
def test_ordinary_captures_agree_with_tshark_in_every_cell_both_fill(shared, name):
    path = shared / "data" / name
    mine = ours(path, 25_000)
    counts = tshark.compare(mine, tshark.columns_of(path, 25_000))
    assert counts.agree["src_ip"] > 0.9 * (mine.src_ip.notna()).sum()
    assert not counts.differ.any(), counts.to_string()
    decoded = [
        "src_ip",
        "dst_ip",
        "src_port",
        "dst_port",
        "tcp_flags",
        "tcp_window",
        "ttl",
        "icmp_type",
        "arp_operation",
    ]
    assert not counts.only_tshark[decoded].any(), counts.to_string()
