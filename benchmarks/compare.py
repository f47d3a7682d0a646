"""Other models than the range-extended forest: the same rows, the same distances, the same calibration.

    python -m benchmarks.compare BASELINE CAPTURE LABELS [--seeds 3] [--only NAME …]

Every model scores rows by their distances from the usual (netnormal.model.baseline), is calibrated on held-out rows of
the baseline as our own is, and gets its threshold from the same alert budget. Packets have the score of their most
unusual row, compared by tail probability. No named patterns. Figures are means over the seeds where a model has any.

- `forest`: ours. `forest, plain`: without range extension. `forest, 4 groups`: one forest for each group of features
  (the conversation's own, its source's, its destination's, novelty), joined by the smallest calibrated tail
  probability, times their number (Bonferroni).
- `extended forest`: splits by random planes (Hariri, Carrasco Kind and Brunner 2019). `forest, range penalty`: a split
  beyond which nothing was learnt adds nothing to the path (as isotree's `penalize_range` does).
- `kNN`, `HBOS`, `ECOD`, `COPOD`: PyOD's, with its defaults. `forest and kNN`: joined as the groups are.
- `distance alone`: no model; the length of the vector of distances.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.knn import KNN

from benchmarks import detection as benchmark
from netnormal import evaluation, features, flows, settings, tables
from netnormal.model import forest as forests
from netnormal.model import sample
from netnormal.model.baseline import Baseline
from netnormal.model.calibration import Tail, score_of
from netnormal.settings import TrainModel

Score = Callable[[np.ndarray], np.ndarray]  # distances (n, features) → float[n], higher = more unusual
Fit = Callable[[np.ndarray, TrainModel], Score]
Way = Callable[[pd.DataFrame, pd.DataFrame, TrainModel], np.ndarray]  # baseline, rows to judge → tail probability
Describe = Callable[[list[features.Window]], pd.DataFrame]
SECOND = 1_000_000_000
GROUPS = ("conversation_", "source_", "destination_", "novelty_")


# ---------------------------------------------------------------- models


def forest(rows: np.ndarray, chosen: TrainModel) -> Score:
    return forests.Trees.of(forests.fit(rows, chosen, 2)).scores


def plain_forest(rows: np.ndarray, chosen: TrainModel) -> Score:
    return forest(rows, replace(chosen, range_extension_share=0.0))


class Planes:
    """Extended Isolation Forest: each node splits by a plane through a random point of its box, in a random direction.

    With `axes` splits are by one column, and a row outside the range that the node learnt from ends its path there:
    it is isolated already.
    """

    def __init__(self, rows: np.ndarray, chosen: TrainModel, axes: bool = False) -> None:
        self.random, self.axes = np.random.default_rng(chosen.seed), axes
        size = min(chosen.rows_per_tree, len(rows))
        self.deepest = int(np.ceil(np.log2(size)))
        self.scale = float(forests.expected_depth(np.array(size)))
        rows = rows.astype(np.float64)
        self.trees = [
            self._grow(rows[self.random.choice(len(rows), size, replace=False)], 0) for _ in range(chosen.trees)
        ]

    def _grow(self, rows: np.ndarray, depth: int) -> tuple:
        low, high = rows.min(axis=0, initial=np.inf), rows.max(axis=0, initial=-np.inf)
        wide = np.flatnonzero(high > low)
        if depth >= self.deepest or len(rows) < 2 or not wide.size:
            return (depth + float(forests.expected_depth(np.array(len(rows)))),)
        normal = np.zeros(rows.shape[1])
        if self.axes:
            normal[self.random.choice(wide)] = 1.0
        else:
            normal[wide] = self.random.normal(size=wide.size)
        offset = float(normal @ self.random.uniform(low, high))
        left = rows @ normal <= offset
        span = (float((rows @ normal).min()), float((rows @ normal).max()))
        return normal, offset, span, depth, self._grow(rows[left], depth + 1), self._grow(rows[~left], depth + 1)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        total = np.zeros(len(rows))
        rows = rows.astype(np.float64)
        for tree in self.trees:
            waiting = [(tree, np.arange(len(rows)))]
            while waiting:
                node, at = waiting.pop()
                if len(node) == 1:
                    total[at] += node[0]
                    continue
                normal, offset, (low, high), depth, left, right = node
                value = rows[at] @ normal
                if self.axes:
                    outside = (value < low) | (value > high)
                    total[at[outside]] += depth
                    at, value = at[~outside], value[~outside]
                for child, part in ((left, at[value <= offset]), (right, at[value > offset])):
                    if part.size:
                        waiting.append((child, part))
        return np.exp2(-total / len(self.trees) / self.scale)


def distance(rows: np.ndarray, chosen: TrainModel) -> Score:
    """Nothing is learnt from the rows: how far is one from what is usual, over all features (Euclid)?"""
    return lambda new: np.sqrt(np.square(new.astype(np.float64)).sum(axis=1))


def of_pyod(make: Callable[[], object]) -> Fit:
    def fit(rows: np.ndarray, chosen: TrainModel) -> Score:
        made = make().fit(rows.astype(np.float64))  # type: ignore[attr-defined]
        return lambda new: made.decision_function(new.astype(np.float64))

    return fit


MODELS: dict[str, Fit] = {
    "forest": forest,
    "forest, plain": plain_forest,
    "forest, range penalty": lambda rows, chosen: Planes(rows, chosen, axes=True),
    "extended forest": Planes,
    "distance alone": distance,
    "kNN": of_pyod(KNN),
    "HBOS": of_pyod(HBOS),
    "ECOD": of_pyod(ECOD),
    "COPOD": of_pyod(COPOD),
}
SEEDED = ("forest", "forest, plain", "forest, 4 groups", "forest and kNN", "forest, range penalty", "extended forest")


# ---------------------------------------------------------------- one window length


def learnt(table: pd.DataFrame, chosen: TrainModel, sides: dict[str, str]) -> tuple[Baseline, np.ndarray]:
    """What is usual, and the distances of the rows to learn from, as Model._learn has them."""
    kept = sample.of_stories(table, chosen.story_rows, chosen.seed)
    baseline = Baseline.fit(table, kept, sides, chosen.shrinkage_rows, chosen.spread_floor)
    return baseline, baseline.distances(table[kept], own=True)


def unit_maxima(table: pd.DataFrame, scores: np.ndarray) -> np.ndarray:
    return pd.Series(scores).groupby([table["window_start"].to_numpy(), table["source"].astype(str).to_numpy()]).max()


@dataclass(frozen=True)
class Of:
    """A way to judge rows: a model of some columns of their distances, calibrated as netnormal.model does.

    Called with a table of one window length to learn from and one to judge; returns the tail probability of each row
    of the latter. `keep` says by its name which distance to use, `sides` which features there are.
    """

    fit: Fit
    prefix: str = ""  # of the features that it sees
    sides: dict[str, str] = field(default_factory=lambda: {c.name: c.side for c in tables.FEATURE_COLUMNS})

    def __call__(self, table: pd.DataFrame, judged: pd.DataFrame, chosen: TrainModel) -> np.ndarray:
        at = np.searchsorted(np.unique(table["window_start"]), table["window_start"].to_numpy())
        shares = np.linspace(1 - chosen.calibration_share, 1, chosen.calibration_folds + 1)
        edges = np.round(shares * (at.max() + 1)).astype(int)
        held = []
        for first, last in itertools.pairwise(edges):
            later = table[(first <= at) & (at < last)]
            held.append(unit_maxima(later, self._scores(table[at < first], later, chosen)))
        shape = chosen.tail_share, chosen.tail_power, chosen.tail_confidence
        tail = Tail.fit(np.concatenate(held), *shape, chosen.stray_probability)
        return tail.probability(self._scores(table, judged, chosen))

    def _scores(self, table: pd.DataFrame, judged: pd.DataFrame, chosen: TrainModel) -> np.ndarray:
        baseline, rows = learnt(table, chosen, self.sides)
        columns = np.array([name.startswith(self.prefix) for name in baseline.names])
        return self.fit(rows[:, columns], chosen)(baseline.distances(judged)[:, columns])


@dataclass(frozen=True)
class Joined:
    """The smallest tail probability of several ways, times their number (Bonferroni)."""

    ways: tuple[Of, ...]

    def __call__(self, table: pd.DataFrame, judged: pd.DataFrame, chosen: TrainModel) -> np.ndarray:
        found = [way(table, judged, chosen) for way in self.ways]
        return np.minimum(np.min(found, axis=0) * len(self.ways), 1.0)


WAYS: dict[str, Way] = {name: Of(fit) for name, fit in MODELS.items()}
WAYS["forest, 4 groups"] = Joined(tuple(Of(forest, prefix=prefix) for prefix in GROUPS))
WAYS["forest and kNN"] = Joined((Of(forest), Of(MODELS["kNN"])))


# ---------------------------------------------------------------- a capture


def windows_of(
    packets: pd.DataFrame,
    chosen: settings.ExtractFeatures,
    describe: Describe = features.features_of,
    slid: bool = False,
) -> tuple[list[features.Window], pd.DataFrame]:
    """The windows of a capture, and their rows. With `slid` also windows that begin half a length later."""
    cuts = [(0, chosen)]
    if slid:
        cuts += [(length * SECOND // 2, replace(chosen, windows_s=(length,))) for length in chosen.windows_s]
    windows, rows = [], []
    for shift, one in cuts:
        windower = features.Windower(one)
        windows += (mine := windower.push(packets.assign(time=packets["time"] + shift)) + windower.flush())
        part = describe(mine)
        rows.append(part.assign(window_start=part["window_start"] - shift))
    return windows, tables.concat(rows)


class Judged:
    """A labelled capture: its rows, which packets are in which, and what may be counted as found."""

    def __init__(
        self,
        packets: pd.DataFrame,
        known: evaluation.Truth,
        chosen: settings.Settings,
        describe: Describe = features.features_of,
        slid: bool = False,
    ) -> None:
        windows, self.rows = windows_of(packets, chosen.extract_features, describe, slid)
        self.packets, self.known = packets, known
        self.places: list[tuple[np.ndarray, np.ndarray]] = []  # for each window: packets, and their rows
        base = 0
        for window in windows:
            flow_table, flow_of_packet = flows.flows(window.packets)
            keys, row_of_flow = flows.conversations(flow_table)
            at = np.searchsorted(packets["packet"], window.packets["packet"])
            self.places.append((at, base + row_of_flow[flow_of_packet]))
            base += len(keys)
        assert base == len(self.rows)
        start = self.rows["window_start"].to_numpy()
        end = start + self.rows["window_s"].to_numpy() * SECOND
        time = packets["time"].to_numpy()
        ends = [self.rows[name].astype(str).to_numpy() for name in ("source", "destination")]
        self.of, beside = [], np.zeros(len(self.rows), bool)
        for attack in range(len(known.names)):
            mine = known.attack == attack
            hosts = list(evaluation.hosts_of(packets, known, attack))
            overlap = (start <= time[mine].max()) & (end > time[mine].min())
            one, other = (np.isin(name, hosts) for name in ends)
            self.of.append(overlap & one & other)
            beside |= overlap & (one | other)
        self.benign = ~beside

    def figures(self, probability: np.ndarray, anomaly: np.ndarray, rate: float) -> dict[str, float]:
        score = np.zeros(len(self.packets))
        by_row = score_of(probability)
        for numbers, rows in self.places:
            score[numbers] = np.maximum(score[numbers], by_row[rows])
        figures, _ = evaluation.packet_figures(score, self.known, rate)
        units = self.rows.loc[anomaly & self.benign, ["window_s", "window_start", "source"]].drop_duplicates()
        found = sum(bool((anomaly & mine).any()) for mine in self.of)
        return figures | {"found": float(found), "false": float(len(units))}


def compared(
    baseline: pd.DataFrame, captures: list[Judged], way: Way, chosen: settings.Settings
) -> list[dict[str, float]]:
    """The figures of one model for each capture, over all window lengths that the baseline has enough of."""
    train = chosen.train_model
    rows = tables.concat([capture.rows for capture in captures])
    probability, limit = np.ones(len(rows)), np.zeros(len(rows))
    lengths = rows["window_s"].to_numpy()
    parts = {
        window_s: part
        for window_s, part in baseline.groupby("window_s")
        if len(part) >= train.minimum_rows and part["window_start"].nunique() >= train.minimum_windows
    }
    for window_s, table in parts.items():
        at = np.flatnonzero(lengths == window_s)
        if not at.size:
            continue
        probability[at] = way(table, rows.iloc[at], train)
        units = table.groupby(["window_start", "source"], observed=True).ngroups / table["window_start"].nunique()
        limit[at] = train.alert_budget_per_day / len(parts) / (units * 86_400 / window_s)
    cuts = np.cumsum([len(capture.rows) for capture in captures])[:-1]
    anomaly = probability <= limit
    found = zip(captures, np.split(probability, cuts), np.split(anomaly, cuts), strict=True)
    return [capture.figures(*mine, chosen.evaluate.false_positive_rate) for capture, *mine in found]


def main() -> None:
    names = list(WAYS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("baseline", "capture", "labels"):
        parser.add_argument(name)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    baseline = benchmark.feature_table(benchmark.packets_of(args.baseline), chosen)
    judged = Judged(*benchmark.labelled(args.capture, args.labels, chosen), chosen)
    print(f"| model | ROC AUC | mean AUC | recall | mean recall | found of {len(judged.of)} | false |")
    print("|---|---|---|---|---|---|---|")
    for name in args.only:
        seeds = range(1, (args.seeds if name in SEEDED else 1) + 1)
        trained = [replace(chosen, train_model=replace(chosen.train_model, seed=seed)) for seed in seeds]
        runs = [figures for each in trained for figures in compared(baseline, [judged], WAYS[name], each)]
        table = pd.DataFrame(runs)
        cells = [benchmark.interval(table[key].tolist()) for key in benchmark.FIGURES]
        cells += [benchmark.interval(table[key].tolist(), ".1f") for key in ("found", "false")]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
