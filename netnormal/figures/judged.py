"""Pictures of how good detection is: for evaluate.py, whose labels say what every packet was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from netnormal.figures.look import (
    ANOMALOUS,
    LIGHT,
    Look,
    Picture,
    dates,
    grid,
    label,
    legend,
    log_ticks,
    picture,
    place_legend,
    say,
    time_axis,
)

OURS = "netnormal"
MOST_ATTACKS = 40  # bars that fit on a page; of more, those of which least was found
MOST_LANES = 12
_COLOURS = (ANOMALOUS, "#0072B2", "#009E73", "#CC79A7", "#8C6D31")  # ours first
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)))


def roc(curves: Mapping[str, pd.DataFrame], rate: float, look: Look = LIGHT) -> Picture:
    """ROC curves, with the false positive rate on a logarithmic axis: a detector is used at its left end.

    curves : detector → false_positive_rate, recall; ours first. rate : the false positive rate at which recall is told.
    """
    with picture(look, 4.0) as figure:
        axes = figure.subplots()
        axes.set_title("ROC")
        if _draw(figure, axes, curves, "false_positive_rate", "recall"):
            axes.set_xscale("log")
            axes.set_xlim(rate / 20, 1)
            log_ticks(axes.xaxis, rate / 20, 1)
            axes.axvline(rate, color=look.muted, linewidth=0.8)
            axes.annotate(f" {rate:g}", (rate, 0.02), color=look.muted, fontsize=8.5)
            axes.set_ylim(0, 1.02)
        axes.set_xlabel("share of benign packets over the threshold")
        axes.set_ylabel("share of attack packets over it")
    return figure


def precision_recall(curves: Mapping[str, pd.DataFrame], share: float, look: Look = LIGHT) -> Picture:
    """Precision and recall. curves : detector → recall, precision; ours first. share : of attacks in all packets."""
    with picture(look, 4.0) as figure:
        axes = figure.subplots()
        axes.set_title("Precision and recall")
        if _draw(figure, axes, curves, "recall", "precision"):
            axes.axhline(share, color=look.muted, linewidth=0.8)
            axes.annotate(" by chance", (0, share), (0, 2), textcoords="offset points", color=look.muted, fontsize=8.5)
            axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
        axes.set_xlabel("recall: share of attack packets over the threshold")
        axes.set_ylabel("precision: share of attacks among those")
    return figure


def recall_per_attack(table: pd.DataFrame, rate: float, look: Look = LIGHT) -> Picture:
    """How much of each attack lies over the threshold; a ring where the best of the trivial detectors stands.

    table : attack, found (bool: became an incident), recall, trivial (recall of the best other detector).
    """
    kept = table.index.isin(table["recall"].nsmallest(MOST_ATTACKS).index)
    words = f", {MOST_ATTACKS} of {len(table):,}" if len(table) > MOST_ATTACKS else ""
    table = table[kept]
    with picture(look, 1.3 + 0.24 * max(len(table), 3)) as figure:
        axes = figure.subplots()
        axes.set_title(f"Recall per attack at {rate:g} false positives{words}")
        if len(table):
            place = np.arange(len(table))
            recall, found = table["recall"].to_numpy(float), table["found"].to_numpy(bool)
            axes.barh(place, recall, height=0.7, color=np.where(found, look.plain, look.muted))
            axes.plot(table["trivial"], place, "o", markersize=5, markerfacecolor="none", color=ANOMALOUS)
            axes.set_yticks(place, [label(name, 34) for name in table["attack"]])
            axes.set_ylim(len(table) - 0.4, -0.6)
            axes.set_xlim(-0.02, 1.02)
            legend(figure, [("an incident", look.plain), ("none", look.muted), ("○ best trivial", ANOMALOUS)])
        else:
            say(axes, "no attacks")
        axes.set_xlabel("share of its packets over the threshold")
        grid(axes, "x")
    return figure


def score_timeline(table: pd.DataFrame, bin_s: float, attacks: pd.DataFrame, look: Look = LIGHT) -> Picture:
    """The highest score of attack packets and of benign ones over time, and above them when each attack was.

    table : time (start of a bin, ns), benign, attack (highest score in it, NaN: no such packets).
    attacks : attack, start, end (ns), found (bool).
    """
    lanes = _lanes(attacks)
    with picture(look, 3.4 + 0.16 * (max(lanes, default=0) + 1)) as figure:
        strip, axes = figure.subplots(2, 1, sharex=True, height_ratios=(1 + max(lanes, default=0), 9))
        strip.set_title("Score over time, and the labels")
        for (_, one), lane in zip(attacks.iterrows(), lanes, strict=True):
            left, right = dates(np.array([one["start"], max(one["end"], one["start"] + round(bin_s * 1e9))]))
            strip.barh(lane, right - left, left=left, height=0.8, color=look.plain if one["found"] else look.muted)
            words = label(str(one["attack"]).replace("_", " "), 18)
            strip.annotate(words, (right, lane), (2, 0), textcoords="offset points", va="center", fontsize=7)
        strip.set_ylim(max(lanes, default=0) + 0.6, -0.6)
        strip.set_yticks([])
        strip.grid(False)
        if len(table):
            x = dates(table["time"].to_numpy() + round(bin_s * 5e8))
            for name, colour, size in (("benign", look.muted, 8), ("attack", ANOMALOUS, 12)):
                axes.scatter(x, table[name], s=size, color=colour, linewidths=0)
        else:
            say(axes, "no packets")
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel("highest score")
        legend(figure, [("benign", look.muted), ("attack", ANOMALOUS), ("an attack found", look.plain)])
        grid(axes, "y")
        time_axis(axes, table["time"], bin_s)
    return figure


def _draw(figure: Picture, axes: Axes, curves: Mapping[str, pd.DataFrame], x: str, y: str) -> bool:
    """Each curve; says so and returns False if there is none."""
    if not any(len(curve) for curve in curves.values()):
        say(axes, "needs attack packets and benign ones")
        return False
    for (name, curve), colour, dash in zip(curves.items(), _COLOURS, _DASHES, strict=False):
        width = 2.4 if dash == "-" else 1.4
        words = name.replace("_", " ")
        axes.plot(curve[x], curve[y], colour, linestyle=dash, linewidth=width, drawstyle="steps-post", label=words)
    place_legend(figure, axes.get_lines(), length=2.0, narrow_columns=2)  # dashes need a length to be seen
    return True


def _lanes(attacks: pd.DataFrame) -> list[int]:
    """A lane for each attack, so that no two bars with their names lie upon each other: the first that is free."""
    room = (int(attacks["end"].max()) - int(attacks["start"].min())) // 6 if len(attacks) else 0
    free: list[int] = []
    lanes = []
    for start, end in zip(attacks["start"], attacks["end"], strict=True):
        lane = next((i for i, until in enumerate(free) if until <= start), len(free)) % MOST_LANES
        free[lane : lane + 1] = [int(end) + room]
        lanes.append(lane)
    return lanes
