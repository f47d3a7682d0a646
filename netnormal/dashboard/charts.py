"""Small tables → Altair charts, in the colours of `netnormal.figures`. Times are UTC; every mark says more on hover.

Names from the network are data in these charts, never parts of their specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from netnormal.dashboard import story
from netnormal.dashboard.results import EDGES, Incident, Reason
from netnormal.figures import MAX_LANES, Look
from netnormal.figures.look import ANOMALOUS, label, protocol_colours
from netnormal.quantities import count, duration
from netnormal.tables import SEVERITIES

alt.data_transformers.disable_max_rows()  # tables here are bounded by their makers

_LEGEND = alt.Legend(
    orient="top", title=None, symbolType="square", columns=3, labelLimit=90, columnPadding=8, offset=4, padding=0
)
_SEVERITIES = alt.Legend(orient="top", title=None, symbolType="square", columns=4, offset=4, padding=0)
_NAMES = alt.Axis(labelLimit=260, labelOverlap=False)  # every row has its name
_UTC = alt.Scale(type="utc")


def _time(values: object) -> pd.Series:
    return pd.to_datetime(pd.Series(values, dtype="int64"), utc=True)


def _axis(start: int, end: int) -> alt.Axis:
    day = story.moment(start)[:10]
    last = story.moment(end)[:10]
    form = "%H:%M:%S" if end - start < 180e9 else "%H:%M" if end - start < 2 * 86_400e9 else "%b %d"
    title = f"time (UTC), {day}" + (f" to {last}" if last != day else "")
    return alt.Axis(title=title, format=form, tickCount=5, labelOverlap=True, grid=True, labelPadding=5, titlePadding=6)


def timeline(
    incidents: Sequence[Incident], look: Look, span: tuple[int, int] | None = None, most: int = MAX_LANES
) -> alt.Chart:
    """A lane for each source and kind of incident, those of the worst first; colour is severity, the tooltip says more.

    span: first and last time that the axis is to show [ns]; most: lanes.
    """
    shown = list(incidents)
    low = min([one.start for one in shown] + ([span[0]] if span else []))
    high = max([one.end for one in shown] + ([span[1]] if span else []))
    least = max((high - low) // 150, 10**6)
    rows = [
        {
            "lane": label(f"{one.source} · {one.kind}", 44),
            "start": one.start,
            "end": max(one.end, one.start + least),
            "severity": one.severity,
            "what": one.title,
            "when": f"{story.clock(one.start)} to {story.clock(one.end)} UTC",
        }
        for one in shown
    ]
    lanes = list(dict.fromkeys(row["lane"] for row in rows))[:most]  # the worst come first
    rows = [row for row in reversed(rows) if row["lane"] in lanes]  # the worst are drawn last, over others
    frame = pd.DataFrame(rows)
    order = list(frame.sort_values("start")["lane"].drop_duplicates())
    frame = frame.assign(start=_time(frame["start"].to_numpy()), end=_time(frame["end"].to_numpy()))
    severity = [name for name in SEVERITIES if name in set(frame["severity"])]
    colours = alt.Scale(domain=severity, range=[look.severity[name] for name in severity])
    return (
        alt.Chart(frame)
        .mark_bar(cornerRadius=2, height={"band": 0.7})
        .encode(
            x=alt.X(
                "start:T", scale=alt.Scale(type="utc", domain=[low // 10**6, high // 10**6]), axis=_axis(low, high)
            ),
            x2="end:T",
            y=alt.Y("lane:N", sort=order, title=None, axis=_NAMES),
            color=alt.Color("severity:N", scale=colours, legend=_SEVERITIES),
            tooltip=[alt.Tooltip(f"{name}:N") for name in ("what", "severity", "when")],
        )
        .properties(height=max(26 * len(order) + 60, 120))
    )


def volume(series: pd.DataFrame, width: int, column: str, look: Look) -> alt.Chart:
    """Packets or Mbit a second by protocol, stacked. series: as of questions.volume; column: packets or bytes."""
    seconds = width / 1e9
    totals = series.groupby("protocol")[column].sum().sort_values(ascending=False)
    names = list(totals.index[:5])
    shown = series.assign(protocol=series["protocol"].where(series["protocol"].isin(names), "other"))
    names += ["other"] if len(totals) > 5 else []
    times = np.arange(int(series["time"].min()), int(series["time"].max()) + 2 * width, width)
    every = pd.MultiIndex.from_product([times, names], names=["time", "protocol"])
    shown = shown.groupby(["time", "protocol"])[["packets", "bytes"]].sum().reindex(every, fill_value=0).reset_index()
    factor = 1 / seconds if column == "packets" else 8e-6 / seconds
    title = "packets/s" if column == "packets" else "Mbit/s"
    low, high = int(series["time"].min()), int(series["time"].max()) + width
    words = [f"{value * factor:,.4g} {title}" for value in shown[column]]
    frame = pd.DataFrame(
        {
            "start": _time(shown["time"].to_numpy()),
            "rate": shown[column] * factor,
            "protocol": [label(name, 20) for name in shown["protocol"]],
            "mean": words,
            "when": [f"{story.clock(time)} UTC, {duration(seconds, '1 ')}" for time in shown["time"]],
        }
    )
    scale = alt.Scale(domain=[label(name, 20) for name in names], range=protocol_colours(names, look))
    return (
        alt.Chart(frame)
        .mark_area(interpolate="step-after")
        .encode(
            x=alt.X("start:T", scale=_UTC, axis=_axis(low, high)),
            y=alt.Y("rate:Q", stack=True, title=title),
            color=alt.Color("protocol:N", scale=scale, legend=_LEGEND),
            tooltip=[alt.Tooltip(f"{name}:N") for name in ("protocol", "mean", "when")],
        )
        .properties(height=260)
    )


def shares(table: pd.DataFrame, look: Look) -> alt.Chart:
    """Share of packets and of bytes by protocol. table: protocol, packets, bytes."""
    shown = table.head(8)
    rows = []
    for what in ("packets", "bytes"):
        total = max(int(table[what].sum()), 1)
        for name, number in zip(shown["protocol"], shown[what], strict=True):
            share = 100 * number / total
            said = f"{share:.0f} %" if share >= 1 or share == 0 else "< 1 %"
            rows.append({"protocol": label(name, 14), "of": what, "share": share, "said": said})
    frame = pd.DataFrame(rows)
    names = [label(name, 14) for name in shown["protocol"]]
    base = alt.Chart(frame).encode(
        y=alt.Y("of:N", title=None, sort=["packets", "bytes"]),
        x=alt.X("share:Q", stack="normalize", axis=alt.Axis(format="%", title=None)),
        color=alt.Color(
            "protocol:N", scale=alt.Scale(domain=names, range=protocol_colours(names, look)), legend=_LEGEND
        ),
        order=alt.Order("share:Q", sort="descending"),
        tooltip=[alt.Tooltip("protocol:N"), alt.Tooltip("of:N"), alt.Tooltip("said:N", title="share")],
    )
    return base.mark_bar(height={"band": 0.8}).properties(height=190)


def rate(frame: pd.DataFrame, part: str, whole: str, width: int, title: str) -> alt.Chart:
    """`part` as a share of `whole` over time. frame: time (start of a bin of `width` ns), and both columns."""
    low, high = int(frame["time"].min()), int(frame["time"].max()) + width
    times = np.arange(int(frame["time"].min()), int(frame["time"].max()) + 2 * width, width)
    frame = frame.set_index("time")[[part, whole]].reindex(times, fill_value=0).reset_index()
    table = pd.DataFrame(
        {
            "start": _time(frame["time"].to_numpy()),
            "share": frame[part] / np.maximum(frame[whole], 1),
            "said": [f"{p:,} of {w:,}" for p, w in zip(frame[part], frame[whole], strict=True)],
            "when": [f"{story.clock(time)} UTC, {duration(width / 1e9, '1 ')}" for time in frame["time"]],
        }
    )
    return (
        alt.Chart(table)
        .mark_area(color=ANOMALOUS, interpolate="step-after")
        .encode(
            x=alt.X("start:T", scale=_UTC, axis=_axis(low, high)),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title=title),
            tooltip=[alt.Tooltip("said:N"), alt.Tooltip("when:N")],
        )
        .properties(height=190)
    )


def reasons(found: Sequence[Reason], look: Look) -> alt.LayerChart:
    """Each feature's value against its usual range, in multiples of the range's upper end, on a logarithmic axis."""
    rows = []
    for one in found:
        high = one.high if one.high > 0 else max(abs(one.value), 1.0) / 100
        rows.append(
            {
                "feature": label(one.words, 60),
                "value": float(np.clip(one.value / high, 0.02, 1e5)),
                "low": float(np.clip(one.low / high, 0.05, 1)) if one.low > 0 else 0.05,
                "high": 1.0,
                "said": label(one.said, 60),
                "share": f"{one.share:.0%} of the explanation",
            }
        )
    frame = pd.DataFrame(rows)
    order = list(frame["feature"])
    top = max(10.0, float(frame["value"].max()) * 30)
    x = alt.Scale(type="log", domain=[0.05, top])
    powers = [10.0**power for power in range(-1, 8)]
    y = alt.Y("feature:N", sort=order, title=None, axis=alt.Axis(labels=False, ticks=False, domain=False))
    tips = [alt.Tooltip(f"{name}:N") for name in ("feature", "said", "share")]
    axis = alt.Axis(title="times the upper end of what is usual here (logarithmic)", format="~g", values=powers)
    base = alt.Chart(frame).encode(y=y, tooltip=tips)
    band = base.mark_bar(color=look.plain, opacity=0.45, height=10).encode(
        x=alt.X("low:Q", scale=x, axis=axis, title=axis.title), x2="high:Q"
    )
    line = base.mark_rule(color=ANOMALOUS, strokeDash=[3, 3]).encode(x=alt.X("high:Q", scale=x), x2="value:Q")
    point = base.mark_point(color=ANOMALOUS, filled=True, size=110, shape="diamond").encode(x=alt.X("value:Q", scale=x))
    names = base.mark_text(align="left", dy=-15, fontWeight=600, color=look.text).encode(
        x=alt.datum(0.05, scale=x), text="feature:N"
    )
    said = base.mark_text(align="left", dx=10, color=look.text).encode(x=alt.X("value:Q", scale=x), text="said:N")
    return (band + line + point + names + said).properties(height=46 * len(rows) + 30)


def around(table: pd.DataFrame, width: int, incident: Incident, look: Look) -> alt.LayerChart:
    """Packets between the incident's source and each other host, over time; the incident's own time is shaded."""
    rows = table[(table["source"] == incident.source) | (table["destination"] == incident.source)]
    other = np.where(rows["source"] == incident.source, rows["destination"], rows["source"])
    rows = rows.assign(other=other)
    heavy = rows.groupby("other")["packets"].sum().sort_values(ascending=False)
    chosen = list(dict.fromkeys([name for name in incident.destinations if name in heavy.index] + list(heavy.index)))
    rows = rows[rows["other"].isin(chosen[:10])].groupby(["time", "other"], as_index=False)[["packets"]].sum()
    low = min(int(rows["time"].min()), incident.start)
    high = max(int(rows["time"].max()) + width, incident.end)
    frame = pd.DataFrame(
        {
            "start": _time(rows["time"].to_numpy()),
            "end": _time(rows["time"].to_numpy() + width),
            "with": [label(name, 40) for name in rows["other"]],
            "packets": rows["packets"],
            "when": [f"{story.clock(time)} UTC" for time in rows["time"]],
        }
    )
    order = [label(name, 40) for name in chosen[:10]]
    shade = pd.DataFrame({"start": _time([incident.start]), "end": _time([max(incident.end, incident.start + width)])})
    ground = (
        alt.Chart(shade)
        .mark_rect(color=look.severity[incident.severity], opacity=0.22)
        .encode(x=alt.X("start:T", scale=_UTC, axis=_axis(low, high)), x2="end:T")
    )
    bars = (
        alt.Chart(frame)
        .mark_bar(height={"band": 0.75})
        .encode(
            x=alt.X("start:T", scale=_UTC),
            x2="end:T",
            y=alt.Y("with:N", sort=order, title=None, axis=_NAMES),
            color=alt.Color(
                "packets:Q",
                scale=alt.Scale(type="log", range=["#9ecae1", "#08306b"] if not look.dark else ["#17375e", "#9ecae1"]),
                legend=None,
            ),
            tooltip=[alt.Tooltip("with:N"), alt.Tooltip("packets:Q", format=","), alt.Tooltip("when:N")],
        )
    )
    return (ground + bars).properties(height=max(28 * len(order) + 60, 110))


def bars(table: pd.DataFrame, name: str, value: str, said: str, look: Look) -> alt.LayerChart:
    """A bar for each row of a small table, in its order; `said` is the column with the words beside each."""
    frame = pd.DataFrame(
        {"name": [label(word, 44) for word in table[name]], "value": table[value], "said": table[said].astype(str)}
    )
    scale = alt.Scale(domainMin=0, domainMax=float(max(frame["value"].max(), 1e-9)) * 1.2)
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_NAMES),
        x=alt.X("value:Q", axis=None, scale=scale),
        tooltip=[alt.Tooltip("name:N"), alt.Tooltip("said:N")],
    )
    text = base.mark_text(align="left", dx=4, color=look.text).encode(text="said:N")
    return (base.mark_bar(color=look.plain, height={"band": 0.75}) + text).properties(height=26 * len(frame) + 20)


def matrix(pairs: pd.DataFrame, involved: set[str], look: Look, most: int = 25) -> alt.LayerChart:
    """Who asked whom: the hosts that asked most, those of incidents first, and whom they asked most.

    pairs: source, destination, packets, bytes, failed; involved: sources of incidents, whose cells have a ring.
    """
    asking = pairs.groupby("source")["packets"].sum().sort_values(ascending=False, kind="stable")
    rows = sorted(asking.index, key=lambda name: name not in involved)[:most]
    asked = pairs[pairs["source"].isin(rows)].groupby("destination")["packets"].sum()
    columns = list(asked.sort_values(ascending=False, kind="stable").index[:most])
    shown = pairs[pairs["source"].isin(rows) & pairs["destination"].isin(columns)]
    frame = pd.DataFrame(
        {
            "from": [label(name, 32) for name in shown["source"]],
            "to": [label(name, 32) for name in shown["destination"]],
            "packets": shown["packets"],
            "bytes": [f"{value:,}" for value in shown["bytes"]],
            "failed": [f"{value:,} failed attempts" for value in shown["failed"]],
            "suspect": shown["source"].isin(involved).to_numpy(),
        }
    )
    dark = ["#17375e", "#9ecae1"]
    base = alt.Chart(frame).encode(
        x=alt.X(
            "to:N",
            sort=[label(name, 32) for name in columns],
            title="asked",
            axis=alt.Axis(labelAngle=-60, labelLimit=140, labelOverlap=False),
        ),
        y=alt.Y("from:N", sort=[label(name, 32) for name in rows], title="who asked", axis=_NAMES),
        tooltip=[
            alt.Tooltip("from:N"),
            alt.Tooltip("to:N"),
            alt.Tooltip("packets:Q", format=","),
            alt.Tooltip("bytes:N"),
            alt.Tooltip("failed:N"),
        ],
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "packets:Q",
            scale=alt.Scale(type="log", range=dark if look.dark else ["#9ecae1", "#08306b"]),
            legend=alt.Legend(orient="top", title="packets", gradientLength=140),
        )
    )
    ring = base.transform_filter("datum.suspect").mark_point(color=ANOMALOUS, shape="circle", size=50, strokeWidth=2)
    return (cells + ring).properties(height=max(22 * frame["from"].nunique() + 260, 320))


def tails(by_window: dict[int, np.ndarray], look: Look) -> alt.LayerChart:
    """Share of the rows that came out at least so rare, against the share that the calibration expects."""
    rows = []
    for window_s, counts in by_window.items():
        total = max(int(counts[0]), 1)
        for edge, number_ in zip(EDGES[1:], counts[1:], strict=True):
            if number_:
                words = f"{number_:,} of {total:,} conversations; expected {edge * total:,.1f}"
                row = {"expected": edge, "seen": number_ / total, "window": f"{window_s} s windows", "said": words}
                rows.append(row)
    frame = pd.DataFrame(rows, columns=["expected", "seen", "window", "said"])
    scale = alt.Scale(type="log", domain=[1e-7, 1])
    ideal = alt.Chart(pd.DataFrame({"expected": [1e-7, 1.0], "seen": [1e-7, 1.0]}))
    axis = alt.Axis(format="~e", tickCount=5)
    line = ideal.mark_line(strokeDash=[4, 4], color=look.muted).encode(
        x=alt.X("expected:Q", scale=scale, axis=axis, title="expected share"),
        y=alt.Y("seen:Q", scale=scale, axis=axis, title="share seen"),
    )
    points = (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(
            x=alt.X("expected:Q", scale=scale),
            y=alt.Y("seen:Q", scale=scale),
            color=alt.Color("window:N", legend=_LEGEND, scale=alt.Scale(range=["#0072B2", "#E69F00", "#009E73"])),
            strokeDash=alt.StrokeDash("window:N", legend=None),
            tooltip=[alt.Tooltip("window:N"), alt.Tooltip("said:N")],
        )
    )
    return (line + points).properties(height=260)


def latency(table: pd.DataFrame, look: Look) -> alt.LayerChart:
    """TCP handshakes over time: middle and upper end in at most 60 pieces. table: time, latency_s."""
    low, high = int(table["time"].min()), int(table["time"].max())
    width = max((high - low) // 60 + 1, 10**9)
    piece = (table["time"] - low) // width
    ms = (table["latency_s"] * 1e3).clip(lower=1e-3)
    by_piece = ms.groupby(piece)
    rows = []
    for name, column in (("median", 0.5), ("95 %", 0.95)):
        for index, value in zip(np.unique(piece), by_piece.quantile(column), strict=True):
            middle = low + int(index) * width + width // 2
            rows.append({"time": middle, "ms": value, "which": name, "said": f"{value:.3g} ms"})
    frame = pd.DataFrame(rows)
    frame["when"] = [f"{story.clock(time)} UTC" for time in frame["time"]]
    frame["time"] = _time(frame["time"].to_numpy())
    scale = alt.Scale(domain=["median", "95 %"], range=[look.plain, ANOMALOUS])
    shape = alt.Scale(domain=["median", "95 %"], range=["circle", "triangle-up"])
    return (
        alt.Chart(frame)
        .mark_point(filled=True, size=45)
        .encode(
            x=alt.X("time:T", scale=_UTC, axis=_axis(low, high)),
            y=alt.Y("ms:Q", scale=alt.Scale(type="log"), title="SYN to SYN-ACK [ms]"),
            color=alt.Color("which:N", scale=scale, legend=_LEGEND),
            shape=alt.Shape("which:N", scale=shape, legend=None),
            tooltip=[alt.Tooltip("which:N"), alt.Tooltip("said:N"), alt.Tooltip("when:N")],
        )
        .properties(height=260)
    )


def counted(number_: int) -> str:
    """A count in few letters, for tiles: 300,946 or 12.3 M."""
    return f"{number_:,}" if number_ < 1_000_000 else count(number_)
