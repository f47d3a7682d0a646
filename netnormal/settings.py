"""`params.yaml` → frozen dataclasses, checked once. The meaning of each value stands beside it in params.yaml."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml


class SettingError(Exception):
    """A value in params.yaml that cannot be used; its text says which, why, and what to write instead."""


def _check(right: bool, name: str, value: object, must: str) -> None:
    if not right:
        raise SettingError(f"{name} is {value!r}: it must be {must}")


@dataclass(frozen=True)
class Capture:
    snaplen: int
    buffer_mb: int
    drop_share: float
    database_rows: int

    def __post_init__(self) -> None:
        _check(64 <= self.snaplen <= 262_144, "snaplen", self.snaplen, "from 64 to 262144 bytes")
        _check(4 <= self.buffer_mb <= 4096, "buffer_mb", self.buffer_mb, "from 4 to 4096")
        _check(0 <= self.drop_share < 1, "drop_share", self.drop_share, "from 0 to less than 1")
        _check(self.database_rows >= 20_000, "database_rows", self.database_rows, "20000 or more")


@dataclass(frozen=True)
class ExtractFeatures:
    windows_s: tuple[int, ...]
    lateness_s: float
    packets_per_window: int

    def __post_init__(self) -> None:
        right = 0 < len(self.windows_s) <= 5 and all(1 <= w <= 86_400 for w in self.windows_s)
        right = right and list(self.windows_s) == sorted(set(self.windows_s))
        _check(right, "windows_s", list(self.windows_s), "one to five different lengths, ascending, from 1 to 86400 s")
        _check(0 <= self.lateness_s <= 60, "lateness_s", self.lateness_s, "from 0 to 60 s")
        _check(self.packets_per_window >= 1000, "packets_per_window", self.packets_per_window, "1000 or more")


@dataclass(frozen=True)
class TrainModel:
    seed: int
    trees: int
    rows_per_tree: int
    range_extension_share: float
    range_extension_reach: float
    story_rows: int
    shrinkage_rows: float
    spread_floor: float
    minimum_rows: int
    minimum_windows: int
    calibration_share: float
    calibration_folds: int
    tail_share: float
    tail_power: float
    tail_confidence: float
    stray_probability: float
    heavier_tail_ratio: float
    alert_budget_per_day: float

    def __post_init__(self) -> None:
        _check(self.seed >= 0, "seed", self.seed, "0 or more")
        _check(10 <= self.trees <= 2000, "trees", self.trees, "from 10 to 2000")
        _check(16 <= self.rows_per_tree <= 65_536, "rows_per_tree", self.rows_per_tree, "from 16 to 65536")
        share, reach = self.range_extension_share, self.range_extension_reach
        _check(0 <= share <= 1, "range_extension_share", share, "from 0 (off) to 1")
        _check(reach >= 1, "range_extension_reach", reach, "1 or more")
        _check(self.story_rows >= 1, "story_rows", self.story_rows, "1 or more")
        _check(self.shrinkage_rows >= 0, "shrinkage_rows", self.shrinkage_rows, "0 or more")
        _check(self.spread_floor > 0, "spread_floor", self.spread_floor, "more than 0")
        _check(self.minimum_rows >= 20, "minimum_rows", self.minimum_rows, "20 or more")
        _check(self.minimum_windows >= 4, "minimum_windows", self.minimum_windows, "4 or more")
        _check(0 < self.calibration_share <= 0.9, "calibration_share", self.calibration_share, "over 0, at most 0.9")
        _check(1 <= self.calibration_folds <= 20, "calibration_folds", self.calibration_folds, "from 1 to 20")
        _check(0 < self.tail_share <= 0.5, "tail_share", self.tail_share, "over 0, at most 0.5")
        _check(1 <= self.tail_power <= 4, "tail_power", self.tail_power, "from 1 to 4")
        _check(0.5 <= self.tail_confidence < 1, "tail_confidence", self.tail_confidence, "from 0.5 to under 1")
        _check(0 <= self.stray_probability < 1, "stray_probability", self.stray_probability, "from 0 (off) to under 1")
        _check(self.heavier_tail_ratio >= 1, "heavier_tail_ratio", self.heavier_tail_ratio, "1 or more")
        _check(self.alert_budget_per_day > 0, "alert_budget_per_day", self.alert_budget_per_day, "more than 0")


@dataclass(frozen=True)
class Patterns:
    scan_success_benign: float
    scan_success_scanner: float
    scan_detection: float
    scan_false_alarm: float
    scan_ports: int
    scan_hosts: int
    scan_memory_s: int
    stealth_ports: int
    route_trace_ttl: int
    syn_flood_per_s: int
    syn_flood_count: int
    udp_flood_per_s: int
    udp_flood_flows: int
    udp_stream_ports: tuple[int, ...]
    icmp_flood_per_s: int
    flood_least_s: int
    spoofed_share: float
    arp_unasked_replies: int
    arp_reply_wait_s: int
    router_silence_s: int
    slow_http_connections: int
    slow_http_least_s: int
    icmp_tunnel_bytes: int
    dns_tunnel_bytes: int
    dns_memory_s: int
    dga_domains: int
    guess_connections: int
    guess_span_s: int
    guess_connections_new: int
    guess_span_new_s: int
    guess_ports: tuple[int, ...]
    web_guesses: int
    web_guesses_per_s: int
    web_guesses_new: int
    web_factor: float
    web_flood_per_s: int
    web_flood_least_s: int
    web_ports: tuple[int, ...]
    beacon_window_s: int
    beacon_memory_s: int
    beacon_calls: int
    beacon_score: float
    beacon_chance: float
    beacon_usual_ports: tuple[int, ...]
    upload_bytes: int
    upload_factor: float
    upload_quantile: float

    def __post_init__(self) -> None:
        for name in ("scan_success_benign", "scan_success_scanner", "scan_detection", "scan_false_alarm"):
            _check(0 < getattr(self, name) < 1, name, getattr(self, name), "between 0 and 1")
        for low, high in (("scan_success_scanner", "scan_success_benign"), ("scan_false_alarm", "scan_detection")):
            _check(getattr(self, low) < getattr(self, high), low, getattr(self, low), f"less than {high}")
        _check(0 < self.spoofed_share <= 1, "spoofed_share", self.spoofed_share, "above 0, up to 1")
        _check(0 <= self.route_trace_ttl <= 255, "route_trace_ttl", self.route_trace_ttl, "from 0 to 255")
        for name, value in vars(self).items():
            if isinstance(value, int) and name != "route_trace_ttl":
                _check(value >= 1, name, value, "1 or more")
        for name in ("beacon_score", "beacon_chance", "upload_quantile"):
            _check(0 < getattr(self, name) <= 1, name, getattr(self, name), "above 0, up to 1")
        for name in ("upload_factor", "web_factor"):
            _check(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("udp_stream_ports", "guess_ports", "web_ports", "beacon_usual_ports"):
            ports = getattr(self, name)
            _check(all(0 <= port <= 65535 for port in ports), name, list(ports), "ports, 0 to 65535")


@dataclass(frozen=True)
class Incidents:
    gap_s: int
    absorb_s: int
    settle_s: int
    most_age_s: int
    medium_tail_probability: float

    def __post_init__(self) -> None:
        _check(self.gap_s >= 0, "gap_s", self.gap_s, "0 or more")
        _check(0 <= self.settle_s <= self.gap_s, "settle_s", self.settle_s, "from 0 to gap_s")
        _check(self.most_age_s >= 3600, "most_age_s", self.most_age_s, "3600 or more")
        _check(self.absorb_s >= 0, "absorb_s", self.absorb_s, "0 or more")
        p = self.medium_tail_probability
        _check(0 < p < 1, "medium_tail_probability", p, "between 0 and 1")


@dataclass(frozen=True)
class Evidence:
    packets: int
    context_s: float
    context_packets: int
    incidents: int

    def __post_init__(self) -> None:
        _check(1 <= self.packets <= 10_000_000, "packets", self.packets, "from 1 to 10000000")
        _check(0 <= self.context_s <= 3600, "context_s", self.context_s, "from 0 to 3600")
        _check(1 <= self.context_packets <= 10_000_000, "context_packets", self.context_packets, "from 1 to 10000000")
        _check(1 <= self.incidents <= 400, "incidents", self.incidents, "from 1 to 400")


@dataclass(frozen=True)
class Follow:
    quiet_s: float
    bookmark_s: float
    incidents: int
    file_mb: float
    lag_s: float

    def __post_init__(self) -> None:
        _check(0 <= self.quiet_s <= 60, "quiet_s", self.quiet_s, "from 0 to 60 s")
        _check(1 <= self.bookmark_s <= 3600, "bookmark_s", self.bookmark_s, "from 1 to 3600 s")
        _check(100 <= self.incidents <= 100_000, "incidents", self.incidents, "from 100 to 100000")
        _check(1 <= self.file_mb <= 100_000, "file_mb", self.file_mb, "from 1 to 100000 MB")
        _check(self.lag_s > 0, "lag_s", self.lag_s, "more than 0")


@dataclass(frozen=True)
class Alerts:
    severity: str
    digest_severity: str
    digest_s: int
    alert_interval_s: int
    per_hour: int
    anomaly_rate_threshold: float
    anomaly_rate_s: int
    anomaly_rate_packets: int
    tries: int
    most_waiting: int

    def __post_init__(self) -> None:
        names = ("low", "medium", "high", "critical")
        for name in ("severity", "digest_severity"):
            _check(getattr(self, name) in names, name, getattr(self, name), "low, medium, high or critical")
        right = self.digest_s == 0 or 60 <= self.digest_s <= 604_800
        _check(right, "digest_s", self.digest_s, "0 (off), or from 60 to 604800")
        _check(0 <= self.alert_interval_s <= 604_800, "alert_interval_s", self.alert_interval_s, "from 0 to 604800")
        _check(1 <= self.per_hour <= 3600, "per_hour", self.per_hour, "from 1 to 3600")
        share, span = self.anomaly_rate_threshold, self.anomaly_rate_s
        _check(0 < share <= 1, "anomaly_rate_threshold", share, "above 0, up to 1 (off)")
        _check(10 <= span <= 86_400, "anomaly_rate_s", span, "from 10 to 86400")
        _check(self.anomaly_rate_packets >= 1, "anomaly_rate_packets", self.anomaly_rate_packets, "1 or more")
        _check(1 <= self.tries <= 100, "tries", self.tries, "from 1 to 100")
        _check(1 <= self.most_waiting <= 10_000, "most_waiting", self.most_waiting, "from 1 to 10000")


@dataclass(frozen=True)
class Detect:
    top_talkers: int
    database_rows: int
    patterns: Patterns
    incidents: Incidents
    evidence: Evidence
    follow: Follow
    alerts: Alerts

    def __post_init__(self) -> None:
        _check(self.top_talkers >= 0, "top_talkers", self.top_talkers, "0 (off) or more")
        _check(self.database_rows >= 20_000, "database_rows", self.database_rows, "20000 or more")


@dataclass(frozen=True)
class Visualize:
    dpi: int
    top_hosts: int

    def __post_init__(self) -> None:
        _check(50 <= self.dpi <= 600, "dpi", self.dpi, "from 50 to 600")
        _check(1 <= self.top_hosts <= 100, "top_hosts", self.top_hosts, "from 1 to 100")


@dataclass(frozen=True)
class Evaluate:
    labels: tuple[str, ...]
    false_positive_rate: float
    merge_labels: dict[str, str]

    def __post_init__(self) -> None:
        _check(len(self.labels) <= 1, "labels", list(self.labels), "one file in brackets, or [] for none")
        _check(0 < self.false_positive_rate < 1, "false_positive_rate", self.false_positive_rate, "between 0 and 1")


@dataclass(frozen=True)
class Settings:
    """One section per stage, in the order of dvc.yaml."""

    capture: Capture
    extract_features: ExtractFeatures
    train_model: TrainModel
    detect: Detect
    visualize: Visualize
    evaluate: Evaluate


def load(path: str | os.PathLike[str]) -> Settings:
    """Read and check params.yaml. Raises SettingError, in one sentence, at the first thing that is wrong."""
    try:
        document = yaml.safe_load(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise SettingError(f"{path}: does not exist: run from the project's folder, or name it with --params") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"{path}: is not readable YAML ({' '.join(str(error).split())}): correct it") from error
    try:
        return _section(Settings, document, "")
    except SettingError as error:
        raise SettingError(f"{path}: {error}: correct it there") from None


def _section(kind: Any, value: Any, where: str) -> Any:
    """`value`, a mapping from YAML, as the dataclass `kind`; every field must be there and nothing else."""
    name = where.rstrip(".") or "the file"
    if not isinstance(value, dict):
        raise SettingError(f"{name} is {value!r}: it must be a section of names and values")
    known = [field.name for field in fields(kind)]
    for key in value:
        if key not in known:
            raise SettingError(f"{where}{key} is not a known name: the names are {', '.join(known)}")
    for key in known:
        if key not in value:
            raise SettingError(f"{where}{key} is missing")
    types = get_type_hints(kind)
    try:
        return kind(**{key: _value(types[key], value[key], f"{where}{key}") for key in known})
    except SettingError as error:
        raise error if "." in str(error).split(" ")[0] or not where else SettingError(f"{where}{error}") from None


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _section(kind, value, f"{where}.")
    if kind is float and type(value) is int:
        return float(value)
    if kind in (tuple[int, ...], tuple[str, ...]):
        item_kind, words = (int, "whole numbers") if kind == tuple[int, ...] else (str, "texts")
        if not isinstance(value, list) or any(type(item) is not item_kind for item in value):
            raise SettingError(f"{where} is {value!r}: it must be a list of {words}")
        return tuple(value)
    if kind == dict[str, str]:
        if not isinstance(value, dict) or any(type(text) is not str for text in (*value, *value.values())):
            raise SettingError(f"{where} is {value!r}: it must be pairs of texts, as {{a: b}}")
        return value
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[kind]
        raise SettingError(f"{where} is {value!r}: it must be {words}")
    return value
