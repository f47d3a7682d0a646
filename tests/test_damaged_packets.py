"""Frames that are damaged or cut: the same rows whatever lies around them, and no byte read beyond them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import reference_decode as make
from hypothesis import given, settings
from hypothesis import strategies as st
from test_packets import RAW

from netnormal import packets


def mutants(count: int, seed: int) -> list[tuple[bytes, int]]:
    """Frames of every kind with bytes changed, cut, doubled; many under a foreign link type."""
    chance = random.Random(seed)
    kinds = list(RAW.values())
    links = [
        0,
        1,
        9,
        10,
        12,
        50,
        51,
        101,
        104,
        105,
        107,
        108,
        113,
        119,
        127,
        149,
        163,
        166,
        229,
        239,
        242,
        258,
        276,
        999,
    ]
    made = []
    for _ in range(count):
        raw, link = chance.choice(kinds)
        damaged = bytearray(raw)
        for _ in range(chance.choice((0, 1, 1, 2, 8))):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.choice(
                    (0, 1, 2, 63, 64, 127, 128, 192, 255, chance.randrange(256))
                )
        if chance.random() < 0.4:
            del damaged[chance.randrange(len(damaged) + 1) :]
        made.append((bytes(damaged), chance.choice(links) if chance.random() < 0.3 else link))
    return made


def block_of(made: list[tuple[bytes, int]], around: bytes) -> packets.Frames:
    frames = make.frames_of([raw for raw, _ in made], around=around)
    frames.link_type = np.array([link for _, link in made], np.int32)
    return frames


def test_what_a_damaged_frame_says_does_not_depend_on_the_bytes_around_it():
    made = mutants(30_000, 1)
    said = {
        make.csv_of([packets.Decoder().decode(block_of(made, around))])
        for around in (b"", b"\0" * 64, b"\xff" * 64, b"\x45" * 64)
    }
    assert len(said) == 1
    assert said.pop().count(b"\n") == 30_001


def test_no_kernel_reads_outside_its_arrays(tmp_path):
    """Each damaged frame alone in an array of its own size, with numba's bounds check, which raises IndexError."""
    script = """
import test_damaged_packets as t
from netnormal import packets
for raw, link in t.mutants(3000, 2):
    packets.Decoder().decode(t.block_of([(raw, link)], b""))
"""
    here = Path(__file__).parent
    checked = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": f"{here}:{here.parent}",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=checked, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_kernels_compute_the_same_without_numba(tmp_path):
    script = """
import sys
import reference_decode as make
import test_damaged_packets as t
from netnormal import packets
sys.stdout.buffer.write(make.csv_of([packets.Decoder().decode(t.block_of(t.mutants(1500, 3), b""))]))
"""
    here = Path(__file__).parent
    plain = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{here}:{here.parent}"}
    done = subprocess.run([sys.executable, "-c", script], env=plain, capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == make.csv_of([packets.Decoder().decode(block_of(mutants(1500, 3), b""))])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_the_table_does_not_depend_on_how_frames_were_cut_into_blocks(cuts):
    frames = block_of(mutants(400, 4), b"")
    edges = [0, *sorted(cuts), 400]
    decoder = packets.Decoder()
    parts = [decoder.decode(frames.select(slice(a, b))) for a, b in pairwise(edges)]
    assert make.csv_of(parts) == make.csv_of([packets.Decoder().decode(frames)])
    assert decoder.packets == 400


def test_a_frame_outside_its_block_is_refused():
    frames = make.frames_of([b"x" * 20])
    frames.captured[0] = 21
    with pytest.raises(ValueError, match="outside"):
        packets.Decoder().decode(frames)
