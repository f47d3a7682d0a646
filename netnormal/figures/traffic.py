"""Pictures of the traffic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from netnormal.figures.look import (
    ANOMALOUS,
    LIGHT,
    Look,
    Picture,
    bin_edges,
    dates,
    grid,
    label,
    legend,
    log_ticks,
    mix,
    picture,
    protocol_colours,
    say,
    time_axis,
    top,
    total_by,
)
from netnormal.quantities import bit_unit, byte_unit, count, count_tick, duration, percent, size


def protocols(table: pd.DataFrame, look: Look = LIGHT) -> Picture:
    """Share of packets and of bytes by protocol.

    table : protocol, packets, bytes; any order.
    """
    shown = top(table, "protocol", 9)
    with picture(look, 1.1 + 0.3 * max(len(shown), 2)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        figure.suptitle("Protocols", x=0.01, ha="left", fontsize=11, fontweight="bold")
        for axes, column in ((left, "packets"), (right, "bytes")):
            total = max(int(shown[column].sum()), 1)
            share = 100 * shown[column].to_numpy() / total
            names = [label(name, 14) for name in shown["protocol"]]
            colours = protocol_colours(shown["protocol"], look)
            if not len(shown):
                say(axes, "no packets")
                continue
            axes.barh(range(len(names)), share, color=colours, height=0.72)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlim(0, 1.32 * max(share.max(), 1))
            for y, (value, amount) in enumerate(zip(share, shown[column], strict=True)):
                words = size(amount) if column == "bytes" else count(amount)
                axes.text(value, y, f" {percent(value)}" + ("" if look.narrow else f" · {words}"), va="center", size=8)
            axes.set_xlabel(f"share of {column} [%]")
            ticks = MaxNLocator(4 if look.narrow else 6).tick_values(0, share.max())
            axes.set_xticks([tick for tick in ticks if tick <= 100])
            grid(axes, "x")
    return figure


def traffic(series: pd.DataFrame, bin_s: float, look: Look = LIGHT) -> Picture:
    """Packets and bytes over time, the anomalous part in another colour.

    series : time (start of a bin), packets, bytes, anomalous_packets, anomalous_bytes; every bin, in order of time.
    """
    with picture(look, 4.4) as figure:
        axes = figure.subplots(2, 1, sharex=True)
        for one, column in zip(axes, ("packets", "bytes"), strict=True):
            factor, unit = byte_unit(series[column].max()) if column == "bytes" and len(series) else (1, "packets")
            edges = bin_edges(series, bin_s)
            one.stairs(series[column] / factor, edges, fill=True, color=look.plain, alpha=0.85)
            one.stairs(series[f"anomalous_{column}"] / factor, edges, fill=True, color=ANOMALOUS)
            one.set_ylabel(f"{unit} per {duration(bin_s)}")
            one.set_ylim(bottom=0)
            one.yaxis.set_major_formatter(FuncFormatter(count_tick))
            grid(one, "y")
        if not len(series):
            say(axes[0], "no packets")
        axes[0].set_title("Traffic volume")
        legend(figure, [("normal", look.plain), ("anomalous", ANOMALOUS)])
        time_axis(axes[1], series["time"], bin_s)
    return figure


def throughput(series: pd.DataFrame, bin_s: float, look: Look = LIGHT) -> Picture:
    """Throughput by protocol, stacked, with its mean and its peak.

    series : time (start of a bin), protocol, bytes; bins without a row are empty. Rates are means over `bin_s`.
    """
    with picture(look, 3.3) as figure:
        axes = figure.subplots()
        axes.set_title("Throughput")
        if len(series):
            order = top(total_by(series, "protocol", "bytes"), "protocol")
            names = list(order["protocol"])
            known = series["protocol"].astype(object).where(series["protocol"].isin(names), "other")
            start, width = int(series["time"].min()), round(bin_s * 1e9)
            position = ((series["time"] - start) // width).to_numpy()
            rates = np.zeros((len(names), int(position.max()) + 1))
            row = known.map({name: i for i, name in enumerate(names)}).to_numpy(int)
            np.add.at(rates, (row, position), series["bytes"].to_numpy() * 8 / bin_s)
            total = rates.sum(axis=0)
            factor, unit = bit_unit(total.max())
            edges = dates(start + width * np.arange(rates.shape[1] + 1))
            colours = protocol_colours(names, look)
            base = np.zeros(rates.shape[1])
            for rate, colour in zip(rates, colours, strict=True):
                axes.stairs((base + rate) / factor, edges, baseline=base / factor, fill=True, color=colour)
                base = base + rate
            mean = total.mean() / factor
            axes.axhline(mean, color=look.text, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.set_ylim(0, 1.15 * max(total.max() / factor, 1e-9))
            words = f" dashed: the mean; peak {total.max() / factor:.3g} {unit} over {duration(bin_s, '1 ')}"
            axes.text(0.0, 1.0, words, transform=axes.transAxes, va="top", size=8.5, color=look.muted)
            legend(figure, [(label(n, 14), c) for n, c in zip(names, colours, strict=True)])
            axes.set_ylabel(unit)
        else:
            say(axes, "no packets")
            axes.set_ylabel("Mbit/s")
        grid(axes, "y")
        time_axis(axes, series["time"], bin_s)
    return figure


def top_hosts(table: pd.DataFrame, role: str, most: int = 20, look: Look = LIGHT) -> Picture:
    """The hosts that sent (`role` "source") or were sent ("destination") most packets, and how many bytes.

    table : host, packets, bytes, anomalous_packets; any order, all hosts or only the most active.
    """
    shown = table.sort_values(["packets", "host"], ascending=[False, True], kind="stable").head(most)
    with picture(look, 1.0 + 0.235 * max(len(shown), 3)) as figure:
        axes = figure.subplots()
        axes.set_title(f"Top {most} {role} addresses" if len(table) > most else f"All {role} addresses")
        if len(shown):
            packets, anomalous = shown["packets"].to_numpy(), shown["anomalous_packets"].to_numpy()
            y = np.arange(len(shown))
            axes.barh(y, packets, color=look.plain, height=0.74)
            axes.barh(y, anomalous, color=ANOMALOUS, height=0.74)
            axes.set_yticks(y, [label(name, 24 if look.narrow else 40) for name in shown["host"]])
            axes.set_ylim(len(shown) - 0.4, -0.6)
            axes.set_xlim(0, 1.26 * packets.max())
            for row, (number, weight) in enumerate(zip(packets, shown["bytes"], strict=True)):
                words = f" {count(number)}" if look.narrow else f" {count(number)} · {size(weight)}"
                axes.text(number, row, words, va="center", size=7.5, color=look.muted)
            legend(figure, [("normal", look.plain), ("anomalous", ANOMALOUS)])
        else:
            say(axes, "no packets with addresses")
        axes.set_xlabel(f"packets {'sent' if role == 'source' else 'received'}")
        axes.xaxis.set_major_locator(MaxNLocator(4 if look.narrow else 7, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(count_tick))
        grid(axes, "x")
    return figure


def packet_sizes(table: pd.DataFrame, look: Look = LIGHT) -> Picture:
    """How large packets are: all of them, and the commonest protocols among them.

    table : length (wire bytes), protocol, packets; any order. The ordinate is logarithmic.
    """
    with picture(look, 3.3) as figure:
        axes = figure.subplots()
        axes.set_title("Packet sizes")
        axes.set_xlabel("bytes on the wire")
        axes.set_ylabel("packets")
        if len(table):
            longest = int(table["length"].max())
            step = 32 if longest <= 2048 else 1024
            edges: np.ndarray = np.arange(0, longest + 2 * step, step)
            if longest > 9216:  # coalesced by the network card: up to 64 kB
                axes.set_xscale("log", base=2)
                edges = 2.0 ** np.arange(4, np.ceil(np.log2(longest + 1)) + 0.25, 0.25)
                axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
            total, _ = np.histogram(table["length"].clip(lower=edges[0]), edges, weights=table["packets"])
            axes.stairs(total, edges, fill=True, color=look.muted, alpha=0.35)
            order = top(total_by(table, "protocol", "packets"), "protocol", 4)
            names = [name for name in order["protocol"] if name != "other"]
            colours = protocol_colours(names, look)
            for name, colour in zip(names, colours, strict=True):
                part = table[table["protocol"] == name]
                values, _ = np.histogram(part["length"].clip(lower=edges[0]), edges, weights=part["packets"])
                axes.stairs(values, edges, color=colour, linewidth=1.5, baseline=None)
            axes.set_yscale("log")
            axes.set_ylim(0.7, 2 * max(total.max(), 1))
            axes.set_xlim(edges[0], edges[-1])
            axes.yaxis.set_major_formatter(FuncFormatter(count_tick))
            axes.yaxis.set_minor_formatter(NullFormatter())
            shown = [
                ("all", mix(look.ground, look.muted, 0.35)),
                *((label(n, 14), c) for n, c in zip(names, colours, strict=True)),
            ]
            legend(figure, shown)
        else:
            say(axes, "no packets")
        grid(axes, "y")
    return figure


def handshakes(table: pd.DataFrame, look: Look = LIGHT) -> Picture:
    """TCP handshake latency, SYN to SYN-ACK: its distribution, and its middle and upper end over time.

    table : time (start of a bin, or of each), latency_s, handshakes (how many; 1 where each has a row).
    """
    if not len(table):
        with picture(look, 1.6) as figure:
            axes = figure.subplots()
            axes.set_title("TCP handshake latency")
            say(axes, "no complete TCP handshake")
        return figure
    with picture(look, 5.0 if look.narrow else 3.4) as figure:
        left, right = figure.subplots(2, 1) if look.narrow else figure.subplots(1, 2, width_ratios=(2, 3))
        left.set_title("TCP handshake latency")
        left.set_xlabel("SYN to SYN-ACK [ms]")
        left.set_ylabel("handshakes")
        right.set_ylabel("latency [ms]")
        number = table["handshakes"].to_numpy(float)
        ms = table["latency_s"].to_numpy(float).clip(min=1e-6) * 1e3
        low, high = np.floor(5 * np.log10(ms.min())) / 5, np.ceil(5 * np.log10(ms.max()) + 1e-9) / 5
        edges = 10.0 ** np.linspace(low, max(high, low + 0.2), max(round(10 * (high - low)), 2) + 1)
        counts, _ = np.histogram(ms.clip(edges[0], edges[-1]), edges, weights=number)
        left.stairs(counts, edges, fill=True, color=look.plain)
        left.set_xscale("log")
        left.set_ylim(0, 1.3 * counts.max())
        middle, upper = quantiles(ms, number, (0.5, 0.95))
        left.set_xlim(edges[0], edges[-1])
        for value, words, height in ((middle, "median", 1.23), (upper, "95 %", 1.11)):
            side = "right" if np.log(value / edges[0]) > 0.6 * np.log(edges[-1] / edges[0]) else "left"
            left.axvline(value, color=look.text, linewidth=0.9, linestyle=(0, (4, 3)))
            left.text(value, height * counts.max(), f" {words} {value:.3g} ms ", ha=side, va="center", size=8)
        log_ticks(left.xaxis, edges[0], edges[-1])
        left.yaxis.set_major_formatter(FuncFormatter(count_tick))
        left.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        bin_s = _over_time(right, table, ms, number, look)
        grid(left, "y")
        grid(right, "y")
        time_axis(right, table["time"], bin_s)
    return figure


def _over_time(axes: Axes, table: pd.DataFrame, ms: np.ndarray, number: np.ndarray, look: Look) -> float:
    """Median and 95th percentile of `ms` in at most 60 equal pieces of time; returns the piece's length [s]."""
    start, end = int(table["time"].min()), int(table["time"].max())
    width = max((end - start) // 60 + 1, 10**9)
    piece = ((table["time"] - start) // width).to_numpy()
    rows = []
    for index in np.unique(piece):
        here = piece == index
        rows.append((start + index * width + width // 2, *quantiles(ms[here], number[here], (0.5, 0.95))))
    x, middle, upper = (np.array(column) for column in zip(*rows, strict=True))
    axes.plot(dates(x), upper, "^", markersize=4, color=ANOMALOUS, label="95 %", alpha=0.9)
    axes.plot(dates(x), middle, "o", markersize=3.5, color=look.plain, label="median")
    axes.set_yscale("log")
    low, high = middle.min() / 1.6, upper.max() * 1.6
    axes.set_ylim(low, high)
    log_ticks(axes.yaxis, low, high)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, handletextpad=0.2)
    return width / 1e9


def quantiles(values: np.ndarray, weights: np.ndarray, shares: Sequence[float]) -> list[float]:
    """The smallest value that at least a share of the weight does not exceed, for each of `shares`."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return [float(values[order][np.searchsorted(reached, share * reached[-1])]) for share in shares]
