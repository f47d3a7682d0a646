"""Incidents → who did it, to whom, and how sure that is: the words that the report and the dashboard share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from netnormal.patterns import MANY
from netnormal.tables import SEVERITIES, UNUSUAL


class Deed(Protocol):
    """What is asked of an incident here: columns of tables.INCIDENTS, lists as tuples."""

    @property
    def source(self) -> str: ...
    @property
    def pattern(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def destinations(self) -> tuple[str, ...]: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True)
class Culprit:
    """All that one source did. Kinds and targets: most frequent first; start, end: ns UTC."""

    source: str
    incidents: int
    worst: str
    kinds: tuple[str, ...]
    targets: tuple[str, ...]
    start: int
    end: int


def headline(severities: Iterable[str]) -> str:
    """How many incidents, of which severity."""
    counts = Counter(severities)
    total = counts.total()
    parts = [f"{counts[name]:,} {name}" for name in SEVERITIES if counts[name]]
    return f"{total:,} incident{'s' if total > 1 else ''}: {', '.join(parts)}" if total else "No incidents"


def culprits(deeds: Iterable[Deed]) -> list[Culprit]:
    """Who stands behind the incidents, worst first."""
    by_source: dict[str, list[Deed]] = {}
    for one in deeds:
        by_source.setdefault(one.source, []).append(one)
    made = [_culprit(source, own) for source, own in by_source.items()]
    return sorted(made, key=lambda one: (SEVERITIES.index(one.worst), -one.incidents, one.source))


def _culprit(source: str, own: Sequence[Deed]) -> Culprit:
    kinds = Counter(kind(one.pattern) for one in own)
    targets = Counter(name for one in own for name in one.destinations)
    return Culprit(
        source,
        len(own),
        min((one.severity for one in own), key=SEVERITIES.index),
        tuple(name for name, _ in kinds.most_common()),
        tuple(name for name, _ in targets.most_common()),
        min(one.start for one in own),
        max(one.end for one in own),
    )


def who(deeds: Sequence[Deed]) -> str:
    """One sentence: who is behind it, and who was met most."""
    found = culprits(deeds)
    if not found:
        return "Nothing was unusual enough to be an incident."
    names = [f"{name_of(one.source)} ({one.incidents:,})" for one in found[:3]]
    more = f" and {len(found) - 3:,} others" if len(found) > 3 else ""
    behind = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 and not more else ", ".join(names)
    met = [name for name, _ in Counter(name for one in deeds for name in one.destinations).most_common(3)]
    verb = "stands" if len(found) == 1 else "stand"
    return f"{behind}{more} {verb} behind {'it' if len(deeds) == 1 else 'all of it'}. Most affected: " + (
        ", ".join(met) + "." if met else "nobody in particular."
    )


def listed(names: Sequence[str], most: int) -> str:
    """Names with commas, and how many are left out if there are more than `most`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def kind(pattern: str) -> str:
    return pattern.replace("_", " ")


def name_of(source: str) -> str:
    return "many forged addresses" if source == MANY else source


def basis(pattern: str) -> str:
    """On what an incident rests, in two words."""
    return "only unusual" if pattern == UNUSUAL else "named pattern"


def sure(pattern: str, score: float) -> str:
    """How sure an incident is, and on what that rests."""
    if pattern == UNUSUAL:
        return f"Only unusual, not known as an attack: the model expects its like in {rarity(score)}."
    return f"A named pattern, counted packet by packet. Score {score:.2f}: expected in {rarity(score)}."


def rarity(score: float) -> str:
    """A score as the share of ordinary conversations that would reach it, in words. See tables.SCORES: 1 - p^(1/4)."""
    tail = (1 - min(max(score, 0.0), 1.0)) ** 4
    if tail < 1e-9:
        return "less than 1 of a billion ordinary conversations"
    number = round(1 / tail)
    rounded = round(number, -len(str(number)) + 2) if number >= 100 else number
    return f"1 of {rounded:,} ordinary conversations"
