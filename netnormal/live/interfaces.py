"""The network interfaces of this system: which there are, what they are, which one to listen on."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netnormal.tables import InputError

ANY = "any"
# hardware type (ARPHRD_, if_arp.h) → link type (LINKTYPE_)
LINK_TYPES = {1: 1, 772: 1, 801: 105, 802: 119, 803: 127, 768: 101, 769: 101, 776: 101, 778: 101, 65534: 101}
_NET = Path("/sys/class/net")


@dataclass(frozen=True)
class Interface:
    """For a person who has to choose. packets: seen in the time watched; hardware: ARPHRD_ number; None: not known."""

    name: str
    addresses: tuple[str, ...]
    state: str
    hardware: int | None
    packets: int | None


def names() -> list[str]:
    """The interfaces here; scapy knows them where the system calls them otherwise (Windows)."""
    if sys.platform == "win32":
        from scapy.interfaces import get_if_list

        return list(get_if_list())
    return [name for _, name in socket.if_nameindex()]


def said(name: str, what: str) -> str | None:
    """What Linux says of an interface, for instance `mtu`; None where it says nothing."""
    with contextlib.suppress(OSError):  # EINVAL for the carrier of an interface that is down
        return (_NET / name / what).read_text().strip()
    return None


def number(name: str, what: str) -> int | None:
    text = said(name, what)
    return int(text) if text else None


def drops(name: str) -> int | None:
    """Packets that the interface or its driver has lost since it came up."""
    counts = [number(name, f"statistics/{count}") for count in ("rx_dropped", "rx_missed_errors")]
    return None if None in counts else sum(count for count in counts if count)


def longest_frame(name: str) -> int | None:
    """Bytes of the longest frame that belongs on the wire: MTU, Ethernet header, VLAN tag."""
    mtu = number(name, "mtu")
    return None if mtu is None else mtu + 18


def is_up(name: str) -> bool:
    return int(said(name, "flags") or "0", 16) & 1 == 1


def listed(seconds: float) -> Iterator[Interface]:
    """All interfaces, with the packets counted in `seconds`."""
    before = {name: _packets(name) for name in names()}
    time.sleep(seconds)
    addresses = _addresses()
    for name, count in before.items():
        now = _packets(name)
        yield Interface(
            name,
            tuple(addresses.get(name, ())),
            "up" if is_up(name) else "down" if said(name, "flags") else "unknown",
            number(name, "type"),
            None if now is None or count is None else now - count,
        )


def _packets(name: str) -> int | None:
    counts = [number(name, f"statistics/{way}_packets") for way in ("rx", "tx")]
    return None if None in counts else sum(count for count in counts if count)


def _addresses() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if not sys.platform.startswith("linux"):
        from scapy.config import conf

        for one in conf.ifaces.values():
            found[one.name] = [str(address) for kind in (4, 6) for address in one.ips.get(kind, [])]
        return found
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for name in names():
            with contextlib.suppress(OSError):  # it has none
                answer = fcntl.ioctl(asked, 0x8915, struct.pack("256s", name.encode()[:15]))  # SIOCGIFADDR
                found[name] = [socket.inet_ntoa(answer[20:24])]
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else []:
        packed, *_, name = line.split()
        found.setdefault(name, []).append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed)))
    return found


def default() -> tuple[str, str]:
    """The interface to listen on and why it is the one: the default route's, else the busiest that is up.

    Raises InputError where there is none.
    """
    if not sys.platform.startswith("linux"):
        from scapy.config import conf

        return str(conf.iface), "the default route's"
    routes: list[tuple[int, str]] = []
    table = Path("/proc/net/route")
    for line in table.read_text().splitlines()[1:] if table.exists() else []:
        name, destination, _, flags, _, _, metric, mask = line.split()[:8]
        if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & 1:
            routes.append((int(metric), name))
    table = Path("/proc/net/ipv6_route")
    for line in table.read_text().splitlines() if not routes and table.exists() else []:
        words = line.split()
        if int(words[0], 16) == int(words[1], 16) == 0 and words[9] != "lo":
            routes.append((int(words[5], 16), words[9]))
    if routes:
        return min(routes)[1], "the default route's"
    up = [name for name in names() if is_up(name) and number(name, "type") != 772]
    if not up:
        raise InputError("default interface", "none is up", f"name one with --interface: {', '.join(names())}")
    return max(up, key=lambda name: _packets(name) or 0), "the busiest, as there is no default route"


def index(name: str) -> int:
    """The system's number of an interface, 0 for `any`. Raises InputError if there is none of that name."""
    if name == ANY:
        return 0
    try:
        return socket.if_nametoindex(name)
    except OSError:
        there = ", ".join([*names(), ANY])
        raise InputError(f"interface {name}", "does not exist", f"the interfaces are {there}") from None


def promiscuous(sock: socket.socket, interface_index: int) -> None:
    """`sock` also gets what is for other hosts, as long as it is open."""
    sock.setsockopt(263, 1, struct.pack("iHH8s", interface_index, 1, 0, b""))  # SOL_PACKET, PACKET_ADD_MEMBERSHIP
