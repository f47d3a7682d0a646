"""The model: per window length a baseline, a forest, a calibrated tail and a threshold."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest

from netnormal import tables
from netnormal.explanation import Attribution
from netnormal.known import Known
from netnormal.model import forest as forests
from netnormal.model import sample
from netnormal.model.baseline import NOVELTIES, Baseline, scaled, unscaled
from netnormal.model.calibration import Tail, mean_excess, score_of
from netnormal.settings import TrainModel

_DAY_S = 86_400
MOST_STRAYS = 20  # that the card names
_SELDOM = 0.5  # from this novelty on a combination is a reason: seen in less than the square root of all windows
_USUAL_SPREADS = 2  # the range that reasons call usual: about 95 % where the data are normal


@dataclass
class WindowModel:
    """What was learnt for one window length."""

    baseline: Baseline
    forest: IsolationForest
    tail: Tail
    threshold: float  # tail probability at or under which a row is an anomaly
    rows: int
    calibration_rows: int
    units_per_day: float
    heavier: float  # mean excess of the held-out tail over that of the rows learnt from
    strays: list[tuple[int, str]]  # window (ns) and source of held-out scores beyond the tail's limit, worst first
    benign_units: int = 0  # sources and windows of incidents found benign, among the tail's

    def __post_init__(self) -> None:
        self.trees = forests.Trees.of(self.forest)

    def __getstate__(self) -> dict[str, Any]:  # the trees are in the forest already
        return {name: value for name, value in self.__dict__.items() if name != "trees"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self.trees = forests.Trees.of(self.forest)


@dataclass
class Model:
    """Scores rows of tables.FEATURES against a baseline."""

    sides: dict[str, str]  # feature → high or both
    windows: dict[int, WindowModel]
    left_out: dict[int, str]  # window length → why it has no model
    settings: TrainModel
    start: int
    end: int
    known: Known

    # ------------------------------------------------------------ learning

    @classmethod
    def fit(cls, table: pd.DataFrame, chosen: TrainModel, jobs: int, benign: pd.DataFrame | None = None) -> Model:
        """Learn from a table of tables.FEATURES, not empty; its time order decides what is held out for calibration.

        benign : rows of tables.FEATURES that a person found harmless (`feedback.benign_rows`): they join the held-out
        ones that scores are calibrated by, and nothing else.

        A window length with too few rows is left out, be it all of them: then every row scores 0.
        """
        sides: dict[str, str] = {column.name: column.side for column in tables.FEATURE_COLUMNS}
        span = int(table["first_packet"].min()), int(table["last_packet"].max())
        made = cls(sides, {}, {}, chosen, *span, Known.fit(table))
        lengths = np.unique(table["window_s"]).tolist()
        for window_s in lengths:
            rows = table[table["window_s"] == window_s]
            spans = rows["window_start"].nunique()
            if len(rows) < chosen.minimum_rows or spans < chosen.minimum_windows:
                made.left_out[window_s] = (
                    f"{len(rows):,} rows in {spans} windows; needs {chosen.minimum_rows:,} in {chosen.minimum_windows}"
                )
        usable = [length for length in lengths if length not in made.left_out]
        for window_s in usable:
            rows = table[table["window_s"] == window_s]
            found = tables.empty(tables.FEATURES) if benign is None else benign[benign["window_s"] == window_s]
            made.windows[window_s] = made._fit_window(rows, found, window_s, len(usable), jobs)
        return made

    def _fit_window(
        self, table: pd.DataFrame, benign: pd.DataFrame, window_s: int, n_lengths: int, jobs: int
    ) -> WindowModel:
        starts = np.unique(table["window_start"])
        held_out: list[pd.DataFrame] = []
        n_held_rows = 0
        # Each fold is judged by what came before it, as new traffic will be.
        shares = np.linspace(1 - self.settings.calibration_share, 1, self.settings.calibration_folds + 1)
        edges = np.unique(np.maximum(np.round(shares * starts.size).astype(int), 1))
        for first, last in itertools.pairwise(edges):
            at = np.searchsorted(starts, table["window_start"].to_numpy())
            earlier, later = table[at < first], table[(first <= at) & (at < last)]
            baseline, forest = self._learn(earlier, jobs)
            scores = forests.Trees.of(forest).scores(baseline.distances(later))
            held_out.append(_units(later, scores))
            n_held_rows += len(later)
        held = pd.concat(held_out, ignore_index=True)
        calibration = held["score"].to_numpy()
        baseline, forest = self._learn(table, jobs)
        share = self.settings.tail_share
        shape = self.settings.tail_power, self.settings.tail_confidence
        tail = Tail.fit(calibration, share, *shape, self.settings.stray_probability)
        learnt = forests.Trees.of(forest).scores(baseline.distances(table, own=True))
        heavier = mean_excess(calibration, share) / mean_excess(_units(table, learnt)["score"].to_numpy(), share)
        strays = held[calibration > tail.limit].sort_values("score", ascending=False, kind="stable")
        units_per_day = (
            table.groupby(["window_start", "source"], observed=True).ngroups / starts.size * _DAY_S / window_s
        )
        threshold = min(self.settings.alert_budget_per_day / n_lengths / units_per_day, 1.0)
        n_benign = 0
        if len(benign):
            told = _units(benign, forests.Trees.of(forest).scores(baseline.distances(benign)))["score"].to_numpy()
            usual = np.concatenate([calibration[calibration <= tail.limit], told])  # a person's word: none strays
            tail, n_benign = Tail.fit(usual, share, *shape, 0.0), len(told)
        return WindowModel(
            baseline,
            forest,
            tail,
            threshold,
            len(table),
            n_held_rows,
            units_per_day,
            heavier,
            list(zip(strays["window_start"].tolist(), strays["source"].astype(str), strict=True)),
            n_benign,
        )

    def _learn(self, table: pd.DataFrame, jobs: int) -> tuple[Baseline, IsolationForest]:
        chosen = self.settings
        kept = sample.of_stories(table, chosen.story_rows, chosen.seed)
        baseline = Baseline.fit(table, kept, self.sides, chosen.shrinkage_rows, chosen.spread_floor)
        rows = baseline.distances(table[kept], own=True)
        return baseline, forests.fit(rows, chosen, jobs)

    # ------------------------------------------------------------ judging

    def judge(self, table: pd.DataFrame) -> pd.DataFrame:
        """Score rows of one or several window lengths: columns score, tail_probability, anomaly, in the rows' order.

        Rows of a length without a model get the score 0 and the tail probability 1.
        Raises tables.InputError if a feature the model was trained on is missing.
        """
        probability = np.ones(len(table))
        anomaly = np.zeros(len(table), np.int64)
        lengths = table["window_s"].to_numpy()
        for window_s, part in self.windows.items():
            chosen = np.flatnonzero(lengths == window_s)
            if chosen.size:
                rows = part.baseline.distances(table.iloc[chosen])
                probability[chosen] = part.tail.probability(part.trees.scores(rows))
                anomaly[chosen] = probability[chosen] <= part.threshold
        return pd.DataFrame(
            {"score": score_of(probability), "tail_probability": probability, "anomaly": anomaly}, index=table.index
        )

    def attribution(self, table: pd.DataFrame) -> Attribution | None:
        """What made rows of one window length unusual; None without rows, or without a model for that length."""
        part = self.windows.get(int(table["window_s"].iloc[0])) if len(table) else None
        return None if part is None else _attribution(part, table)

    def known_before(self, first: int, last: int) -> Known | None:
        """What the baseline had seen, for judging packets from `first` to `last` [ns]; None if the baseline holds all
        of them: nothing would be new."""
        return None if self.start <= first and last <= self.end else self.known

    @property
    def least_anomalous_score(self) -> float:
        """The lowest score that can make a row an anomaly; without forests, that of a tail of 1 in 10,000."""
        return float(score_of(np.array([part.threshold for part in self.windows.values()] or [1e-4])).min())

    # ------------------------------------------------------------ telling

    def card(self) -> dict[str, Any]:
        """What a person should know about the model, as plain values for model_card.json."""
        span_s = (self.end - self.start) / 1e9
        return {
            "baseline": {
                "start": tables.iso(self.start),
                "end": tables.iso(self.end),
                "span_s": round(span_s, 3),
            },
            "settings": asdict(self.settings),
            "features": list(self.sides),
            "novelties": list(NOVELTIES),
            "windows": {
                str(window_s): {
                    "rows": part.rows,
                    "windows": part.baseline.windows,
                    "calibration_rows": part.calibration_rows,
                    "calibration_units": part.tail.count,
                    "calibration_units_found_benign": part.benign_units,
                    "tail_start_score": part.tail.start,
                    "tail_mean_excess": part.tail.mean_excess,
                    "tail_heavier_than_learnt": round(part.heavier, 3),
                    "strays": [{"window_start": tables.iso(t), "source": who} for t, who in part.strays[:MOST_STRAYS]],
                    "strays_count": len(part.strays),
                    "units_per_day": round(part.units_per_day, 1),
                    "threshold_tail_probability": part.threshold,
                    "threshold_forest_score": part.tail.quantile(part.threshold),
                }
                for window_s, part in self.windows.items()
            },
            "left_out": {str(window_s): why for window_s, why in self.left_out.items()},
            "promise": self.promise(),
            "warning": self.warning(),
        }

    def warning(self) -> str | None:
        """That there may be attacks in the baseline: its held-out part strays further than what was learnt from all of
        it, or somebody in it strays so far that it was not taken for usual."""
        said = []
        most = max((part.heavier for part in self.windows.values()), default=0.0)
        if most > self.settings.heavier_tail_ratio:
            said.append(
                f"held-out parts of the baseline stray {most:.1f} times as far as the whole does: the network changed "
                "meanwhile, or there are attacks in it; scores are less sure"
            )
        strays = [stray for part in self.windows.values() for stray in part.strays]
        if len(strays) > 1:  # one can be chance
            when, who = strays[0]
            said.append(
                f"{len(strays)} times somebody strayed so far in the baseline that the threshold leaves it out, first "
                f"of all {who} at {tables.iso(when)[:19]}Z: was that an attack? Then learn from other traffic"
            )
        return "; ".join(said) or None

    def promise(self) -> str:
        """What the alert budget is worth with this much baseline.

        Nothing seen in a held-out time T bounds a rate at 3/T with 95 % confidence (the rule of three, Hanley and
        Lippman-Hand 1983), however the tail is extrapolated.
        """
        if not self.windows:
            return "the baseline is too short to learn from: only named patterns can be found"
        held_out_s = max(
            (part.tail.count - part.benign_units) / part.units_per_day * _DAY_S for part in self.windows.values()
        )
        provable = 3 * _DAY_S / held_out_s
        budget = self.settings.alert_budget_per_day
        if provable <= budget:
            hours = held_out_s / 3600
            return f"{hours:,.1f} h of held-out baseline support the budget of {budget:g} false incidents a day"
        return (
            f"{held_out_s / 60:,.0f} minutes of held-out baseline cannot promise fewer than {provable:,.0f} false "
            f"incidents a day; the budget of {budget:g} a day rests on extrapolating their tail"
        )


def _units(table: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """The highest score per source and window: rows of one source at one time are one story, and one false alarm.

    Columns window_start, source (text), score.
    """
    rows = pd.DataFrame({name: table[name].to_numpy() for name in ("window_start", "source")}).assign(score=scores)
    return rows.groupby(["window_start", "source"], observed=True)["score"].max().reset_index()


def _attribution(part: WindowModel, table: pd.DataFrame) -> Attribution:
    rows = part.baseline.distances(table)
    names = part.baseline.names
    value, low, high, spreads = (np.zeros(rows.shape) for _ in range(4))
    outside = rows > np.log1p(_USUAL_SPREADS)
    at = 0
    for usual in part.baseline.usual:
        group = usual.group_of(table)
        mine = scaled(table, usual.names)
        width = _USUAL_SPREADS * usual.spread[group]
        for column, name in enumerate(usual.names):
            middle, reach, seen = usual.centre[group, column], width[:, column], mine[:, column]
            value[:, at] = unscaled(name, np.nan_to_num(seen))
            high[:, at] = unscaled(name, middle + reach)
            low[:, at] = unscaled(name, middle - reach) if part.baseline.both[name] else 0.0
            spreads[:, at] = np.nan_to_num(np.abs(seen - middle) / usual.spread[group, column])
            at += 1
    windows = part.baseline.windows
    for column in range(at, len(names)):  # novelties
        value[:, column] = np.expm1((1 - rows[:, column].astype(np.float64)) * np.log1p(windows)) / windows
        outside[:, column] = rows[:, column] >= _SELDOM
    return Attribution(tuple(names), part.trees.contributions(rows), value, low, high, spreads, outside)
