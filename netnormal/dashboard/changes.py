"""What was normal here, as a model's baseline knows it, and what in a capture the baseline had never seen."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from netnormal.dashboard import results, story
from netnormal.known import Known


@dataclass(frozen=True)
class Baseline:
    """What a baseline had seen. hosts: ends of its conversations; pairs: who asked whom."""

    known: Known
    hosts: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    services: tuple[tuple[str, int], ...]  # with the number of conversations, most first

    @property
    def inside(self) -> int:
        return sum(self.known.inside(host) for host in self.hosts)


def baseline(path: Path) -> Baseline | None:
    """What the model in `path` learnt from; None where there is no model. Raises InputError if it cannot be read."""
    seen = results.signature(path)
    return _baseline(str(path), seen) if seen != (0, 0) else None


@functools.lru_cache(maxsize=1)
def _baseline(path: str, _seen: tuple[int, int]) -> Baseline:
    from netnormal import model  # scikit-learn takes seconds to load, which other pages need not wait for

    known = model.load(path).known
    ends = {end for talk in known.talks for end in talk[:2]}
    services = Counter(service for _, _, service in known.talks)
    pairs = frozenset((source, destination) for source, destination, _ in known.talks)
    return Baseline(known, frozenset(ends), pairs, tuple(services.most_common()))


@dataclass(frozen=True)
class Changes:
    """What a capture has and the baseline had not, and how many of its own hosts are not seen any more.

    hosts: new ones that asked or answered; sought: how many others were only asked for; talks: source, destination,
    packets, bytes, failed of pairs that never were, most bytes first; servers: hosts of the baseline that answer by
    services they never answered by, host → services.
    """

    hosts: list[str]
    sought: int
    talks: pd.DataFrame
    servers: dict[str, list[str]]
    gone: int


def changes(before: Baseline, pairs: pd.DataFrame, answered: Iterable[tuple[str, str]]) -> Changes:
    """pairs: as of questions.pairs; answered: (host, service) that answered."""
    now = set(pairs["source"]) | set(pairs["destination"])
    fresh = {host for host in now - before.hosts if not story.is_group(host)}
    old = [pair in before.pairs for pair in zip(pairs["source"], pairs["destination"], strict=True)]
    alive = set(pairs["source"])
    servers: dict[str, list[str]] = {}
    for host, service in answered:
        alive.add(host)
        if host in before.hosts and (host, service) not in before.known.served:
            servers.setdefault(host, []).append(service)
    return Changes(
        sorted(fresh & alive),
        len(fresh - alive),
        pairs[~pd.Series(old, index=pairs.index, dtype=bool)].reset_index(drop=True),
        servers,
        sum(before.known.inside(host) for host in before.hosts - now),
    )
