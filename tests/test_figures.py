"""Pictures: drawn for any amount of traffic, the same bytes for the same table, nothing from the network obeyed."""

from __future__ import annotations

import functools
import io
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image

from netnormal import figures, tables, tallies

SECOND = 10**9
START = 1_795_234_087 * SECOND
HOSTILE = "$\\frac{1$_<script>alert('x')</script>\n\x1b[31m\u202e\u4e2d" + "w" * 300


def packet_table(
    count: int, span_s: float, hosts: int = 5, protocols: tuple[str, ...] = ("TCP", "UDP")
) -> pd.DataFrame:
    """`count` packets over `span_s`, every tenth a SYN, answered by the next; PACKETS' columns that pictures need."""
    number = np.arange(count)
    flags = np.select([number % 10 == 0, number % 10 == 1], ["S", "SA"], "A")
    host = number // 10 % hosts
    reply = number % 10 == 1
    return pd.DataFrame(
        {
            "packet": number + 1,
            "time": START + (number * (span_s * SECOND / max(count, 1))).astype(np.int64),
            "length": 60 + number * 37 % 1455,
            "protocol": pd.Categorical.from_codes(host % len(protocols), list(protocols)),
            "src_ip": pd.Categorical(
                [f"10.0.{h // 256}.{h % 256}" if not r else "192.0.2.1" for h, r in zip(host, reply, strict=True)]
            ),
            "dst_ip": pd.Categorical(
                ["192.0.2.1" if not r else f"10.0.{h // 256}.{h % 256}" for h, r in zip(host, reply, strict=True)]
            ),
            "src_port": np.where(reply, 443, 40_000),
            "dst_port": np.where(reply, 40_000, 443),
            "tcp_flags": pd.Categorical(flags),
        }
    )


def label_table(packets: pd.DataFrame, anomalous_each: int = 7) -> pd.DataFrame:
    odd = packets["packet"].to_numpy() % anomalous_each == 0
    return pd.DataFrame(
        {
            "packet": packets["packet"],
            "score": np.where(odd, 0.97, 0.3),
            "label": pd.Categorical.from_codes(odd.astype(int), ["normal", "anomalous"]),
            "incident_id": pd.Categorical.from_codes(np.where(odd, 0, -1), ["I0001"]),
        }
    )


def incident_table(count: int, span_s: float = 60, source: str = "10.0.0.1", lanes: int = 40) -> pd.DataFrame:
    number = np.arange(count)
    start = START + (number * span_s * SECOND / max(count, 1)).astype(np.int64)
    text = {name: pd.Categorical(["words"] * count) for name in ("title", "technique", "reasons", "display_filter")}
    return pd.DataFrame(
        {
            "incident_id": pd.Categorical([f"I{i + 1:04d}" for i in number]),
            "start": start,
            "detected": start,
            "end": start + number % 3 * SECOND,
            "pattern": pd.Categorical(["port_scan" if i % 2 else "unusual_behaviour" for i in number]),
            **text,
            "severity": pd.Categorical([tables.SEVERITIES[i % 4] for i in number], tables.SEVERITIES),
            "score": 1 - number / (10 * max(count, 1)),
            "source": pd.Categorical([f"{source}{i % lanes}" for i in number]),
            "destinations": pd.Categorical(["192.0.2.1"] * count),
            "services": pd.Categorical(["TCP/443"] * count),
            "packets": number + 1,
            "bytes": number * 100,
        }
    )


def protocol_table(packets: pd.DataFrame) -> pd.DataFrame:
    sizes = packets.groupby("protocol", observed=True)["length"].agg(packets="size", bytes="sum")
    return sizes.reset_index()


def every_picture(
    packets: pd.DataFrame, incidents: pd.DataFrame, look: figures.Look = figures.LIGHT
) -> dict[str, figures.Picture]:
    seen = tallies.Tallies()
    if len(packets):
        seen.push(packets, label_table(packets))
    sources = list(packets["src_ip"].cat.categories)
    found = pd.DataFrame({"host": sources, "protocol": "TCP", "conversations": range(1, len(sources) + 1)})
    return {
        "protocols": figures.protocols(protocol_table(packets), look),
        "traffic": figures.traffic(seen.every_bin(), seen.traffic.bin_s, look),
        "throughput": figures.throughput(seen.throughput.table(), seen.throughput.bin_s, look),
        "sources": figures.top_hosts(seen.sources.table(), "source", 20, look),
        "destinations": figures.top_hosts(seen.destinations.table(), "destination", 20, look),
        "sizes": figures.packet_sizes(seen.sizes.table(), look),
        "handshakes": figures.handshakes(seen.handshakes(), look),
        "scores": figures.scores(seen.scores.table(), seen.scores.bin_s, 0.9, incidents, look),
        "anomalies": figures.anomalies(found if len(packets) else found.head(0), 20, look),
        "timeline": figures.timeline(incidents, (seen.start, seen.end) if seen.packets else None, look),
        **judged_pictures(packets, incidents, look),
    }


def judged_pictures(packets: pd.DataFrame, incidents: pd.DataFrame, look: figures.Look) -> dict[str, figures.Picture]:
    """Those of evaluate.py, as if every incident were an attack."""
    attacks = incidents[["source", "start", "end"]].rename(columns={"source": "attack"})
    attacks = attacks.assign(found=incidents["severity"] != "low", recall=incidents["score"], trivial=0.3)
    share = np.linspace(0, 1, 50 if len(incidents) else 0)
    curve = pd.DataFrame({"false_positive_rate": share**3, "recall": share, "precision": 1 - share / 2})
    curves = dict.fromkeys(
        ("netnormal", "single_packet_forest", "packets_per_source", "destinations_per_source"), curve
    )
    time = packets["time"].to_numpy()
    scored = pd.DataFrame({"time": np.unique(time), "benign": 0.4, "attack": np.nan})
    return {
        "roc": figures.roc(curves, 0.001, look),
        "precision_recall": figures.precision_recall(curves, 0.3, look),
        "recall_per_attack": figures.recall_per_attack(attacks, 0.001, look),
        "score_timeline": figures.score_timeline(scored, 1.0, attacks, look),
    }


@functools.cache
def drawn(case: str) -> dict[str, figures.Picture]:
    return every_picture(*CASES[case])


def words_in(picture: figures.Picture) -> list[str]:
    picture.png(60)
    return [text.get_text() for text in picture.findobj(Text) if text.get_visible() and text.get_text()]


CASES = {
    "nothing": (packet_table(0, 0), incident_table(0)),
    "one packet": (packet_table(1, 0), incident_table(0)),
    "one moment": (packet_table(40, 0), incident_table(1, 0)),
    "ten milliseconds": (packet_table(100, 0.01), incident_table(2, 0.01)),
    "ten seconds": (packet_table(500, 10), incident_table(3, 10)),
    "ten days": (packet_table(2000, 864_000, hosts=50), incident_table(30, 864_000)),
    "a thousand hosts": (packet_table(20_000, 600, hosts=1000), incident_table(300, 600, lanes=300)),
    "twenty protocols": (packet_table(3000, 60, 40, tuple(map(str, range(100, 120)))), incident_table(5)),
    "no handshake": (packet_table(100, 10).assign(tcp_flags=pd.Categorical(["A"] * 100)), incident_table(0)),
    "hostile names": (packet_table(100, 10, 2, (HOSTILE, "$$", "$x_{$")), incident_table(4, source=HOSTILE)),
}


@pytest.mark.parametrize(
    ("case", "look"), [*((case, "light") for case in CASES), ("ten seconds", "dark"), ("hostile names", "narrow_dark")]
)
def test_every_picture_is_drawn_for_any_traffic(case: str, look: str, recwarn: pytest.WarningsRecorder) -> None:
    for name, picture in every_picture(*CASES[case], figures.LOOKS[look]).items():
        image = Image.open(io.BytesIO(picture.png(60)))
        assert image.width == round(60 * figures.LOOKS[look].width), name
        assert 60 < image.height < 60 * 16, name
        colours = image.convert("RGB").getcolors(1 << 24)
        assert colours is not None and len(colours) > 3, f"{name} is blank"
    assert [str(w.message) for w in recwarn if "constrained" in str(w.message) or "Glyph" in str(w.message)] == []


@pytest.mark.parametrize("look", ["light", "narrow"])
@pytest.mark.parametrize("case", ["ten seconds", "ten days", "twenty protocols"])
def test_no_legend_lies_on_a_title(case: str, look: str) -> None:
    for name, picture in every_picture(*CASES[case], figures.LOOKS[look]).items():
        picture.canvas.draw()
        titles = [one.get_window_extent() for axes in picture.axes for one in axes.findobj(Text) if is_title(one, axes)]
        legends = [one.get_window_extent() for one in picture.findobj(Legend)]
        assert [name for one in titles for other in legends if one.overlaps(other)] == []


def is_title(text: Text, axes: Axes) -> bool:
    return bool(text.get_text()) and text.get_text() in (axes.get_title(side) for side in ("left", "center", "right"))


def test_the_same_table_gives_the_same_bytes_without_a_date_or_a_program_in_them() -> None:
    packets, incidents = CASES["ten seconds"]
    first = {name: picture.png(60) for name, picture in every_picture(packets, incidents).items()}
    second = {name: picture.png(60) for name, picture in every_picture(packets, incidents).items()}
    assert first == second
    for name, png in first.items():
        kept = set(Image.open(io.BytesIO(png)).info)
        assert kept == {"dpi"}, f"{name} carries {kept}"


def test_drawing_leaves_no_figure_and_no_style_behind() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    every_picture(*CASES["ten seconds"])["scores"].png(60)
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("nothing", "hostile names")])
def test_time_axes_name_utc_and_the_date(case: str) -> None:
    for name in ("traffic", "throughput", "scores"):
        said = " ".join(words_in(drawn(case)[name]))
        assert "time (UTC), 2026-11-21" in said, name


def test_every_axis_that_has_numbers_says_its_unit() -> None:
    for name, picture in drawn("ten seconds").items():
        picture.png(60)
        for axes in picture.axes:
            numbered = [
                label.get_text() for label in axes.get_xticklabels() if label.get_visible() and label.get_text()
            ]
            if numbered and axes.xaxis.get_tick_params(which="major").get("labelbottom", True):
                assert axes.get_xlabel(), f"{name} has an axis without a name"


def test_latencies_that_are_all_alike_have_numbers_on_their_axes() -> None:
    for ms in (0.04, 3.32, 30.1, 999.0):
        alike = pd.DataFrame({"time": [START, START + SECOND], "latency_s": [ms / 1e3] * 2, "handshakes": [5, 5]})
        picture = figures.handshakes(alike)
        picture.png(60)
        left, right = picture.axes
        for labels in (left.get_xticklabels(), right.get_yticklabels()):
            assert sum(bool(label.get_text()) for label in labels) >= 2, ms


def test_names_from_the_network_are_plain_text_of_bounded_length() -> None:
    for name, picture in drawn("hostile names").items():
        for text in picture.findobj(Text):
            assert not text.get_parse_math() or not text.get_text(), f"{name} would set mathematics"
            assert "\x1b" not in text.get_text() and "\u202e" not in text.get_text(), name
            assert len(text.get_text()) < 120, name


def test_the_worst_lanes_are_kept_when_there_are_too_many() -> None:
    incidents = incident_table(300, 600, lanes=300)
    said = words_in(figures.timeline(incidents))
    assert any(f"Worst {figures.MAX_LANES} of 300 lanes" in words for words in said)
    lanes = {words.split(" · ")[0] for words in said if " · " in words}
    worst = set(incidents.loc[incidents["severity"] == "critical", "source"].astype(str))
    assert len(lanes) == figures.MAX_LANES and lanes <= worst


def test_no_incident_and_no_anomaly_are_said_in_words() -> None:
    pictures = drawn("nothing")
    for name, words in {
        "timeline": "no incidents",
        "anomalies": "no anomalies",
        "handshakes": "no complete TCP handshake",
        "protocols": "no packets",
        "scores": "no scored packets",
        "roc": "needs attack packets and benign ones",
        "recall_per_attack": "no attacks",
        "score_timeline": "no packets",
    }.items():
        assert words in words_in(pictures[name]), name


def test_anomalous_traffic_is_drawn_in_its_colour_and_normal_traffic_is_not() -> None:
    orange = np.array([0xD5, 0x5E, 0x00])

    def orange_pixels(anomalous_each: int) -> int:
        packets, seen = packet_table(1000, 60), tallies.Tallies()
        seen.push(packets, label_table(packets, anomalous_each))
        png = figures.top_hosts(seen.sources.table().assign(host="a"), "source").png(60)
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        return int((abs(pixels - orange).sum(axis=2) < 12).sum())

    legend = orange_pixels(10**6)
    assert orange_pixels(1) > 3 * orange_pixels(3) > 3 * legend


# ---------------------------------------------------------------- what they are made of


@pytest.mark.parametrize("cut", [13, 100, 999])
def test_sums_do_not_depend_on_how_the_capture_was_cut(cut: int) -> None:
    packets = packet_table(1000, 5000, hosts=30)
    whole, cut_up = tallies.Tallies(), tallies.Tallies()
    whole.push(packets, label_table(packets))
    for first in range(0, len(packets), cut):
        block = packets.iloc[first : first + cut].reset_index(drop=True)
        for name in ("protocol", "src_ip", "dst_ip"):  # each block of a file has categories of its own
            block[name] = pd.Categorical(block[name].astype(str))
        cut_up.push(block, label_table(block))
    for name in ("traffic", "throughput", "sources", "destinations", "sizes", "scores", "latencies"):
        one, other = getattr(whole, name), getattr(cut_up, name)
        assert one.bin_s == other.bin_s, name
        pd.testing.assert_frame_equal(one.table(), other.table(), check_dtype=False, obj=name)
    assert (whole.packets, whole.bytes, whole.start, whole.end) == (
        cut_up.packets,
        cut_up.bytes,
        cut_up.start,
        cut_up.end,
    )


def test_time_bins_grow_with_the_span_and_lose_nothing() -> None:
    for span_s in (0.001, 1, 10, 1000, 86_400, 864_000, 40_000_000):
        packets, seen = packet_table(3000, span_s), tallies.Tallies()
        seen.push(packets, label_table(packets))
        table = seen.every_bin()
        assert len(table) <= tallies.MAX_BINS
        assert table["packets"].sum() == 3000 and table["bytes"].sum() == packets["length"].sum()
        assert (np.diff(table["time"]) == round(seen.traffic.bin_s * SECOND)).all()
        assert table["time"].iloc[0] <= START < table["time"].iloc[0] + seen.traffic.bin_s * SECOND


def test_a_handshake_is_measured_from_syn_to_its_answer() -> None:
    packets = packet_table(4, 0).assign(
        time=[START, START + SECOND, START + SECOND + 25_000_000, START + 2 * SECOND],
        tcp_flags=pd.Categorical(["A", "S", "SA", "SA"]),
        src_ip=pd.Categorical(["10.0.0.1", "10.0.0.1", "192.0.2.1", "192.0.2.9"]),
        dst_ip=pd.Categorical(["192.0.2.1", "192.0.2.1", "10.0.0.1", "10.0.0.1"]),
        src_port=[40_000, 40_000, 443, 443],
        dst_port=[443, 443, 40_000, 40_000],
    )
    seen = tallies.Tallies()
    seen.push(packets, label_table(packets))
    table = seen.handshakes()
    assert list(table["handshakes"]) == [1]
    assert table["latency_s"].iloc[0] == pytest.approx(0.025, rel=0.03)


def test_labels_of_another_capture_are_refused() -> None:
    packets = packet_table(10, 1)
    labels = label_table(packets)
    assert sum(len(rows) for _, rows in tallies.labelled([packets], [labels.head(4), labels.tail(6)], "x")) == 10
    for wrong, what in (
        (labels.head(9), "fewer packets"),
        (label_table(packet_table(11, 1)), "more packets"),
        (labels.assign(packet=labels["packet"] + 1), "other packets"),
    ):
        with pytest.raises(tables.InputError, match=what):
            list(tallies.labelled([packets], [wrong], "x"))
