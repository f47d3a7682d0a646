"""Incidents → indicators that firewalls, block lists and threat intelligence platforms read: CSV, or a STIX 2.1 bundle.

Ids are made of the incident and the value, so that the same incident gives the same objects in every run; one that grew
is a later version of itself. OASIS, STIX Version 2.1 (sections 3.2, 4.7, 4.14, 9), says what a valid bundle is.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netnormal import tables
from netnormal.plain import cell, plain
from netnormal.sinks.told import ToldFile
from netnormal.suppressions import Suppressions

COLUMNS = ["indicator", "type", "role", "incident_id", "pattern", "technique", "severity", "confidence"]
COLUMNS += ["first_seen", "last_seen", "title"]
#: Of these the destination is what nobody should meet; of all others the source is.
OUTWARD = ("beacon", "upload", "icmp_tunnel", "dns_tunnel")
CONFIDENCE = {"critical": 90, "high": 85, "medium": 70, "low": 30}  # of 100
UNNAMED = 30  # what only the forest calls unusual
MOST_VALUES = 20  # of one incident
_SPACE = uuid.UUID("6c1b2d3e-52a5-5d2c-9a0b-8b6a1f6f6f11")  # of our objects
_OBSERVABLES = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # of observables, by section 2.9
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class Indicator:
    """A value that stands for an incident. kind: a STIX observable type; role: source, destination or name."""

    value: str
    kind: str
    role: str


def of(document: Mapping[str, Any]) -> list[Indicator]:
    """The indicators of an incident: who did it, or whom nobody should meet, and the names it was done with.

    What is no address and no domain name (as `many`, or a name with odd bytes) is left out.
    """
    pattern, evidence = document["pattern"], document["evidence"]
    listed = evidence.get("listed") if pattern == "threat_list" else None
    wanted: list[tuple[Any, str]] = [(listed, "listed")] if listed else []
    if not listed and pattern in OUTWARD:
        # A tunnel's names go to the network's own name server: the domain says where they end.
        ends = [] if pattern == "dns_tunnel" else document["destinations"]
        wanted += [(name, "destination") for name in ends] + [(document["source"], "source")] * (not ends)
    elif not listed:
        wanted.append((document["source"], "source"))
    wanted += [(evidence.get("hardware_address"), "source"), (evidence.get("domain"), "domain")]
    found = [Indicator(str(value), kind, role) for value, role in wanted if value and (kind := _kind(str(value)))]
    return list(dict.fromkeys(found))[:MOST_VALUES]


def _kind(value: str) -> str | None:
    if _MAC.fullmatch(value):
        return "mac-addr"
    try:
        return f"ipv{ipaddress.ip_network(value).version}-addr"
    except ValueError:
        return "domain-name" if _DOMAIN.fullmatch(value) else None


def confidence(document: Mapping[str, Any]) -> int:
    return CONFIDENCE.get(document["severity"], UNNAMED) if document["technique"] else UNNAMED


def as_csv(documents: Sequence[Mapping[str, Any]]) -> str:
    """A line for each indicator of each incident; no cell is a formula."""
    stream = io.StringIO()
    out = csv.writer(stream, lineterminator="\n")
    out.writerow(COLUMNS)
    for document in documents:
        for one in of(document):
            facts = [document[name] for name in ("incident_id", "pattern", "technique", "severity")]
            seen = [confidence(document), document["start"], document["end"], document["title"]]
            values = [one.value, one.kind, one.role, *facts, *seen]
            out.writerow([cell(plain("" if value is None else value)) for value in values])
    return stream.getvalue()


def as_stix(documents: Sequence[Mapping[str, Any]]) -> str:
    """A bundle: who says so, and for each indicator what was observed, and the pattern that finds it again."""
    objects: dict[str, dict[str, Any]] = {}
    for document in documents:
        for one in of(document):
            objects |= {made["id"]: made for made in _stix(document, one)}
    if objects:
        objects = {_AUTHOR["id"]: _AUTHOR} | objects
    made: dict[str, Any] = {"type": "bundle", "id": _id("bundle", *objects)}
    if objects:  # section 8: a bundle without objects has no such property
        made["objects"] = list(objects.values())
    return json.dumps(made, indent=2, allow_nan=False) + "\n"


def _id(kind: str, *names: str) -> str:
    return f"{kind}--{uuid.uuid5(_SPACE, json.dumps([kind, *names]))}"


_AUTHOR = {
    "type": "identity",
    "spec_version": "2.1",
    "id": _id("identity", "netnormal"),
    "created": "2026-01-01T00:00:00.000Z",
    "modified": "2026-01-01T00:00:00.000Z",
    "name": "netnormal",
    "identity_class": "system",
}


def _stix(document: Mapping[str, Any], one: Indicator) -> Iterator[dict[str, Any]]:
    start, end = (f"{document[name][:23]}Z" for name in ("start", "end"))
    common = {"spec_version": "2.1", "created_by_ref": _AUTHOR["id"], "created": start, "modified": max(start, end)}
    name = document["incident_id"], one.value
    seen = json.dumps({"value": one.value}, separators=(",", ":"))
    observable = {"type": one.kind, "spec_version": "2.1", "id": f"{one.kind}--{uuid.uuid5(_OBSERVABLES, seen)}"}
    observed = {
        "type": "observed-data",
        "id": _id("observed-data", *name),
        **common,
        "first_observed": start,
        "last_observed": max(start, end),
        "number_observed": min(max(int(document["packets"]), 1), 999_999_999),
        "object_refs": [observable["id"]],
    }
    indicator = {
        "type": "indicator",
        "id": _id("indicator", *name),
        **common,
        "name": plain(document["title"]),
        "description": plain(f"{document['reasons']} ({document['incident_id']})", 2000),
        "indicator_types": ["malicious-activity" if document["technique"] else "anomalous-activity"],
        "pattern": _pattern(one),
        "pattern_type": "stix",
        "valid_from": start,
        "confidence": confidence(document),
        "labels": [document["pattern"], f"severity-{document['severity']}", f"role-{one.role}"],
    }
    if document["technique"]:
        indicator["external_references"] = [{"source_name": "mitre-attack", "external_id": document["technique"]}]
    yield observable | {"value": one.value}
    yield observed
    yield indicator
    yield {
        "type": "relationship",
        "id": _id("relationship", *name),
        **common,
        "relationship_type": "based-on",
        "source_ref": indicator["id"],
        "target_ref": observed["id"],
    }


def _pattern(one: Indicator) -> str:
    compared = "ISSUBSET" if one.kind.startswith("ip") and "/" in one.value else "="
    return f"[{one.kind}:value {compared} '{one.value}']"  # no such value has a quote or a backslash


class Indicators(ToldFile):
    """A file with the indicators of all incidents: CSV or, if it ends in .json, STIX."""

    def __init__(self, path: Path, rules: Suppressions) -> None:
        if path.suffix not in (".csv", ".json"):
            raise tables.InputError(path, "is neither .csv nor .json", "say by the file's ending which of both it is")
        super().__init__(path, rules)

    def text(self, documents: Sequence[Mapping[str, Any]]) -> str:
        return (as_stix if self._path.suffix == ".json" else as_csv)(documents)
