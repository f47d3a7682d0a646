"""The model: scaling against the baseline, the forest's scores and attribution, calibration, and its file."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netnormal import model, settings, tables
from netnormal.explanation import Sum
from netnormal.kernels.baseline import group_quantiles
from netnormal.known import Known
from netnormal.model import forest as forests
from netnormal.model import sample
from netnormal.model.baseline import Baseline
from netnormal.model.calibration import Tail, score_of

ROOT = Path(__file__).parent.parent
CHOSEN = replace(settings.load(ROOT / "params.yaml").train_model, trees=50)
NAMES = [column.name for column in tables.FEATURE_COLUMNS]
CONVERSATION = next(c.name for c in tables.FEATURE_COLUMNS if c.name.startswith("conversation_") and c.side == "high")


def feature_table(n_windows=60, hosts=8, seed=0, window_s=10):
    """Quiet traffic: every host talks to two servers in every window, and features wander around 5."""
    random = np.random.default_rng(seed)
    n = n_windows * hosts * 2
    window, host, server = np.unravel_index(np.arange(n), (n_windows, hosts, 2))
    start = 1_795_234_120_000_000_000 + window * window_s * 10**9
    columns = {
        "window_s": np.full(n, window_s),
        "window_start": start,
        "source": pd.Categorical([f"10.0.0.{h}" for h in host]),
        "destination": pd.Categorical([f"10.0.1.{s}" for s in server]),
        "service": pd.Categorical([("TCP/443", "UDP/53")[s] for s in server]),
        "kind": pd.Categorical([("TCP answered", "UDP answered")[s] for s in server]),
        "packets": random.integers(1, 100, n),
        "bytes": random.integers(60, 10_000, n),
        "first_packet": start,
        "last_packet": start + 10**9,
    }
    ratios = [name for name in NAMES if name.endswith("_ratio")]
    columns |= {name: random.beta(2, 8, n) if name in ratios else random.lognormal(1.6, 0.3, n) for name in NAMES}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def fitted():
    return model.Model.fit(feature_table(), CHOSEN, jobs=1)


# ---------------------------------------------------------------- scaling


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5))
def test_group_quantiles_are_numpys(seed, n, n_groups):
    random = np.random.default_rng(seed)
    values = np.where(random.random((n, 3)) < 0.2, np.nan, random.normal(size=(n, 3)))
    group = random.integers(0, n_groups, n)
    order, starts = np.argsort(group, kind="stable"), np.r_[0, np.cumsum(np.bincount(group, minlength=n_groups))]
    levels = np.array([0.05, 0.5, 0.95])
    quantiles, counts = group_quantiles(values, order, starts, levels)
    for g in range(n_groups):
        for column in range(3):
            cells = values[group == g, column]
            cells = cells[~np.isnan(cells)]
            assert counts[g, column] == cells.size
            wanted = np.quantile(cells, levels) if cells.size else np.full(3, np.nan)
            np.testing.assert_allclose(quantiles[g, column], wanted, rtol=1e-12, atol=1e-12)


def test_a_host_is_compared_with_its_own_past_and_a_new_host_with_the_network():
    table = feature_table()
    name = next(n for n in NAMES if n.startswith("source_") and n.endswith("_count"))
    busy = table["source"] == "10.0.0.7"
    table.loc[busy, name] *= 100
    baseline = Baseline.fit(table, np.ones(len(table), bool), {name: "high"}, shrinkage=5, floor=0.2)
    rows = table.iloc[:1].copy()
    rows[name] = 500.0
    rows["source"] = pd.Categorical(["10.0.0.7"])
    its_own = baseline.distances(rows)[0, 0]
    rows["source"] = pd.Categorical(["10.9.9.9"])
    of_a_stranger = baseline.distances(rows)[0, 0]
    assert of_a_stranger > 2 * its_own


def test_less_than_usual_is_no_distance_and_what_does_not_apply_is_none_either():
    table = feature_table()
    baseline = Baseline.fit(table, np.ones(len(table), bool), {CONVERSATION: "high"}, shrinkage=5, floor=0.2)
    rows = table.iloc[:3].copy()
    rows[CONVERSATION] = [0.0, np.nan, 1e6]
    little, absent, much = baseline.distances(rows)[:, 0]
    assert (little, absent) == (0, 0)
    assert much > 1


def test_novelty_is_one_for_what_was_never_seen_and_does_not_count_a_rows_own_window():
    table = feature_table(n_windows=20)
    once = table.iloc[[0]].copy()
    once["service"] = pd.Categorical(["TCP/9999"])
    table = tables.concat([table, once])
    baseline = Baseline.fit(table, np.ones(len(table), bool), {CONVERSATION: "high"}, shrinkage=5, floor=0.2)
    at = baseline.names.index("novelty_service_ratio")
    own, new = baseline.distances(table, own=True)[:, at], baseline.distances(table)[:, at]
    assert own[-1] == 1  # its only window is its own
    assert 0 < new[-1] < 1
    np.testing.assert_allclose(own[:-1], 0, atol=1e-6)


# ---------------------------------------------------------------- forest


@pytest.fixture(scope="module")
def forest_and_rows():
    random = np.random.default_rng(3)
    rows = random.exponential(size=(500, 6)).astype(np.float32)
    return forests.fit(rows, CHOSEN, jobs=1), np.vstack([rows[:100], random.exponential(4, (100, 6))]).astype(
        np.float32
    )


def test_scores_are_scikit_learns(forest_and_rows):
    forest, rows = forest_and_rows
    np.testing.assert_allclose(forests.Trees.of(forest).scores(rows), -forest.score_samples(rows), rtol=1e-9)


def test_contributions_sum_exactly_to_the_path_length_spared(forest_and_rows):
    forest, rows = forest_and_rows
    trees = forests.Trees.of(forest)
    depth = -np.log2(trees.scores(rows)) * trees.scale
    np.testing.assert_allclose(trees.contributions(rows).sum(axis=1), trees.mean_root() - depth, rtol=1e-9, atol=1e-9)


def test_a_value_far_outside_scores_above_one_just_outside_thanks_to_range_extension():
    rows = np.random.default_rng(5).uniform(size=(2000, 5)).astype(np.float32)
    probes = np.full((2, 5), 0.5, np.float32)
    probes[:, 0] = 1.05, 2.8
    near, far = forests.Trees.of(forests.fit(rows, replace(CHOSEN, trees=300), 1)).scores(probes)
    plain = forests.fit(rows, replace(CHOSEN, trees=300, range_extension_share=0.0), 1)
    near_plain, far_plain = forests.Trees.of(plain).scores(probes)
    assert far > near
    assert far - near > far_plain - near_plain


def test_an_attacked_row_is_anomalous_and_says_which_feature_made_it(fitted):
    table = feature_table(seed=1)
    assert fitted.judge(table)["anomaly"].mean() < 0.01
    row = table.iloc[[5]].copy()
    for name in NAMES[:6]:
        row[name] = row[name] * 1000
    verdict = fitted.judge(row).iloc[0]
    found = fitted.attribution(row)
    assert verdict["anomaly"] == 1
    assert verdict["score"] > 0.8
    entries = Sum.of(found, [0], 10).entries()
    assert {one["feature"] for one in entries[:3]} <= set(NAMES[:6])
    assert all(one["value"] > one["usual_high"] for one in entries)
    assert [text.split(" (usually")[0].rsplit(" ", 1)[0] for text in found.reasons(0)][:1] == [entries[0]["words"]]


def test_the_contributions_of_many_rows_sum_to_the_path_lengths_they_shortened(fitted):
    table = feature_table(seed=1).iloc[:40]
    part = fitted.windows[10]
    depth = -np.log2(part.trees.scores(part.baseline.distances(table))) * part.trees.scale
    whole = fitted.attribution(table)
    total = Sum.of(whole, np.arange(40), 10)
    assert sum(total.splits.values()) == pytest.approx(40 * part.trees.mean_root() - depth.sum(), rel=1e-9)
    parts = Sum.of(whole, np.arange(25), 10)
    parts.add(Sum.of(whole, np.arange(25, 40), 10))
    assert parts.splits == pytest.approx(total.splits)
    assert parts.best == total.best
    assert Sum.of(None, [], 10).entries() == []


# ---------------------------------------------------------------- calibration


def test_tail_probability_falls_with_the_score_and_never_reaches_zero():
    tail = Tail.fit(np.random.default_rng(0).normal(0.4, 0.05, 400), 0.1, 2.5, 0.9, 0.05)
    probability = tail.probability(np.linspace(0, 1, 1001))
    assert (np.diff(probability) <= 0).all()
    assert probability[0] == 1
    assert 0 < probability[-1] < 1e-6
    for wanted in (1e-2, 1e-4, 1e-8):
        assert tail.probability(np.array([tail.quantile(wanted)]))[0] == pytest.approx(wanted)
    assert (np.diff(score_of(probability)) >= 0).all()


def test_the_share_of_new_benign_rows_at_or_under_a_tail_probability_is_about_that_probability():
    random = np.random.default_rng(0)
    new = random.normal(size=200_000)
    tails = [Tail.fit(random.normal(size=2000), 0.1, 2, 0.5, 0.05) for _ in range(20)]
    for wanted in (0.5, 0.01, 0.001):
        shares = [(tail.probability(new) <= wanted).mean() for tail in tails]
        assert np.mean(shares) == pytest.approx(wanted, rel=0.5)


@pytest.mark.parametrize("strays", [1, 5, 12])
def test_attacks_among_the_held_out_scores_hardly_move_the_threshold(strays):
    random = np.random.default_rng(1)
    clean = random.normal(0.35, 0.03, 700)
    attacks = random.uniform(0.5, 0.65, strays)
    wanted = Tail.fit(clean, 0.1, 2.5, 0.9, 0.05).quantile(1e-5)
    robust = Tail.fit(np.concatenate([clean, attacks]), 0.1, 2.5, 0.9, 0.05)
    assert robust.quantile(1e-5) == pytest.approx(wanted, abs=0.02)
    assert robust.limit < attacks.min()
    assert Tail.fit(np.concatenate([clean, attacks]), 0.1, 2.5, 0.9, 0).quantile(1e-5) > robust.quantile(1e-5)


def test_a_baseline_with_an_attack_in_it_says_who_strayed_and_judges_as_if_it_were_clean(fitted):
    table = feature_table()
    at = np.flatnonzero((table["window_start"].to_numpy() == table["window_start"].unique()[45]).astype(int))[:4]
    dirty = table.copy()
    dirty.loc[at, [name for name in NAMES if not name.endswith("_ratio")]] = 10_000.0
    made = model.Model.fit(dirty, CHOSEN, jobs=1)
    assert {source for _, source in made.windows[10].strays} == set(dirty.loc[at, "source"].astype(str))
    assert "2 times somebody strayed" in made.warning()
    assert made.card()["windows"]["10"]["strays_count"] == 2
    assert fitted.warning() is None
    attack = dirty.iloc[at]
    assert made.judge(attack)["anomaly"].all()


def test_few_scores_make_a_careful_tail():
    random = np.random.default_rng(2)
    few = [Tail.fit(random.normal(0.35, 0.03, 60), 0.2, 2.5, 0.9, 0).quantile(1e-5) for _ in range(20)]
    many = [Tail.fit(random.normal(0.35, 0.03, 6000), 0.2, 2.5, 0.9, 0).quantile(1e-5) for _ in range(20)]
    assert np.median(few) > np.max(many)


def test_scores_all_alike_have_a_tail_too():
    tail = Tail.fit(np.full(20, 0.4), 0.1, 2.5, 0.9, 0.05)
    assert tail.probability(np.array([0.4, 0.5])).tolist() == [1.0, pytest.approx(0, abs=1e-9)]


def test_a_stricter_budget_means_a_lower_threshold_and_the_card_says_what_cannot_be_promised(fitted):
    strict = model.Model.fit(feature_table(), replace(CHOSEN, alert_budget_per_day=0.1), jobs=1)
    assert strict.windows[10].threshold < fitted.windows[10].threshold
    assert "cannot promise fewer than" in fitted.card()["promise"]
    generous = model.Model.fit(feature_table(), replace(CHOSEN, alert_budget_per_day=20_000.0), jobs=1)
    assert "support the budget" in generous.card()["promise"]


def test_a_window_length_with_too_little_baseline_is_left_out_and_said():
    table = tables.concat([feature_table(), feature_table(n_windows=3, window_s=600)])
    made = model.Model.fit(table, CHOSEN, jobs=1)
    assert list(made.windows) == [10]
    assert re.search(r"48 rows in 3 windows", made.card()["left_out"]["600"])


def test_a_baseline_too_short_for_any_forest_still_makes_a_model_that_calls_nothing_unusual(tmp_path):
    made = model.Model.fit(feature_table(n_windows=3), CHOSEN, jobs=1)
    model.save(made, tmp_path / "m.pkl")
    loaded = model.load(tmp_path / "m.pkl")
    assert loaded.judge(feature_table(seed=1))["score"].max() == 0
    assert loaded.card()["promise"] == "the baseline is too short to learn from: only named patterns can be found"


# ---------------------------------------------------------------- the file


def test_a_saved_model_judges_as_before_and_equal_training_makes_equal_files(fitted, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    model.save(fitted, tmp_path / "a" / "m.pkl")
    model.save(model.Model.fit(feature_table(), CHOSEN, jobs=2), tmp_path / "b" / "m.pkl")
    cards = [(tmp_path / name / "model_card.json").read_text() for name in ("a", "b")]
    assert cards[0] == cards[1]
    loaded = model.load(tmp_path / "a" / "m.pkl")
    pd.testing.assert_frame_equal(loaded.judge(feature_table(seed=2)), fitted.judge(feature_table(seed=2)))


class _Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "inside an object array"])
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(tmp_path, nested):
    ran = tmp_path / "ran"
    payload = np.array([_Command(ran)], dtype=object) if nested else _Command(ran)
    joblib.dump({"model": payload}, tmp_path / "m.pkl")
    with pytest.raises(tables.InputError, match=r"which no model of netnormal does.*train_model\.py"):
        model.load(tmp_path / "m.pkl")
    assert not ran.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, I am text",
        pickle.dumps([1, 2, 3]),
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        os.urandom(4000),
    ],
    ids=["empty", "text", "a list", "endless", "noise"],
)
def test_what_is_no_model_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / "m.pkl").write_bytes(content)
    with pytest.raises(tables.InputError, match="is not a model this netnormal can read"):
        model.load(tmp_path / "m.pkl")


def test_a_truncated_or_exchanged_model_is_refused(fitted, tmp_path):
    model.save(fitted, tmp_path / "m.pkl")
    whole = (tmp_path / "m.pkl").read_bytes()
    (tmp_path / "m.pkl").write_bytes(whole[:-100])
    with pytest.raises(tables.InputError, match=r"is not the model that model_card\.json describes"):
        model.load(tmp_path / "m.pkl")
    (tmp_path / "model_card.json").unlink()
    with pytest.raises(tables.InputError, match="is not a model"):
        model.load(tmp_path / "m.pkl")


def test_a_model_of_other_features_is_refused_by_name(fitted, tmp_path):
    other = model.Model(fitted.sides | {"conversation_luck_ratio": "high"}, {}, {}, CHOSEN, 0, 1, Known())
    model.save(replace(other, windows=fitted.windows), tmp_path / "m.pkl")
    with pytest.raises(tables.InputError, match="conversation_luck_ratio"):
        model.load(tmp_path / "m.pkl")


def test_a_model_of_an_earlier_version_is_refused_by_what_it_lacks(fitted, tmp_path):
    older = copy.deepcopy(fitted)
    part = next(iter(older.windows.values()))
    object.__delattr__(part.tail, "limit")
    model.save(older, tmp_path / "m.pkl")
    with pytest.raises(tables.InputError, match="its Tail has no limit"):
        model.load(tmp_path / "m.pkl")


def test_train_model_says_what_a_short_baseline_cannot_do(tmp_path):
    tables.write(tmp_path / "features.csv", tables.FEATURES, feature_table(n_windows=3))
    done = run(tmp_path)
    assert done.returncode == 0
    assert "No model for windows of 10 s: 48 rows in 3 windows; needs 100 in 6." in done.stderr
    assert "only named patterns can be found" in done.stderr


def test_train_model_refuses_features_without_rows_and_keeps_the_old_model(tmp_path):
    tables.write(tmp_path / "features.csv", tables.FEATURES, tables.empty(tables.FEATURES))
    (tmp_path / "m.pkl").write_bytes(b"old")
    done = run(tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"train_model.py: features.csv: has no rows: .*\n", done.stderr)
    assert (tmp_path / "m.pkl").read_bytes() == b"old"


def run(folder):
    command = [sys.executable, ROOT / "train_model.py", "--input", "features.csv", "--output", "m.pkl"]
    command += ["--params", ROOT / "params.yaml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


# ---------------------------------------------------------------- dirty baselines


def flooded(table, rows, window=30):
    """The table with one host's burst of rows in one window, each to another destination, all features far out."""
    start = np.unique(table["window_start"])[window]
    some = table[(table["window_start"] == start) & (table["source"] == "10.0.0.1")].iloc[[0] * rows].copy()
    some["destination"] = pd.Categorical([f"10.9.{i // 250}.{i % 250}" for i in range(rows)])
    some[CONVERSATION] *= 1000
    return tables.concat([table, some]).sort_values("window_start", kind="stable", ignore_index=True)


def test_one_source_and_one_destination_give_at_most_so_many_rows_of_a_window_and_kind():
    table = flooded(feature_table(), 500)
    kept = sample.of_stories(table, 10, seed=1)
    per_story = table[kept].groupby(["window_start", "kind", "source"], observed=True).size()
    assert per_story.max() == 10
    burst = table["destination"].astype(str).str.startswith("10.9.")
    assert kept[~burst.to_numpy()].sum() >= (~burst).sum() - 1
    mirrored = table.rename(columns={"source": "destination", "destination": "source"})
    assert mirrored[sample.of_stories(mirrored, 10, seed=1)].groupby(
        ["window_start", "kind", "destination"], observed=True
    ).size().max() == 10  # fmt: skip


def test_a_burst_of_rows_in_the_baseline_does_not_become_usual():
    table = feature_table()
    probe = flooded(table, 1)[lambda t: t["destination"].astype(str).str.startswith("10.9.")]
    few, capped, all_of_it = (
        model.Model.fit(flooded(table, rows), replace(CHOSEN, story_rows=most), jobs=1).judge(probe)["score"].item()
        for rows, most in ((10, 10), (800, 10), (800, 1000))
    )
    assert capped > all_of_it
    assert abs(capped - few) < abs(all_of_it - few)


def test_a_baseline_that_changes_warns_and_a_steady_one_does_not(fitted):
    assert fitted.warning() is None
    assert fitted.card()["warning"] is None
    table = feature_table()
    late = table["window_start"] >= np.unique(table["window_start"])[45]
    odd = late & (np.arange(len(table)) % 40 == 0)
    table.loc[odd, NAMES[:20]] *= 30
    changed = model.Model.fit(table, CHOSEN, jobs=1)
    assert "held-out parts of the baseline stray" in changed.warning()
    assert changed.card()["warning"] == changed.warning()
