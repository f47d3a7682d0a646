"""What the model learnt, what it can promise, and whether this traffic still looks like its baseline."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from netnormal import quantities
from netnormal.dashboard import charts, results
from netnormal.dashboard import show as _show


def show(data: _show.Data) -> None:
    st.header("Model")
    card = results.mapping(data.model.with_name("model_card.json"))
    if not card:
        _show.empty("No model yet. Capture traffic you trust, then:", "dvc repro train_model")
        return
    base = results.at(card, "baseline", otherwise={})
    _show.facts(
        [
            ("Learnt from", f"{_moment(base.get('start'))} to {_moment(base.get('end'))} UTC"),
            ("That is", quantities.span(results.number(base.get("span_s"), 0.0))),
            ("Budget", f"{results.plain(results.at(card, 'settings', 'alert_budget_per_day'))} false incidents a day"),
            ("Promise", results.plain(card.get("promise") or "")),
            ("Features", f"{len(card.get('features') or [])} of a conversation, its source and its destination"),
            ("Trees", f"{results.plain(results.at(card, 'settings', 'trees'))} in each forest"),
        ],
        "model",
    )
    if card.get("warning"):
        st.badge("doubtful baseline", icon=":material/warning:", color="orange")
        st.text(results.plain(card["warning"]))
    windows = results.at(card, "windows", otherwise={})
    _windows(windows)
    for length, why in results.at(card, "left_out", otherwise={}).items():
        st.text(f"No model for windows of {results.plain(length)} s: {results.plain(why)}")
    _importance(data)
    _drift(data, {int(length) for length in windows if str(length).isdigit()})
    _metrics(data)


def _moment(text: object) -> str:
    return results.plain(text)[:19].replace("T", " ")


def _windows(windows: dict[str, object]) -> None:
    """What was learnt for each length of window, and how rare a conversation must be to be an anomaly."""
    rows = []
    for length, part in windows.items():
        tail = results.number(results.at(part, "threshold_tail_probability"), 0.0)
        rows.append(
            {
                "Window [s]": results.plain(length),
                "Conversations learnt from": results.at(part, "rows"),
                "Windows": results.at(part, "windows"),
                "Held out to calibrate": results.at(part, "calibration_rows"),
                "An anomaly is rarer than": f"1 of {1 / tail:,.0f}" if tail > 0 else "anything",
            }
        )
    if rows:
        _show.table(pd.DataFrame(rows), "windows")


def _importance(data: _show.Data) -> None:
    decided = results.deciding(data.folder)
    if decided is None or not decided.rows:
        return
    st.subheader("Which features decided")
    st.caption("The share of the anomalous conversations that a feature is among the strongest reasons of.")
    best = decided.features.most_common(12)
    frame = pd.DataFrame(
        {"name": [name for name, _ in best], "value": [100 * number / decided.rows for _, number in best]}
    )
    frame["said"] = [f"{value:.0f} %" for value in frame["value"]]
    _show.chart(charts.bars(frame, "name", "value", "said", _show.look()), "Features by how often they decided")


def _drift(data: _show.Data, lengths: set[int]) -> None:
    sums = results.scores(data.folder)
    if sums is None or not len(sums.over_time):
        return
    tails = {length: counts for length, counts in sums.tails.items() if length in lengths}
    if not tails:
        return
    st.subheader("Calibration and drift")
    st.caption("On the dashed line, traffic is as rare as expected. Above it: attacks, or a network that has changed.")
    _show.chart(charts.tails(tails, _show.look()), "Share of rare conversations, seen against expected")
    length = max(tails)
    frame = sums.over_time[sums.over_time["window_s"] == length]
    st.text(f"Share of conversations that are as rare as 1 % of the baseline, in windows of {length} s")
    _show.chart(charts.rate(frame, "rare", "rows", length * 10**9, "rare"), "Share of rare conversations over time")


def _metrics(data: _show.Data) -> None:
    st.subheader("Against labels")
    metrics = results.mapping(data.folder / "metrics.json")
    if not metrics:
        _show.empty("No labels were compared. If you know what the packets were:", "python evaluate.py --labels FILE")
        return

    def figure(key: str, form: str = ",.0f") -> str:
        value = results.number(metrics.get(key))
        return "–" if math.isnan(value) else format(value, form)

    tiles = st.container(horizontal=True)
    for name, key in (("ROC AUC", "roc_auc"), ("Recall", "recall"), ("Mean recall", "mean_recall")):
        tiles.metric(name, figure(key, ".3f"), width="content")
    tiles.metric("Attacks found", f"{figure('attacks_found')} of {figure('attacks')}", width="content")
    tiles.metric("False incidents", figure("false_incidents"), width="content")
    tiles.metric("Found after (median)", f"{figure('median_time_to_detect_s', '.3g')} s", width="content")
    st.caption(f"Recall where {figure('false_positive_rate', '.2%')} of the benign packets rank as high.")
    recalls = results.at(metrics, "recall_per_attack", otherwise={})
    known = [(name, value) for name, value in recalls.items() if isinstance(value, (int, float))]
    frame = pd.DataFrame(known, columns=["name", "value"])
    if len(frame):
        frame["said"] = [f"{value:.2f}" for value in frame["value"]]
        _show.chart(charts.bars(frame, "name", "value", "said", _show.look()), "Recall for each attack")
