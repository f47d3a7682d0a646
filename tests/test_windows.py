"""Windows: which packets they hold, when they close, and that blocks have no meaning."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import SECOND, START, captures, table, udp

from netnormal import tables
from netnormal.features import Window, Windower, features_of, window_features
from netnormal.settings import ExtractFeatures, SettingError

A, B = "10.0.0.1", "10.0.0.2"


def at(*seconds: float) -> pd.DataFrame:
    return table([udp(second, A, B, 50000, 53) for second in seconds])


def windower(*lengths: int, lateness_s: float = 1, most: int = 10**6) -> Windower:
    return Windower(ExtractFeatures(windows_s=lengths, lateness_s=lateness_s, packets_per_window=most))


def packets_of(windows: list[Window]) -> list[tuple[int, float, list[int]]]:
    return [(w.window_s, (w.start - START) / SECOND, w.packets["packet"].tolist()) for w in windows]


def test_windows_are_half_open_and_aligned_to_the_epoch():
    cut = windower(10, lateness_s=0)
    assert packets_of(cut.push(at(3, 9.999999999, 10, 10.5))) == [(10, 0, [1, 2])]
    assert packets_of(cut.flush()) == [(10, 10, [3, 4])]
    assert START % (10 * SECOND) == 0


def test_a_window_closes_once_the_latest_packet_is_a_lateness_beyond_its_end():
    cut = windower(10)
    assert cut.push(at(9, 10.999999999)) == []
    assert packets_of(cut.push(at(11))) == [(10, 0, [1])]


def test_windows_close_in_order_of_their_end_and_then_their_length():
    cut = windower(10, 20, lateness_s=0)
    closed = packets_of(cut.push(at(1, 25, 60)))
    assert closed == [(10, 0, [1]), (20, 0, [1]), (10, 20, [2]), (20, 20, [2])]


def test_a_late_packet_is_left_out_of_closed_windows_only_and_counted_for_each():
    cut = windower(10, 60)
    closed = cut.push(at(5, 12, 8))
    assert packets_of(closed) == [(10, 0, [1])]
    assert (cut.packets, cut.late) == (3, 1)
    assert packets_of(cut.flush()) == [(10, 10, [2]), (60, 0, [1, 3, 2])]


def test_packets_are_in_order_of_time_and_of_capture_where_times_are_equal():
    assert packets_of(windower(10).push(at(2, 1, 2, 1)))[:1] == []
    cut = windower(10)
    cut.push(at(2, 1, 2, 1))
    assert packets_of(cut.flush()) == [(10, 0, [2, 4, 1, 3])]


def test_a_window_knows_where_sight_begins_and_ends():
    cut = windower(10)
    first, second, third = cut.push(at(4, 14, 26)) + cut.flush()
    assert [(first.since - START, first.until - START)] == [(4 * SECOND, 10 * SECOND)]
    assert [(second.since - START, second.until - START)] == [(10 * SECOND, 20 * SECOND)]
    assert [(third.since - START, third.until - START)] == [(20 * SECOND, 26 * SECOND + 1)]


def test_a_gap_leaves_no_empty_windows():
    cut = windower(10, lateness_s=0)
    assert len(cut.push(at(1, 86_400 * 365)) + cut.flush()) == 2


def test_nothing_gives_nothing():
    cut = windower(10)
    assert cut.push(tables.empty(tables.PACKETS)) == cut.flush() == []


@settings(max_examples=40, deadline=None)
@given(captures(most=40, span_s=60))
def test_windows_computed_together_give_the_rows_of_each(packets):
    cut = windower(5, 20)
    windows = cut.push(packets) + cut.flush()
    together = features_of(windows)
    apart = tables.concat([window_features(window) for window in windows])
    pd.testing.assert_frame_equal(together, apart, check_categorical=False)


def csv(blocks: list[pd.DataFrame], lengths: tuple[int, ...], lateness_s: float) -> tuple[bytes, int]:
    cut = windower(*lengths, lateness_s=lateness_s)
    out = io.BytesIO()
    writer = tables.Writer(out, tables.FEATURES)
    for block in blocks:
        writer.append(features_of(cut.push(block)))
    writer.append(features_of(cut.flush()))
    return out.getvalue(), cut.late


@settings(max_examples=80, deadline=None)
@given(captures(most=30, span_s=50), st.lists(st.integers(0, 30), max_size=8), st.sampled_from([0.0, 1.0, 7.5]))
def test_features_do_not_depend_on_how_the_file_was_cut(packets, cuts, lateness_s):
    edges = [0, *sorted(min(cut, len(packets)) for cut in cuts), len(packets)]
    blocks = []
    for a, b in pairwise(edges):
        part = packets.iloc[a:b].reset_index(drop=True)
        for name in part.columns[part.dtypes == "category"]:  # a reader numbers each block's words anew
            part[name] = part[name].cat.remove_unused_categories()
        blocks.append(part)
    assert csv(blocks, (5, 20), lateness_s) == csv([packets], (5, 20), lateness_s)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.sampled_from([0.0, 1.0, 5.0]))
def test_every_packet_is_in_its_window_or_late(tenths, lateness_s):
    packets = at(*(tenth / 10 for tenth in tenths))
    cut = windower(5, 20, lateness_s=lateness_s)
    windows = cut.push(packets) + cut.flush()
    assert sum(len(w.packets) for w in windows) + cut.late == 2 * len(packets)
    for window in windows:
        time = window.packets["time"].to_numpy()
        assert (np.diff(time) >= 0).all()
        assert window.start % (window.window_s * SECOND) == 0
        assert (window.start <= time).all()
        assert (time < window.start + window.window_s * SECOND).all()
    ends = [(w.start + w.window_s * SECOND, w.window_s) for w in windows]
    assert ends == sorted(set(ends))


@pytest.mark.parametrize("wrong", [-1.0, 61.0])
def test_an_absurd_lateness_is_refused(wrong):
    with pytest.raises(SettingError, match=r"lateness_s is .* it must be from 0 to 60 s"):
        ExtractFeatures(windows_s=(10,), lateness_s=wrong, packets_per_window=1000)
