"""A folder of captures as one input: in order of time, each once, losses summed."""

from __future__ import annotations

import json

import pytest
import reference_decode as make

from netnormal import inputs, tables

FRAME = bytes.fromhex("02000000000b02000000000a0800") + bytes.fromhex(
    "4500002800010000400666cd0a0000010a000002" + "9c4001bb00000000000000005002200000000000"
)


def test_captures_come_in_order_of_time_and_a_table_stands_for_its_pcap(tmp_path):
    for name, count in (("late/a.pcap", 2), ("z.pcap", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(make.pcap([FRAME] * count))
    early = next(iter(inputs.packet_blocks(tmp_path / "z.pcap")))
    later = early.assign(time=early["time"] + 10**12)
    tables.write(tmp_path / "late/a.csv", tables.PACKETS, later)
    (tmp_path / "late/a.json").write_text(json.dumps({"packets": 3, "kernel_drops": 2, "problems": ["cut"]}))
    (tmp_path / "z.json").write_text(json.dumps({"packets": 3, "kernel_drops": 5, "problems": []}))
    whole = tables.concat(inputs.packet_blocks(tmp_path))
    assert whole["packet"].tolist() == [1, 2, 3, 4, 5, 6]
    assert whole["time"].tolist() == early["time"].tolist() + later["time"].tolist()
    about = inputs.manifest(str(tmp_path))
    assert (about["packets"], about["kernel_drops"], about["problems"]) == (6, 7, ["cut"])


def test_a_folder_without_captures_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(tables.InputError, match="has no capture with packets"):
        list(inputs.packet_blocks(tmp_path))
