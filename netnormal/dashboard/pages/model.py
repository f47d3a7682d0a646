"""What the model learnt, what it can promise, and whether this traffic still looks like its baseline."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st

from netnormal import words
from netnormal.dashboard import charts, results, story
from netnormal.dashboard import show as _show


def show(data: _show.Data) -> None:
    st.header("Model")
    card = results.mapping(data.model.with_name("model_card.json"))
    if not card:
        _show.empty("No model yet. Capture traffic you trust, then:", "dvc repro train_model")
        return
    base = results.at(card, "baseline", otherwise={})
    st.subheader("What is normal here")
    _show.facts(
        [
            ("Learnt from", f"{results.plain(base.get('start'))[:19]} to {results.plain(base.get('end'))[:19]} UTC"),
            ("That is", words.span(float(base.get("span_s") or 0))),
            ("Promise", results.plain(card.get("promise") or "")),
            ("Budget", f"{results.at(card, 'settings', 'alert_budget_per_day')} false incidents a day"),
            ("Features", f"{len(card.get('features') or [])}"),
        ]
    )
    windows = results.at(card, "windows", otherwise={})
    rows = [{"window [s]": length, **part} for length, part in windows.items() if isinstance(part, dict)]
    _show.table(pd.DataFrame(rows), "windows")
    for length, why in (results.at(card, "left_out", otherwise={})).items():
        st.text(f"No model for windows of {results.plain(length)} s: {results.plain(why)}")
    _importance(data)
    _drift(data)
    _metrics(data)


def _importance(data: _show.Data) -> None:
    weights: Counter[str] = Counter()
    for one in data.incidents()[0] or []:
        for reason in story.reasons(one):
            weights[reason.words] += 1
    if weights:
        st.subheader("Which features decided")
        st.caption("In how many incidents a feature is among the strongest reasons.")
        frame = pd.DataFrame(weights.most_common(12), columns=["name", "value"])
        frame["said"] = frame["value"]
        _show.chart(charts.bars(frame, "name", "value", "said", _show.look()), "Features by incidents they decided")


def _drift(data: _show.Data) -> None:
    sums = results.scores(data.folder)
    if sums is None or not len(sums.over_time):
        return
    st.subheader("Calibration and drift")
    st.caption("On the dashed line, traffic is as rare as expected. Above it: attacks, or a network that has changed.")
    _show.chart(charts.tails(sums.tails, _show.look()), "Share of rare conversations, seen against expected")
    length = int(sums.over_time["window_s"].max())
    frame = sums.over_time[sums.over_time["window_s"] == length]
    st.text(f"Conversations that 1 % of the baseline would look like, in windows of {length} s (1 % is as expected)")
    _show.chart(charts.rate(frame, "rare", "rows", length * 10**9, "rare"), "Share of rare conversations over time")


def _metrics(data: _show.Data) -> None:
    st.subheader("Against labels")
    metrics = results.mapping(data.folder / "metrics.json")
    if not metrics:
        _show.empty("No labels were compared. If you know what the packets were:", "python evaluate.py --labels FILE")
        return
    tiles = st.container(horizontal=True)
    for name, key in (("ROC AUC", "roc_auc"), ("Recall", "recall"), ("Mean recall", "mean_recall")):
        value = metrics.get(key)
        tiles.metric(name, f"{value:.3f}" if isinstance(value, float) else "–", width="content")
    tiles.metric("Attacks found", f"{metrics.get('attacks_found')} of {metrics.get('attacks')}", width="content")
    tiles.metric("False incidents", f"{metrics.get('false_incidents')}", width="content")
    recalls = results.at(metrics, "recall_per_attack", otherwise={})
    frame = pd.DataFrame({"name": list(recalls), "value": [float(value or 0) for value in recalls.values()]})
    if len(frame):
        frame["said"] = [f"{value:.2f}" for value in frame["value"]]
        _show.chart(
            charts.bars(frame, "name", "value", "said", _show.look(), "recall by packet"), "Recall for each attack"
        )
