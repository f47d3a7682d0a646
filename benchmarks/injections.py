"""Attacks of a chosen strength, and harmless things that look a little like them, between hosts of a given network.

Each function here returns frames (`benchmarks.frames_made`) and knows a `Scene`: who there is, and from when to when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks import frames_made as made
from benchmarks.frames_made import SECOND, End, Frame

NEAR_S, FAR_S = 0.001, 0.030  # round trips inside the network, and beyond the router
SSH = 22
GUESS = [(22, 41), (1_500, 1_100), (200, 500), (150, 80)]  # what is said until a password is refused [bytes]


@dataclass(frozen=True)
class Scene:
    """Hosts of a network, chosen by what its baseline shows them do, and the time to play in [ns]."""

    client: End  # asks others and serves nobody
    server: End  # answers most other hosts of the network, at `port`
    port: int
    usual: End  # whom the client asks most often over TCP, at `usual_port`
    usual_port: int
    resolver: End
    outside: End  # beyond the router, never met (RFC 5737)
    absent: End  # an address of the network that nobody has
    begin: int
    end: int

    @property
    def span_s(self) -> float:
        return (self.end - self.begin) / SECOND


def scene(packets: pd.DataFrame, rows: pd.DataFrame, begin: int, end: int, random: np.random.Generator) -> Scene:
    """Choose hosts by a baseline's packets (tables.PACKETS) and features (tables.FEATURES), IPv4 only.

    Raises ValueError if there are no two hosts that talk over TCP.
    """
    own = packets.loc[packets["network"] == "IPv4", ["src_mac", "src_ip", "ttl"]].dropna()
    own = own.astype({"src_mac": object, "src_ip": object})
    own = own.value_counts().reset_index().drop_duplicates("src_ip")  # the most frequent hardware address and TTL
    behind = own["src_mac"].value_counts()
    router = behind.index[0] if len(behind) and behind.iloc[0] > 1 else own["src_mac"].iloc[0]
    ends = {row.src_ip: End(row.src_ip, row.src_mac, int(row.ttl)) for row in own.itertuples()}
    inside = {ip for ip, one in ends.items() if behind[one.mac] == 1}

    talks = rows[["source", "destination", "service"]].astype(str)
    talks = talks[rows["kind"].astype(str).str.endswith(" answered").to_numpy()]
    talks = talks[talks["source"].isin(list(inside)) & talks["destination"].isin(list(ends))]
    tcp = talks[talks["service"].str.match(r"TCP/\d+$")]
    near = tcp[tcp["destination"].isin(list(inside))]
    clients = sorted(set(tcp["source"]) - set(near["destination"]))
    if not clients or near.empty:
        raise ValueError("it needs hosts that talk to servers of the same network over TCP and IPv4")
    client = clients[random.integers(len(clients))]
    asked = near[near["source"] != client].groupby(["destination", "service"])["source"].nunique()
    server, service = asked.idxmax() if len(asked) else near[["destination", "service"]].iloc[0]
    usual, usual_service = tcp.loc[tcp["source"] == client, ["destination", "service"]].value_counts().index[0]
    names = talks.loc[talks["service"] == "UDP/53", "destination"].value_counts()
    free = [f"{client.rpartition('.')[0]}.{number}" for number in range(2, 254)]
    absent = next(ip for ip in reversed(free) if ip not in ends)
    return Scene(
        client=ends[client],
        server=ends[server],
        port=int(service.removeprefix("TCP/")),
        usual=ends[usual],
        usual_port=int(usual_service.removeprefix("TCP/")),
        resolver=ends[names.index[0]] if len(names) else ends[server],
        outside=End("203.0.113.66", router, 52),
        absent=End(absent, router),
        begin=begin,
        end=end,
    )


def _times(of: Scene, per_s: float, most: int) -> list[int]:
    count = int(min(most, max(of.span_s * per_s, 1)))
    return [of.begin + round(i / per_s * SECOND) for i in range(count)]


# ---------------------------------------------------------------- attacks


def scan(of: Scene, random: np.random.Generator, ports_per_s: float) -> list[Frame]:
    """SYNs to up to 1,000 ports of the busiest server, most refused, as of a port scanner at a set rate."""
    ports = 1 + random.permutation(65_535)
    found: list[Frame] = []
    for i, time in enumerate(_times(of, ports_per_s, 1_000)):
        found += made.refused(time, of.client, of.server, 40_000 + i % 20_000, int(ports[i]), NEAR_S)
    return found


def beacon(of: Scene, random: np.random.Generator, jitter: float) -> list[Frame]:
    """50 calls of one size to a host never met, each up to `jitter` of the gap too early or too late."""
    gap = of.span_s / 51
    found: list[Frame] = []
    for i in range(50):
        late = (1 + i + jitter * random.uniform(-1, 1)) * gap
        time = of.begin + round(late * SECOND)
        found += made.session(time, of.client, of.outside, 42_000 + i, 443, [(517, 1_800), (310, 420)], FAR_S)
    return found


def guessing(of: Scene, random: np.random.Generator, per_minute: float) -> list[Frame]:
    """Failed SSH logins at the busiest server, 300 at most."""
    found: list[Frame] = []
    for i, time in enumerate(_times(of, per_minute / 60, 300)):
        said = [*GUESS[:-1], (150, 80 + int(random.integers(0, 8)))]
        found += made.session(time, of.client, of.server, 44_000 + i, SSH, said, NEAR_S, pause_s=0.4)
    return found


def upload(of: Scene, random: np.random.Generator, megabytes: float) -> list[Frame]:
    """One file to a host never met, at 1 MB a second or in a minute."""
    size = round(megabytes * 1e6)
    pace = max(1e6, size / 60)
    return made.session(of.begin, of.client, of.outside, 46_000, 443, [(517, 3_000), (size, 400)], FAR_S, 0.0, pace)


def dns_tunnel(of: Scene, random: np.random.Generator, bytes_per_s: float) -> list[Frame]:
    """Data in the labels of names below one domain, 120 letters a query, TXT, for two minutes or 50 queries."""
    letters, found = np.array(list("abcdefghijklmnopqrstuvwxyz234567")), []
    per_s = bytes_per_s / 120
    for i, time in enumerate(_times(of, per_s, max(50, round(120 * per_s)))):
        text = "".join(letters[random.integers(0, 32, 120)])
        found += _lookup(of, time, f"{text[:60]}.{text[60:]}.t.example.net", 16, i)
    return found


def _lookup(of: Scene, time: int, name: str, kind: int, number: int, failed: bool = False) -> list[Frame]:
    port = 20_000 + number % 40_000
    later = time + round(NEAR_S * SECOND)
    return [
        made.udp(time, of.client, of.resolver, port, 53, made.dns(name, kind, number, False)),
        made.udp(later, of.resolver, of.client, 53, port, made.dns(name, kind, number, True, failed), 100),
    ]


# ---------------------------------------------------------------- what must not fire


def browsing(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """Ten pages of the host's usual server, four connections each, as people click."""
    found, now = [], of.begin
    for page in range(10):
        for i in range(4):
            said = [(int(random.integers(300, 600)), int(random.integers(2_000, 40_000))) for _ in range(2)]
            at = now + i * SECOND // 50
            found += made.session(at, of.client, of.usual, 50_000 + 4 * page + i, of.usual_port, said, NEAR_S)
        now += round(random.exponential(20) * SECOND)
    return found


def polling(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """A program that asks the host's usual server by the clock, 50 times, always the same."""
    gap = of.span_s / 51
    times = [of.begin + round((1 + i) * gap * SECOND) for i in range(50)]
    ports = range(51_000, 51_050)
    return [
        frame
        for time, port in zip(times, ports, strict=True)
        for frame in made.session(time, of.client, of.usual, port, of.usual_port, [(300, 900)], NEAR_S)
    ]


def download(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """5 MB from the usual server: much in, hardly anything out."""
    said = [(400, 5_000_000)]
    return made.session(of.begin, of.client, of.usual, 52_000, of.usual_port, said, NEAR_S, 0.0, 2e6)


def mistyping(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """Two wrong passwords, then the right one and a session of a minute."""
    found: list[Frame] = []
    for i in range(2):
        time = of.begin + i * 6 * SECOND
        found += made.session(time, of.client, of.server, 53_000 + i, SSH, GUESS, NEAR_S, pause_s=1.5)
    said = [*GUESS, *((48, int(random.integers(50, 900))) for _ in range(40))]
    return found + made.session(of.begin + 12 * SECOND, of.client, of.server, 53_009, SSH, said, NEAR_S, pause_s=1.5)


def retrying(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """A program that cannot reach its server, and tries seven times, ever more slowly (RFC 6298)."""
    times = [of.begin + (2**i - 1) * SECOND for i in range(7)]
    return [made.tcp(time, of.client, of.absent, 54_000, of.usual_port, made.SYN) for time in times]


def names(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """40 lookups of long names, as of content networks, below ten domains; a few do not exist."""
    found, now = [], of.begin
    for i in range(40):
        label = "".join(map(str, random.integers(0, 10, 14)))
        found += _lookup(of, now, f"edge-{label}.region-{i % 4}.cdn{i % 10}.example", 1, 30_000 + i, i % 13 == 12)
        now += round(random.exponential(1) * SECOND)
    return found


def pinging(of: Scene, random: np.random.Generator, _: float) -> list[Frame]:
    """ping, once a second for a minute."""
    found: list[Frame] = []
    for i in range(60):
        time = of.begin + i * SECOND
        found.append(made.ping(time, of.client, of.server, False, i))
        found.append(made.ping(time + round(NEAR_S * SECOND), of.server, of.client, True, i))
    return found


Make = Callable[[Scene, np.random.Generator, float], list[Frame]]

#: Attack → its strength's unit, the strengths that are tried, and what makes it.
ATTACKS: dict[str, tuple[str, tuple[float, ...], Make]] = {
    "port scan": ("ports/s", (0.01, 0.03, 0.1, 0.3, 1, 10, 100, 1000), scan),
    "beacon": ("jitter", (0, 0.1, 0.2, 0.3, 0.4, 0.5), beacon),
    "password guessing": ("logins/min", (0.5, 1, 2, 4, 8, 30, 120), guessing),
    "upload": ("MB", (0.1, 0.3, 1, 3, 10, 100), upload),
    "DNS tunnel": ("bytes/s", (3, 10, 30, 100, 300, 1000, 10_000), dns_tunnel),
}
#: Harmless things, and what makes them.
CONTROLS: dict[str, Make] = {
    "browsing": browsing,
    "polling": polling,
    "download": download,
    "mistyping": mistyping,
    "retrying": retrying,
    "lookups": names,
    "pinging": pinging,
}
