"""A list of known bad hosts (`detect.py --threats FILE`), and who was in contact with them."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from netnormal.kernels.group import pair_ids
from netnormal.patterns import Evidence, Finding
from netnormal.patterns.view import View, by_group
from netnormal.tables import InputError

ADDRESS_COLUMNS = ("src_ip", "dst_ip")
NAME_COLUMNS = ("dns_query", "server_name")
#: Names that hosts files give to the machine itself; they stand on no list of bad hosts.
OWN_NAMES = {"localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback"}
OWN_NAMES |= {"ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0"}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Listed:
    """One entry of the list: what it says, and where it says so (`file:line`, or words)."""

    entry: str
    where: str


class ThreatList:
    """Addresses, networks and domains of known bad hosts. A domain stands for itself and all its subdomains.

    Of entries that overlap, the most specific one counts; of equal ones, the first.
    """

    def __init__(self) -> None:
        self._networks: dict[tuple[int, int], dict[int, Listed]] = {}  # (version, prefix length) → prefix → entry
        self._names: dict[str, Listed] = {}

    def __len__(self) -> int:
        return len(self._names) + sum(len(known) for known in self._networks.values())

    def add_network(self, network: Network, where: str) -> None:
        """An address (a network of one) or a network."""
        single = network.prefixlen == network.max_prefixlen
        entry = str(network.network_address) if single else str(network)
        prefix = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        self._networks.setdefault((network.version, network.prefixlen), {}).setdefault(prefix, Listed(entry, where))

    def add_addresses(self, addresses: Iterable[str], where: str) -> None:
        """Addresses from elsewhere than a file, such as the most active ones; `where` says why they are here."""
        for address in addresses:
            self.add_network(ipaddress.ip_network(address), where)

    def add_name(self, name: str, where: str) -> None:
        self._names.setdefault(name, Listed(name, where))

    def address(self, address: str) -> Listed | None:
        """The entry for an address, if there is one."""
        version, family, bits = (6, socket.AF_INET6, 128) if ":" in address else (4, socket.AF_INET, 32)
        try:
            value = int.from_bytes(socket.inet_pton(family, address), "big")
        except OSError:  # no address, such as a hardware address
            return None
        return self._most_specific(version, value, bits)

    def name(self, name: str) -> Listed | None:
        """The entry for a host name or for a domain it belongs to, if there is one."""
        rest = name.rstrip(".").lower()
        while rest:
            if rest in self._names:
                return self._names[rest]
            rest = rest.partition(".")[2]
        return None

    def find(self, packets: pd.DataFrame, flows: pd.DataFrame, flow_of_packet: np.ndarray) -> list[Finding]:
        """Contacts with listed hosts in one closed window: one finding for each source and entry.

        packets : table of tables.PACKETS; flows, flow_of_packet : what `netnormal.flows.flows` makes of it.
        An address matches where it sends or receives, a name where it is asked for (DNS) or called (TLS).
        The source is the initiator of the flow, be it the listed host itself.
        """
        if not len(self) or not len(packets):
            return []
        entries: dict[Listed, int] = {}
        seen: list[tuple[str, int]] = []  # what was seen in the packets, and the number of its entry
        hits: list[tuple[np.ndarray, np.ndarray]] = []
        for column in (*ADDRESS_COLUMNS, *NAME_COLUMNS):
            look_up = self.address if column in ADDRESS_COLUMNS else self.name
            words = packets[column].array
            number = np.full(len(words.categories) + 1, -1, np.int64)  # the last is for empty cells, code -1
            used = np.unique(words.codes[words.codes >= 0])
            if column in ADDRESS_COLUMNS:
                used = used[self._perhaps(words.categories.take(used).tolist())]
            for code in used:
                listed = look_up(words.categories[code])
                if listed is not None:
                    number[code] = len(seen)
                    seen.append((str(words.categories[code]), entries.setdefault(listed, len(entries))))
            at = number[words.codes]
            hits.append((np.flatnonzero(at >= 0), at[at >= 0]))
        rows, matched = (np.concatenate(part) for part in zip(*hits, strict=True))
        if not len(rows):
            return []
        view = View(packets, flows, flow_of_packet)
        entry_of = np.array([entry for _, entry in seen], np.int64)
        flow = flow_of_packet[rows]
        group, first = pair_ids(view.source[flow], entry_of[matched])
        known = list(entries)
        findings = []
        for members in by_group(group, np.arange(len(first)), len(first)):
            listed = known[entry_of[matched[members[0]]]]
            names = sorted({seen[i][0] for i in np.unique(matched[members])} - {listed.entry})
            evidence: Evidence = {"listed": listed.entry, "where": listed.where}
            if names:
                evidence["matched"] = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
            source = view.name(int(view.source[flow[members[0]]]))
            findings.append(view.finding("threat_list", np.unique(flow[members]), source, evidence))
        return findings

    def _perhaps(self, addresses: list[str]) -> np.ndarray:
        """Which addresses may be listed (bool). A flood brings a million; IPv4 is looked up in one go."""
        perhaps = np.ones(len(addresses), bool)
        is_v4 = np.array([":" not in address for address in addresses], bool)
        try:
            packed = b"".join([socket.inet_pton(socket.AF_INET, a) for a in addresses if ":" not in a])
        except OSError:  # something else is among them: let each be looked at
            return perhaps
        values = np.frombuffer(packed, ">u4").astype(np.int64)
        found = np.zeros(len(values), bool)
        for (version, length), known in self._networks.items():
            if version == 4:
                found |= np.isin(values >> (32 - length), list(known))
        perhaps[is_v4] = found
        return perhaps

    def _most_specific(self, version: int, value: int, bits: int) -> Listed | None:
        best = None
        for (of_version, length), known in self._networks.items():
            if of_version == version and (best is None or length > best[0]):
                listed = known.get(value >> (bits - length))
                if listed is not None:
                    best = (length, listed)
        return best[1] if best else None


def read(path: str | os.PathLike[str]) -> ThreatList:
    """The list in a text file, one entry a line.

    An entry is an address, a network (CIDR), a domain (`bad.example` or `*.bad.example`), or a line of a hosts file
    (an address of the machine itself or none, then names). `#` and `;` begin a comment.
    Raises InputError, with file and line, at the first line that is none of these.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        words = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(path, words, "name another file with --threats") from error
    except UnicodeDecodeError as error:
        raise InputError(
            path, "is not UTF-8 text", "give a text file with one address, network or name a line"
        ) from error
    listed = ThreatList()
    for number, line in enumerate(text.split("\n"), 1):
        tokens = re.split("[#;]", line, maxsplit=1)[0].split()
        if tokens:
            _add(listed, tokens, f"{path}:{number}")
    return listed


def _add(listed: ThreatList, tokens: list[str], where: str) -> None:
    remedy = "write one address, network or domain a line, or a hosts-file line such as 0.0.0.0 bad.example"
    if len(tokens) > 1:
        if not _is_own(tokens[0]):
            raise InputError(where, f"{_shown(tokens[0])} followed by more is no line of a hosts file", remedy)
        for name in tokens[1:]:
            if name.lower() not in OWN_NAMES:
                listed.add_name(_name(name, where, remedy), where)
        return
    token = tokens[0]
    if "/" in token or ":" in token or re.fullmatch(r"[0-9.]+", token):
        try:
            network = ipaddress.ip_network(token)
        except ValueError:
            network = _loose(token, where, remedy)
        if network.prefixlen == 0:
            raise InputError(where, f"{token} is every address", "name a smaller network")
        listed.add_network(network, where)
    else:
        listed.add_name(_name(token, where, remedy), where)


def _loose(token: str, where: str, remedy: str) -> Network:
    """Say what is wrong with a network: its host bits, or all of it."""
    try:
        meant = ipaddress.ip_network(token, strict=False)
    except ValueError as error:
        raise InputError(where, f"{_shown(token)} is no address or network", remedy) from error
    raise InputError(where, f"{token} is an address within a network", f"write {meant} for all of it")


def _is_own(token: str) -> bool:
    """Is it an address that hosts files give to names they block or to the machine itself?"""
    try:
        address = ipaddress.ip_address(token.partition("%")[0])
    except ValueError:
        return False
    broadcast = str(address) == "255.255.255.255"
    own = address.is_unspecified or address.is_loopback or address.is_link_local or address.is_multicast
    return own or broadcast or str(address) in ("fe00::", "ff00::")  # as Debian's hosts file has them


def _name(token: str, where: str, remedy: str) -> str:
    name = token.removeprefix("*.").removeprefix(".").rstrip(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError as error:
            raise InputError(where, f"{_shown(token)} is no domain name", remedy) from error
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(name) > 253 or labels[-1].isdecimal():
        raise InputError(where, f"{_shown(token)} is no address, network or domain name", remedy)
    if len(labels) == 1:
        raise InputError(where, f"{name} is a whole top-level domain", "name a domain below it")
    return name


def _shown(token: str) -> str:
    """The token as it may stand in a message: short, and nothing that a terminal would obey."""
    return ascii(token if len(token) <= 60 else f"{token[:60]}…")
