"""Incidents that a person does not want to be told of again: `suppressions.csv`, rules with a reason and an end.

They hide at reporting time only. Every file keeps every incident, so a rule can be taken back, and it hides old
incidents as it hides new ones. Time is packet time: the same capture gives the same report whenever it is made.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import ipaddress
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from netnormal.plain import cell
from netnormal.tables import SUPPRESSIONS, InputError, alone, atomic, iso, nanoseconds

FILE = "suppressions.csv"  # read if it is there
MOST_RULES = 10_000
MOST_TOLD = 10  # reasons, and expired rules, that are said
CUT_LIST = 20  # destinations that an incident names at most: so many may be cut (docs/schemas.md#incidents)
_REMEDY = "write  source,destination,pattern,expires,reason"
_SECOND = 1_000_000_000


class _Name:
    """What a cell matches: anything, an address, a network (CIDR), or a name with * and ?."""

    def __init__(self, text: str) -> None:
        self.any = text in ("", "*")
        self._network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
        if "/" in text:
            self._network = ipaddress.ip_network(text)  # ValueError: the caller says where
        self._glob = re.compile(fnmatch.translate(text.lower()))

    def fits(self, name: str) -> bool:
        if self.any:
            return True
        if self._network is None:
            return self._glob.match(name.lower()) is not None
        try:
            return ipaddress.ip_address(name) in self._network
        except ValueError:  # a hardware address, or `many`
            return False


@dataclass(frozen=True)
class Rule:
    """One line of the file: which incidents, until when [ns; None: for ever], and why."""

    line: int
    source: _Name
    destination: _Name
    pattern: _Name
    expires: int | None
    reason: str

    def fits(self, source: str, destinations: list[str], pattern: str) -> bool:
        """Without regard to time. A rule with a destination hides an incident only if it names all of them."""
        if not (self.source.fits(source) and self.pattern.fits(pattern)):
            return False
        if self.destination.any:
            return True
        whole = 0 < len(destinations) < CUT_LIST
        return whole and all(self.destination.fits(name) for name in destinations)


class Suppressions:
    """The rules of a file, in its order; without rules nothing is hidden."""

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self.rules = rules

    def reason(self, document: Mapping[str, Any]) -> str | None:
        """Why an incident is hidden, or None if it is not.

        document : an incident of incidents.json, or of a row of tables.INCIDENTS: source, destinations (a list, or
            separated by blanks), pattern, start (ISO 8601 or ns). It is hidden if it began before the rule's expiry.
        """
        if not self.rules:
            return None
        names = document["destinations"]
        names = names.split() if isinstance(names, str) else list(names or ())
        start = document["start"]
        start = nanoseconds(start) if isinstance(start, str) else start
        for rule in self.rules:
            in_time = rule.expires is None or start < rule.expires
            if in_time and rule.fits(str(document["source"]), names, str(document["pattern"])):
                return rule.reason
        return None

    def split(self, incidents: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """The incidents (tables.INCIDENTS) that are shown, and for each other one the reason why it is not."""
        names = ["source", "destinations", "pattern", "start"]
        rows = zip(*(incidents[name] for name in names), strict=True)
        reasons = [self.reason(dict(zip(names, row, strict=True))) for row in rows]
        shown = np.array([reason is None for reason in reasons], bool)
        return incidents[shown].reset_index(drop=True), [reason for reason in reasons if reason is not None]

    def notices(self, notices: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """The notices (tables.NOTICES) that are shown, and how many are hidden.

        The hosts that a notice names are its destinations; services are none, and rules with a destination leave them.
        """
        shown = []
        columns = [notices[name].tolist() for name in ("source", "pattern", "what", "start")]
        for source, pattern, what, start in zip(*columns, strict=True):
            hosts = [name for name in str(what).split() if "/" not in name and name != source]
            found = {"source": source, "pattern": pattern, "destinations": hosts, "start": start}
            shown.append(self.reason(found) is None)
        left = notices[np.array(shown, bool)].reset_index(drop=True)
        return left, len(notices) - len(left)

    def told(self, reasons: Sequence[str], now: str | None, notices: int = 0) -> list[str]:
        """What is hidden, and which rules hide nothing any more at packet time `now` (ISO 8601): sentences without
        a full stop. reasons : as `split` gives them; notices : how many are hidden too."""
        told = []
        if reasons:
            counts = Counter(reasons).most_common()
            why = [f"{text} ({count:,})" if count > 1 else text for text, count in counts[:MOST_TOLD]]
            why += ["…"] if len(counts) > MOST_TOLD else []
            told.append(f"{len(reasons):,} incident{'s' if len(reasons) > 1 else ''} suppressed: {', '.join(why)}")
        if notices:
            told.append(f"{notices:,} notice{'s' if notices > 1 else ''} suppressed")
        end = nanoseconds(now) if now else 0
        old = [(rule, rule.expires) for rule in self.rules if rule.expires is not None and rule.expires <= end]
        for rule, expires in old[:MOST_TOLD]:
            told.append(f"line {rule.line} of the suppressions ({rule.reason}) expired on {iso(expires - 1)[:10]}")
        if len(old) > MOST_TOLD:
            told.append(f"so did {len(old) - MOST_TOLD:,} more lines of the suppressions")
        return told


def read(path: str | os.PathLike[str], optional: bool = False) -> Suppressions:
    """The rules in a CSV file with the columns of tables.SUPPRESSIONS; lines that begin with # are comments.

    Raises InputError, with file and line, at the first line that is no rule; if there is no file, unless `optional`.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        if optional:
            return Suppressions()
        raise InputError(path, "does not exist", "name another file with --suppressions") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "name another with --suppressions") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", _REMEDY) from error
    rules: list[Rule] = []
    header: list[str] | None = None
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}:{number}"
        if not line.isprintable():
            raise InputError(where, "has characters that cannot be printed", _REMEDY)
        cells = _cells(line, where)
        if header is None:
            if sorted(cells) != sorted(SUPPRESSIONS.names):
                raise InputError(where, "does not name the columns", _REMEDY + "  as the first line")
            header = cells
            continue
        if len(cells) != len(header):
            what = f"has {len(cells)} cells, not {len(header)}"
            raise InputError(where, what, "put a cell with a comma into quotes, and leave empty what is any")
        if len(rules) == MOST_RULES:
            raise InputError(where, f"is rule {MOST_RULES + 1:,}", "write fewer, wider rules, with * or networks")
        rules.append(_rule(dict(zip(header, cells, strict=True)), number, where))
    return Suppressions(tuple(rules))


def add(
    path: str | os.PathLike[str],
    *,
    source: str = "",
    destination: str = "",
    pattern: str = "",
    expires: str = "",
    reason: str,
) -> None:
    """Add a rule at the end of the file, which is made if there is none; nothing else in it changes.

    Whole or not at all, also when others write at the same time. Raises InputError if it would be no rule (as `read`
    does, or if a spreadsheet would take a cell for a formula), or if the file has a line that is none.
    """
    path = Path(path)
    cells = {"source": source, "destination": destination, "pattern": pattern, "expires": expires, "reason": reason}
    cells = {name: text.strip() for name, text in cells.items()}
    for name, text in cells.items():
        if not text.isprintable() or cell(text) != text or text.startswith("#"):
            what = f"`{name}` begins as a formula or a comment does, or has characters that cannot be printed"
            raise InputError("a suppression", what, "write it in plain words")
    _rule(cells, 0, "a suppression")
    with alone(path):
        known = read(path, optional=True)
        if len(known.rules) >= MOST_RULES:
            raise InputError(path, f"has {MOST_RULES:,} rules, and no room for more", "delete those that expired")
        text = path.read_text("utf-8-sig") if path.exists() else ""
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        names = _cells(lines[0], str(path)) if lines else SUPPRESSIONS.names
        stream = io.StringIO()
        out = csv.writer(stream, lineterminator="\n")
        if not lines:
            out.writerow(names)
        out.writerow([cells[name] for name in names])
        with atomic(path) as temporary:
            temporary.write_text(text + ("\n" if text and not text.endswith("\n") else "") + stream.getvalue(), "utf-8")


def _cells(line: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader(io.StringIO(line), strict=True))]
    except csv.Error as error:
        raise InputError(where, f"is no line of a CSV file ({error})", _REMEDY) from error


def _rule(cells: dict[str, str], number: int, where: str) -> Rule:
    names = {}
    for name in ("source", "destination", "pattern"):
        try:
            names[name] = _Name(cells[name])
        except ValueError as error:
            raise InputError(where, f"`{name}` is no network ({error})", "write as 10.0.0.0/24") from error
    if all(name.any for name in names.values()):
        raise InputError(where, "would hide every incident", "name a source, a destination or a pattern")
    if not cells["reason"]:
        raise InputError(where, "gives no reason", "say why, for whoever reads it in a year")
    return Rule(number, **names, expires=_expiry(cells["expires"], where), reason=cells["reason"])


def _expiry(text: str, where: str) -> int | None:
    """The first moment that it no longer hides [ns]; a date alone counts to its end (UTC)."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment += timedelta(days=1 if len(text) <= 10 else 0)
        whole = int(moment.timestamp()) * _SECOND
        np.datetime64(whole, "ns")  # beyond the year 2262 there is no such time
    except (ValueError, OverflowError) as error:
        raise InputError(where, f"`expires` is no date ({text})", "write as 2027-01-31, or leave it empty") from error
    if not 0 <= whole < 2**63:
        raise InputError(where, f"`expires` is out of reach ({text})", "write as 2027-01-31, or leave it empty")
    return whole
