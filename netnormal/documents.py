"""results/incidents.json, read without trusting it: what each incident says beyond the columns of incidents.csv."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from netnormal.tables import INCIDENTS, InputError

MOST_BYTES = 500 << 20
ESCALATION = 10  # times the packets: an incident that grew so much is worth telling again
_REMEDY = "write it again with  python detect.py"
_LISTS = ("destinations", "services", "community_ids")
_TEXTS = tuple(column.name for column in INCIDENTS if column.kind in ("text", "time") and column.name not in _LISTS)
_NUMBERS = tuple(column.name for column in INCIDENTS if column.kind in ("int", "float"))


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The incidents, worst first, each as docs/schemas.md#incidents says: types are checked, texts are not.

    Raises InputError if the file is missing, damaged, or holds something else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(path, f"has more than {MOST_BYTES:,} bytes", _REMEDY)
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(path, "does not exist", "make it with  python detect.py") from None
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "make it readable") from error
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not JSON ({error})", _REMEDY) from error
    if not isinstance(found, list):
        raise InputError(path, "is no list of incidents", _REMEDY)
    for number, one in enumerate(found, 1):
        wrong = _wrong(one)
        if wrong:
            raise InputError(path, f"incident {number:,}: {wrong}", _REMEDY)
    return found


def escalated(document: dict[str, Any], before: int) -> bool:
    """Did an incident grow so much since it was told with `before` packets that it is worth telling again?"""
    return int(document["packets"]) >= ESCALATION * max(before, 1)


def _wrong(one: Any) -> str:
    """What is wrong with an incident, if anything is."""
    if not isinstance(one, dict):
        return "is no object"
    for name in (*_TEXTS, "normal"):
        if not isinstance(one.get(name), str) and not (name == "technique" and one.get(name) is None):
            return f"`{name}` is no text"
    for name in _NUMBERS:
        if not _is_number(one.get(name)):
            return f"`{name}` is no number"
    for name in _LISTS:
        if not isinstance(one.get(name), list) or not all(isinstance(text, str) for text in one[name]):
            return f"`{name}` is no list of texts"
    evidence, explanation = one.get("evidence"), one.get("explanation")
    if not isinstance(evidence, dict) or not all(isinstance(v, str) or _is_number(v) for v in evidence.values()):
        return "`evidence` is no object of numbers and texts"
    if not isinstance(explanation, list) or not all(map(_is_entry, explanation)):
        return "`explanation` is no list of features"
    return ""


def _is_entry(one: Any) -> bool:
    if not isinstance(one, dict) or not all(isinstance(one.get(name), str) for name in ("feature", "words", "unit")):
        return False
    numbers = ("value", "usual_low", "usual_high", "spreads") if one.get("value") is not None else ()
    return all(_is_number(one.get(name)) for name in (*numbers, "share", "window_s"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
