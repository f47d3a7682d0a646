"""What can this network's baseline see, and what can it not? Attacks of every strength, put into benign traffic.

    python -m benchmarks.inject BASELINE BENIGN [--labels LABELS] [--seeds 3] [--plot detectability.png]
    python -m benchmarks.inject BASELINE BENIGN --write mixed.pcap --attack beacon --strength 0.3

A model learns from BASELINE, of which it judges BENIGN, a later capture of the same network, once for each attack and
strength, with that attack in it. With --labels the labelled attacks are taken out of BENIGN first. Harmless things that
look a little like attacks are put in as well: they must not become incidents. Each seed has another forest and lets
other hosts of the network play. Prints the table that --plot draws; --write keeps one such capture, with its labels
beside it, for the programs themselves to judge.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import detection as benchmark
from benchmarks import frames_made, injections
from netnormal import detection, evaluation, frames, model, settings, tables

NAME = "injected"
COLUMNS = ("kind", "unit", "strength", "named", "found", "row", "patterns", "after_s")
COLOURS = {"incident with its name": "#0072B2", "incident, unusual": "#E69F00", "the forest alone: a row": "#999999"}


@dataclass(frozen=True)
class Ground:
    """Benign packets to put attacks into, and what is known of their network."""

    packets: pd.DataFrame  # tables.PACKETS, in order of time
    rows: pd.DataFrame  # tables.FEATURES of the baseline
    baseline: pd.DataFrame  # its packets

    def scene(self, seed: int) -> injections.Scene:
        """Other hosts for each seed. From a tenth of the time on: what comes first has no past."""
        time = self.packets["time"]
        begin, end = int(time.min()), int(time.max())
        random = np.random.default_rng(seed)
        return injections.scene(self.baseline, self.rows, begin + (end - begin) // 10, end, random)


def mixed(packets: pd.DataFrame, added: pd.DataFrame) -> tuple[pd.DataFrame, evaluation.Truth]:
    """Both in order of time, numbered anew; and which of them are `added`."""
    whole = tables.concat([packets.assign(own=False), added.assign(own=True)])
    whole = whole.sort_values("time", kind="stable", ignore_index=True)
    is_added = whole.pop("own").to_numpy(bool)
    known = evaluation.Truth((NAME,), np.where(is_added, 0, -1).astype(np.int32), np.ones(len(whole), bool))
    return whole.assign(packet=np.arange(1, len(whole) + 1)), known


def judged(
    made: model.Model, chosen: settings.Settings, packets: pd.DataFrame, known: evaluation.Truth
) -> dict[str, object]:
    """named: an incident with a pattern's name has its packets; found: any incident has; row: a row between its hosts
    is anomalous. patterns, after_s: see evaluation.attack_events."""
    run = detection.Detection(made, chosen)
    told = [run.push(packets), run.flush()]
    anomalies = pd.concat([tables.empty(tables.ANOMALIES), *(part for one in told for part in one.anomalies)])
    found = run.finish({})
    events = evaluation.attack_events(
        known,
        packets,
        found.labelled_packets["incident_id"],
        found.incidents,
        anomalies,
        chosen.extract_features.windows_s[0],
    )
    event = events.iloc[0]
    return {
        "named": bool(event["by_pattern"]),
        "found": bool(event["found"]),
        "row": bool(event["by_forest"]),
        "patterns": event["patterns"],
        "after_s": event["time_to_detect_s"],
    }


def trials(
    ground: Ground, chosen: settings.Settings, seeds: int, attacks: dict, controls: dict[str, injections.Make]
) -> pd.DataFrame:
    """A row for each attack, strength and seed, and for each control and seed (strength NaN): COLUMNS."""
    wanted = [(kind, unit, s, make) for kind, (unit, strengths, make) in attacks.items() for s in strengths]
    wanted += [(kind, "", float("nan"), make) for kind, make in controls.items()]
    rows = []
    for seed in range(1, seeds + 1):
        made = model.Model.fit(ground.rows, replace(chosen.train_model, seed=seed), jobs=2)
        scene = ground.scene(seed)
        for kind, unit, strength, make in wanted:
            added = frames_made.table(make(scene, np.random.default_rng(seed), strength))
            result = judged(made, chosen, *mixed(ground.packets, added[added["time"] <= scene.end]))
            rows.append({"kind": kind, "unit": unit, "strength": strength, "packets": len(added)} | result)
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per kind and strength: the shares of the seeds, all patterns, the median time."""
    by = rows.groupby(["kind", "unit", "strength"], sort=False, dropna=False)
    one = by[["named", "found", "row", "packets"]].mean()
    one["patterns"] = by["patterns"].agg(lambda texts: " ".join(dict.fromkeys(" ".join(texts).split())))
    one["after_s"] = by["after_s"].median()
    return one.reset_index()


def show(table: pd.DataFrame, seeds: int) -> None:
    print("| put in | strength | packets | named | found | row over the threshold | as | after [s] |")
    print("|---|---|---|---|---|---|---|---|")
    for row in table.itertuples():
        strength = "harmless" if np.isnan(row.strength) else f"{row.strength:g} {row.unit}"
        counts = " | ".join(f"{round(share * seeds)}/{seeds}" for share in (row.named, row.found, row.row))
        after = "–" if np.isnan(row.after_s) else f"{row.after_s:.1f}"
        print(f"| {row.kind} | {strength} | {row.packets:,.0f} | {counts} | {row.patterns or '–'} | {after} |")


def plot(table: pd.DataFrame, path: str) -> None:
    """A panel for each attack: how often it was found at each strength, as what, and after how long (s, the median);
    beside each bar how often the forest alone found it. The last panel: what is harmless."""
    attacks = table[table["strength"].notna()]
    kinds = list(dict.fromkeys(attacks["kind"]))
    controls = table[table["strength"].isna()]
    figure = Figure(figsize=(8.6, 1.4 * (len(kinds) + 1) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(kinds) + 1, 1)
    parts = [(kind, attacks[attacks["kind"] == kind]) for kind in kinds] + [("harmless: must stay empty", controls)]
    for axes, (kind, part) in zip(panels, parts, strict=True):
        place = np.arange(len(part))
        named, found, row = (part[name].to_numpy(float) for name in ("named", "found", "row"))
        bars = (-0.2, named, 0), (-0.2, found - named, named), (0.2, row, 0)
        for (words, colour), (shift, height, bottom) in zip(COLOURS.items(), bars, strict=True):
            axes.bar(place + shift, height, 0.36, bottom=bottom, color=colour, label=words)
        for x, share, after in zip(place, found, part["after_s"], strict=True):
            if share and not np.isnan(after):
                axes.annotate(
                    f"{after:.0f} s", (x - 0.2, share), (0, 2), textcoords="offset points", ha="center", fontsize=8
                )
        unit = part["unit"].iloc[0] if len(part) else ""
        words = part["kind"] if not unit else [f"{s:g}" for s in part["strength"]]
        axes.set_xticks(place, list(words))
        axes.set(ylim=(0, 1.25), xlim=(-0.6, len(part) - 0.4), yticks=(0, 1), yticklabels=("never", "always"))
        axes.set_title(f"{kind} [{unit}]" if unit else kind, loc="left", fontsize=10)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def write(path: Path, ground_path: str, added: frames.Frames, benign: np.ndarray) -> None:
    """A pcap of the frames of `ground_path` that are `benign` (bool[n]) and those added, and its labels beside it."""
    parts, at = [], 0
    with frames.open_capture(ground_path) as source:
        for block in source:
            if (block.link_type != 1).any():
                raise SystemExit(f"{ground_path}: is no Ethernet capture, and attacks are made for Ethernet")
            parts.append(block.select(np.flatnonzero(benign[at : at + len(block)])))
            at += len(block)
    parts.append(added)
    base = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("data", "captured", "length", "time", "link_type")
    }
    offset = np.concatenate([part.offset + start for part, start in zip(parts, base, strict=True)])
    whole = frames.Frames(offset=offset, **columns)
    order = np.argsort(whole.time, kind="stable")
    with frames.PcapWriter(path, 1, int(whole.captured.max())) as out:
        out.append(whole.select(order))
    is_added = order >= len(whole) - len(added)
    labels = pd.DataFrame({"packet": np.arange(1, len(order) + 1), "label": np.where(is_added, NAME, "benign")})
    tables.write(path.with_suffix(".labels.csv"), tables.PACKET_LABELS, labels.astype({"label": "category"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("baseline")
    parser.add_argument("benign")
    parser.add_argument("--labels", help="of BENIGN: what is labelled as an attack is left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plot", metavar="PNG")
    parser.add_argument("--write", metavar="PCAP", help="write one capture instead, and its labels beside it")
    parser.add_argument("--attack", choices=[*injections.ATTACKS, *injections.CONTROLS], help="for --write")
    parser.add_argument("--strength", type=float, default=float("nan"), help="for --write")
    args = parser.parse_args()
    chosen = settings.load("params.yaml")
    packets = benchmark.packets_of(args.benign)
    benign = np.ones(len(packets), bool)
    if args.labels:
        benign = benchmark.labelled(args.benign, args.labels, chosen)[1].attack < 0
    before = benchmark.packets_of(args.baseline)
    ground = Ground(packets[benign], benchmark.feature_table(before, chosen), before)
    if args.write:
        make = injections.CONTROLS.get(args.attack) or injections.ATTACKS[args.attack][2]
        made = make(ground.scene(1), np.random.default_rng(1), args.strength)
        write(Path(args.write), args.benign, frames_made.block(made), benign)
        print(f"{args.attack}: {len(made):,} packets → {args.write}")
        return
    table = summary(trials(ground, chosen, args.seeds, injections.ATTACKS, injections.CONTROLS))
    show(table, args.seeds)
    if args.plot:
        plot(table, args.plot)


if __name__ == "__main__":
    main()
