"""Capture files as blocks of frames: every flavour reads the same, and damage never costs what was whole before it."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import reference_decode as make
from hypothesis import given, settings
from hypothesis import strategies as st

from netnormal import frames
from netnormal.kernels import frames as kernels
from netnormal.tables import InputError

RAW = [bytes([i]) * (14 + 11 * i) for i in range(9)]
SECOND = 1_000_000_000


def read(path: Path, content: bytes, **sizes: int) -> tuple[list[tuple[bytes, int, int, int]], list[str]]:
    """(frame, wire length, time, link type) of every frame in a file with this content, and the problems told."""
    path.write_bytes(content)
    with frames.open_capture(path, **sizes) as source:
        found = []
        for b in source:
            for o, c, n, t, k in zip(b.offset, b.captured, b.length, b.time, b.link_type, strict=True):
                found.append((b.data[o : o + c].tobytes(), int(n), int(t), int(k)))
        return found, source.problems


EXPECTED = [(frame, len(frame) + 7, i * SECOND + SECOND // 2, 1) for i, frame in enumerate(RAW)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
@pytest.mark.parametrize("version", [(2, 4), (2, 3), (2, 2)])
def test_every_flavour_of_pcap_reads_the_same(tmp_path, order, magic, version):
    assert read(tmp_path / "x", make.pcap(RAW, order, magic, version)) == (EXPECTED, [])


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_reads_as_pcap_does(tmp_path, order):
    content = make.section(order) + make.interface(order=order)
    for i, frame in enumerate(RAW):
        content += make.enhanced(frame, i * 1_000_000 + 500_000, order=order)
        content += make.block(4, b"\0" * 8, order) + make.block(0x80000001, b"unknown", order)
    assert read(tmp_path / "x", content) == (EXPECTED, [])


def test_sections_may_differ_in_byte_order_and_each_has_its_own_interfaces(tmp_path):
    nano = make.option(9, b"\x09")
    content = make.section("<") + make.interface(1) + make.interface(101, options=nano) + make.enhanced(b"a" * 20, 7, 1)
    nano = make.option(9, b"\x09", ">")
    content += make.section(">") + make.interface(113, options=nano, order=">") + make.enhanced(b"b" * 21, 9, 0, ">")
    found, problems = read(tmp_path / "x", content)
    assert found == [(b"a" * 20, 27, 7, 101), (b"b" * 21, 28, 9, 113)]
    assert problems == []


@pytest.mark.parametrize(
    ("resolution", "ticks", "offset_s"),
    [
        (0, 12, 5),
        (3, 12_345, 0),
        (9, 12 * SECOND + 1, -3),
        (12, 12 * 10**12 + 1_999, 0),
        (0x80, 7, 1),
        (0x8A, 3 << 9, 0),
        (0x80 | 32, (17 << 32) + 1, 0),
        (0x80 | 40, (17 << 40) + 12_345, 0),
        (0x80 | 63, 1 << 62, 0),
    ],
)
def test_pcapng_times_follow_resolution_and_offset(tmp_path, resolution, ticks, offset_s):
    options = make.option(9, bytes([resolution])) + make.option(14, struct.pack("<q", offset_s))
    content = make.section() + make.interface(options=options) + make.enhanced(b"x" * 14, ticks)
    found, _ = read(tmp_path / "x", content)
    assert found[0][2] == make.nanoseconds(ticks, resolution, offset_s)


@given(st.integers(0, 2**64 - 1), st.integers(0, 19) | st.integers(128, 191), st.integers(-(2**31), 2**31))
def test_times_are_exact_to_the_nanosecond_or_marked_as_moved(ticks, resolution, offset_s):
    time, moved = kernels.nanoseconds_of(np.uint64(ticks), resolution, offset_s)
    exact = make.nanoseconds(ticks, resolution, offset_s)
    whole = exact // SECOND
    if not moved:
        assert time == exact
    else:
        assert not 0 <= whole < kernels.LATEST_S or exact - offset_s * SECOND > kernels.LATEST_S * SECOND


def test_a_simple_packet_block_is_cut_by_the_snap_length_and_gets_the_time_before(tmp_path):
    simple = make.block(3, struct.pack("<I", 300) + b"s" * 60)
    content = make.section() + make.interface(snaplen=60) + make.enhanced(b"x" * 14, 5_000_000) + simple
    found, problems = read(tmp_path / "x", content)
    assert found[1] == (b"s" * 60, 300, 5 * SECOND, 1)
    assert problems == ["1 packets have no time: they get that of the packet before"]


def test_an_obsolete_packet_block_is_read(tmp_path):
    old = make.block(2, struct.pack("<HHIIII", 0, 0, 0, 3_000_000, 14, 90) + b"o" * 14)
    assert read(tmp_path / "x", make.section() + make.interface() + old)[0] == [(b"o" * 14, 90, 3 * SECOND, 1)]


def test_what_interfaces_say_of_their_losses_reaches_the_manifest(tmp_path):
    lost = make.option(5, struct.pack("<Q", 3)) + make.option(7, struct.pack("<Q", 4))
    content = make.section() + make.interface() + make.enhanced(RAW[0], 0) + make.block(5, b"\0" * 12 + lost)
    (tmp_path / "x").write_bytes(content)
    with frames.open_capture(tmp_path / "x") as source:
        assert len(list(source)) == 1
        about = source.about()
    assert (about["interface_drops"], about["kernel_drops"]) == (3, 4)


def test_the_upper_bits_of_a_link_type_tell_of_checksums_and_are_no_part_of_it(tmp_path):
    assert {row[3] for row in read(tmp_path / "x", make.pcap(RAW, link=0x5400_0001))[0]} == {1}


def test_gzip_of_one_or_several_members_reads_the_same(tmp_path):
    content = make.pcap(RAW)
    assert read(tmp_path / "x", gzip.compress(content)) == (EXPECTED, [])
    members = b"".join(gzip.compress(content[k : k + 50]) for k in range(0, len(content), 50))
    assert read(tmp_path / "x", members + b"\0" * 100) == (EXPECTED, [])


def test_a_file_cut_anywhere_gives_what_was_whole_and_says_so(tmp_path):
    content = make.pcap(RAW)
    ends = [24]
    for frame in RAW:
        ends.append(ends[-1] + 16 + len(frame))
    for cut in range(len(content)):
        whole = sum(end <= cut for end in ends) - 1
        if whole < 1 and cut != 24:
            with pytest.raises(InputError):
                read(tmp_path / "x", content[:cut])
            continue
        found, problems = read(tmp_path / "x", content[:cut])
        assert found == EXPECTED[:whole]
        assert (problems == []) == (cut in ends)


def test_a_gzip_cut_anywhere_gives_what_was_whole_and_says_so(tmp_path):
    noise = random.Random(1)
    raw = [noise.randbytes(200) for _ in range(50)]
    content = gzip.compress(make.pcap(raw))
    for cut in range(500, len(content), 97):
        found, problems = read(tmp_path / "x", content[:cut])
        assert [row[0] for row in found] == raw[: len(found)]
        assert "the gzip ends too early" in problems
        assert len(found) >= (cut - 400) * 50 // len(content) - 1


def test_a_damaged_gzip_is_said(tmp_path):
    noise = random.Random(2)
    content = bytearray(gzip.compress(make.pcap([noise.randbytes(1000) for _ in range(900)])))
    content[700_000:700_100] = b"\xff" * 100
    _, problems = read(tmp_path / "x", bytes(content))
    assert any("gzip" in problem for problem in problems)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"packet,time,length\n1,2,3\n", "is no capture: it begins with 'packet,time,"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "ends inside its file header"),
        (make.pcap(RAW, version=(3, 1)), "pcap of an unknown version, 3.1"),
        (gzip.compress(b"not a capture", mtime=0), "is no capture"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\x1f\x8b\x08\x00broken", "gzip"),
        (make.pcap([])[:24] + struct.pack("<IIII", 0, 0, 2**31, 60) + b"x" * 99, "claims more than 256 MiB at byte 24"),
        (make.pcap([])[:24] + struct.pack("<IIII", 0, 0, 60, 60) + b"x" * 59, "ends inside a packet at byte 24"),
        (make.section() + make.enhanced(RAW[0], 0), "names an interface that the file does not describe"),
        (make.section()[:20], "no capture|ends inside a block"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as told:
        read(tmp_path / "x", content)
    assert str(tmp_path / "x") in str(told.value)
    assert "\n" not in str(told.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        frames.open_capture(tmp_path / "no")
    with pytest.raises(InputError, match="cannot be read"):
        frames.open_capture(tmp_path)


def test_a_capture_is_told_by_its_first_bytes_and_by_nothing_else(tmp_path):
    kinds = {
        b"": False,
        b"packet,time\n": False,
        make.pcap([]): True,
        make.section(): True,
        b"\n\r\r\nlong text": False,
    }
    for content, told in kinds.items():
        for packed in (content, gzip.compress(content)):
            (tmp_path / "x.csv").write_bytes(packed)
            assert frames.is_capture(tmp_path / "x.csv") == told
    assert not frames.is_capture(tmp_path / "missing.pcap")
    assert not frames.is_capture(tmp_path)


MIXED = make.section() + make.interface(1) + make.interface(101, options=make.option(9, b"\x09"))
for _i, _frame in enumerate(RAW * 5):
    MIXED += make.enhanced(_frame, _i * 1000, _i % 2) + (make.interface(113) if _i == 20 else b"")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 60), st.sampled_from([make.pcap(RAW * 5), MIXED]))
def test_frames_do_not_depend_on_how_the_file_was_cut_into_blocks(tmp_path_factory, size, count, content):
    path = tmp_path_factory.getbasetemp() / "cut"
    assert read(path, content, block_bytes=size, block_packets=count) == read(path, content)


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([make.pcap(RAW), MIXED]))
def test_damaged_bytes_end_in_frames_or_in_one_sentence(tmp_path_factory, chance, content):
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 4, 127, 128, 255, chance.randrange(256)))
    try:
        found, _ = read(tmp_path_factory.getbasetemp() / "damaged", bytes(damaged), block_bytes=256)
    except InputError:
        return
    assert all(0 <= time <= kernels.LATEST_S * SECOND for _, _, time, _ in found)
    assert sum(len(frame) for frame, *_ in found) <= len(damaged)


def test_what_is_written_reads_back(tmp_path):
    (tmp_path / "x").write_bytes(make.pcap(RAW, magic=0xA1B23C4D))
    with frames.open_capture(tmp_path / "x") as source, frames.PcapWriter(tmp_path / "y", 1, 262_144) as out:
        for one in source:
            out.append(one.select(slice(0, 4)))
            out.append(one.select(np.arange(4, len(one))))
    assert read(tmp_path / "y", (tmp_path / "y").read_bytes()) == (EXPECTED, [])
    with frames.PcapWriter(tmp_path / "z", 101, 100) as out, pytest.raises(ValueError, match="link types"):
        out.append(make.frames_of(RAW))


def test_count_and_duration_end_at_the_packet_they_name():
    blocks = [make.frames_of(RAW[:4]), make.frames_of(RAW[4:])]
    blocks[1].time += 4 * SECOND
    assert [len(b) for b in frames.limited(blocks, 6, None)] == [4, 2]
    assert [len(b) for b in frames.limited(blocks, 4, None)] == [4]
    assert [len(b) for b in frames.limited(blocks, None, 5.0)] == [4, 1]
    assert [len(b) for b in frames.limited(blocks, None, 1.5)] == [2]
    assert [len(b) for b in frames.limited(blocks, None, None)] == [4, 5]
