"""Pictures of what was found."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm

from netnormal.figures.look import (
    ANOMALOUS,
    LIGHT,
    Look,
    Picture,
    dates,
    grid,
    label,
    legend,
    mix,
    picture,
    ramp,
    say,
    spans,
    time_axis,
    top,
    total_by,
)
from netnormal.quantities import count, duration
from netnormal.tables import SEVERITIES

MAX_LANES = 24  # of the incident timeline: more do not fit on a screen


def scores(table: pd.DataFrame, bin_s: float, threshold: float, incidents: pd.DataFrame, look: Look = LIGHT) -> Picture:
    """How unusual traffic was over time, which of it was judged anomalous, and above it the incidents.

    table     : time (start of a bin), score (lower edge, steps of 0.02), packets, anomalous_packets among them.
    threshold : the lowest score of an anomalous conversation [0..1]; NaN if there is none.
    incidents : tables.INCIDENTS.
    """
    with picture(look, 4.2) as figure:
        strip, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1, 6))
        strip.set_title("Score over time" + ("" if np.isnan(threshold) else f" (anomaly from {threshold:.2f})"))
        for lane, severity in enumerate(reversed(SEVERITIES)):
            part = incidents[incidents["severity"] == severity]
            spans(strip, part, [lane] * len(part), look.severity[severity], bin_s, 0.8)
        strip.set_ylim(-0.6, len(SEVERITIES) - 0.4)
        strip.set_yticks([])
        strip.set_ylabel("incidents", rotation=0, ha="right", va="center")
        strip.grid(False)
        legend(figure, [(name, look.severity[name]) for name in SEVERITIES])
        if len(table):
            start, width = int(table["time"].min()), round(bin_s * 1e9)
            column = ((table["time"] - start) // width).to_numpy()
            row = np.round(table["score"].to_numpy() * 50).astype(int).clip(0, 49)
            x, y = dates(start + width * np.arange(int(column.max()) + 2)), np.arange(51) / 50
            anomalous = table["anomalous_packets"].to_numpy()
            for packets, colour in ((table["packets"].to_numpy() - anomalous, look.plain), (anomalous, ANOMALOUS)):
                cells = np.zeros((50, len(x) - 1))
                np.add.at(cells, (row, column), packets)
                norm = LogNorm(1, max(cells.max(), 10))
                axes.pcolormesh(x, y, np.ma.masked_equal(cells, 0), cmap=ramp(look, colour), norm=norm, rasterized=True)
            if not np.isnan(threshold):
                axes.axhline(threshold, color=look.text, linewidth=0.9, linestyle=(0, (4, 3)))
        else:
            say(axes, "no scored packets")
        axes.set_ylim(0, 1.0)
        axes.set_ylabel("score (0 usual … 1 never seen)")
        grid(axes, "y")
        time_axis(axes, table["time"], bin_s)
    return figure


def anomalies(table: pd.DataFrame, most: int = 20, look: Look = LIGHT) -> Picture:
    """Which hosts began anomalous conversations, over which protocol.

    table : host, protocol, conversations; one row per pair, any order.
    """
    hosts = table.groupby("host", observed=True)["conversations"].sum().sort_values(ascending=False, kind="stable")
    kept = hosts.index[:most]
    order = top(total_by(table, "protocol", "conversations"), "protocol", 6)
    names = list(order["protocol"])
    with picture(look, 1.35 + 0.27 * max(len(kept) + (len(hosts) > most), 2)) as figure:
        axes = figure.subplots()
        axes.set_title("Anomalous conversations" + ("" if look.narrow else " by host and protocol"))
        if len(hosts):
            host = table["host"].astype(object).where(table["host"].isin(kept), f"{len(hosts) - most:,} other hosts")
            protocol = table["protocol"].astype(object).where(table["protocol"].isin(names), "other")
            grid = pd.crosstab(host, protocol, table["conversations"], aggfunc="sum").fillna(0)
            rows = [*kept, *(name for name in grid.index if name not in set(kept))]
            grid = grid.reindex(index=rows, columns=names, fill_value=0)
            words = grid.map(lambda value: count(value) if value else "")
            import seaborn as sns  # takes a second to load, which a run that only tells of bad input need not wait

            sns.heatmap(
                grid.where(grid > 0),
                annot=words,
                fmt="",
                cmap=ramp(look, ANOMALOUS),
                norm=LogNorm(1, max(grid.to_numpy().max(), 10)),
                cbar=False,
                linewidths=1.5,
                linecolor=look.ground,
                annot_kws={"size": 8.5},
                ax=axes,
            )
            axes.set_yticks(
                np.arange(len(rows)) + 0.5, [label(name, 24 if look.narrow else 40) for name in rows], rotation=0
            )
            axes.set_xticks(np.arange(len(names)) + 0.5, [label(name, 10) for name in names], rotation=0)
            axes.set_facecolor(mix(look.ground, look.muted, 0.08))
            axes.grid(False)
        else:
            say(axes, "no anomalies")
        axes.set_xlabel("conversations (source, destination, service) with an anomalous window")
        axes.set_ylabel("")
        if look.narrow:
            axes.set_xlabel("anomalous conversations")
    return figure


def timeline(incidents: pd.DataFrame, span: tuple[int, int] | None = None, look: Look = LIGHT) -> Picture:
    """When each incident was: a lane for each source and pattern, in order of its start, coloured by severity.

    span      : first and last time of the capture [ns], where the axis is to show all of it.
    incidents : tables.INCIDENTS. Of more than MAX_LANES lanes the worst are drawn, and how many are not is said.
    """
    rank = (
        incidents["severity"].astype(object).map({name: i for i, name in enumerate(SEVERITIES)}).fillna(9).astype(int)
    )
    lane = incidents["source"].astype(str) + "\0" + incidents["pattern"].astype(str)
    lanes = pd.DataFrame({"lane": lane, "rank": rank, "start": incidents["start"], "score": -incidents["score"]})
    lanes = lanes.groupby("lane", sort=True).min().sort_values(["rank", "score", "start"], kind="stable")
    hidden = max(len(lanes) - MAX_LANES, 0)
    lanes = lanes.head(MAX_LANES).sort_values("start", kind="stable")
    step = 0.4 if look.narrow else 0.27
    with picture(look, 1.2 + step * max(len(lanes), 3)) as figure:
        axes = figure.subplots()
        axes.set_title(f"Worst {MAX_LANES} of {MAX_LANES + hidden:,} lanes" if hidden else "Incidents over time")
        if len(lanes):
            place = {name: i for i, name in enumerate(lanes.index)}
            times = pd.concat([incidents["start"], incidents["end"], pd.Series(span or (), dtype=np.int64)])
            shortest = (int(times.max()) - int(times.min())) / 150e9
            drop = 0.18 if look.narrow else 0.0
            for severity in reversed(SEVERITIES):
                part = incidents[(incidents["severity"] == severity) & lane.isin(list(place))]
                y = [place[name] + drop for name in lane[part.index]]
                spans(axes, part, y, look.severity[severity], shortest, 0.45 if look.narrow else 0.7)
            words = [" · ".join(label(part, 34) for part in name.split("\0")).replace("_", " ") for name in lanes.index]
            if look.narrow:
                axes.set_yticks([])
                for row, text in enumerate(words):
                    axes.text(0.0, row - 0.26, text, transform=axes.get_yaxis_transform(), va="center", size=8)
            else:
                axes.set_yticks(range(len(words)), words)
            axes.set_ylim(max(len(lanes), 2) - 0.4, -0.6)
            legend(
                figure, [(name, look.severity[name]) for name in SEVERITIES if (rank == SEVERITIES.index(name)).any()]
            )
        else:
            say(axes, "no incidents")
            times = pd.Series(span or (), dtype=np.int64)
        axes.grid(False)
        axes.grid(True, axis="x")
        time_axis(axes, times, 0.0, margin=0.02)
    return figure


def incident(edges: np.ndarray, mine: np.ndarray, others: np.ndarray, severity: str, look: Look = LIGHT) -> Picture:
    """Packets over time around one incident: its own, and below them all others.

    edges : n + 1 times [ns] between which the n counts in `mine` and `others` lie, of equal width.
    """
    with picture(look, 3.0) as figure:
        axes = figure.subplots()
        axes.set_title("Packets of the incident, and all others")
        x, colour = dates(edges), look.severity[severity]
        axes.stairs(others, x, fill=True, color=mix(look.muted, look.ground, 0.5))
        axes.stairs(others + mine, x, baseline=others, fill=True, color=colour)
        axes.set_ylim(0, 1.15 * max(int((mine + others).max()), 1))
        axes.set_ylabel(f"packets per {duration((edges[1] - edges[0]) / 1e9)}")
        legend(figure, [("incident", colour), ("others", mix(look.muted, look.ground, 0.5))])
        grid(axes, "y")
        time_axis(axes, pd.Series(edges), 0.0)
    return figure
