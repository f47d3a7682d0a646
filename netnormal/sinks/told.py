"""A file that says what was told of incidents so far."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from netnormal import tables
from netnormal.suppressions import Suppressions

MOST = 100_000  # incidents in it: of more the latest told
_log = logging.getLogger("netnormal")


class ToldFile:
    """A sink (see `netnormal.sinks`) that keeps `path` equal to `text` of the incidents told so far: each as it was
    told last, in the order in which they were told first, without the suppressed ones."""

    def __init__(self, path: Path, rules: Suppressions) -> None:
        self._path, self._rules = path, rules
        self._told: dict[str, dict[str, Any]] = {}
        self._changed = self._failed = False

    def text(self, documents: Sequence[Mapping[str, Any]]) -> str:
        raise NotImplementedError

    def scores(self, rows: pd.DataFrame) -> None:
        """Rows are no incidents."""

    def incidents(self, documents: Sequence[dict[str, Any]]) -> None:
        self._changed = True  # none at all is news too: the file of an earlier run is out of date
        for document in documents:
            if self._rules.reason(document) is None:
                self._told[document["incident_id"]] = document
        while len(self._told) > MOST:
            del self._told[next(iter(self._told))]

    def resumed(self, documents: Sequence[dict[str, Any]]) -> None:
        self.incidents(documents)

    def tick(self, now_ns: int) -> None:
        try:
            self._write()
        except tables.InputError as error:
            if not self._failed:
                _log.warning("%s", error)
            self._failed = True

    def close(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._changed:
            text = self.text(list(self._told.values()))
            with tables.atomic(self._path) as temporary:
                temporary.write_text(text, "utf-8")
            self._changed = self._failed = False
