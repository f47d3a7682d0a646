"""Tables of whole numbers, times and words as lines of CSV: several times as fast as what knows all kinds of cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from netnormal.kernels import rows as kernels
from netnormal.tables.columns import Schema

PIECE_BYTES = 1 << 18  # spelt at one go: what fits into a processor's cache is there to be written
_KINDS = {"int": kernels.INT, "time": kernels.TIME, "text": kernels.TEXT}


def can_spell(schema: Schema) -> bool:
    """Whether the cells of `schema` need neither decimals nor quotes."""
    return not schema.prose and all(column.kind in _KINDS for column in schema)


class Speller:
    """Tables of one schema that `can_spell` → bytes."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._kinds = np.array([_KINDS[column.kind] for column in schema], np.int8)
        self._optional = np.array([column.optional for column in schema], np.bool_)
        self._room = np.empty(0, np.uint8)

    def lines(self, table: pd.DataFrame) -> Iterator[memoryview]:
        """A line per row, as the schema orders the columns, in pieces; each is good until the next is asked for.

        Raises ValueError if a word would need quotes: such a schema is `prose`.
        """
        cells = np.empty((len(self._kinds), len(table)), np.int64)
        first = np.zeros(len(self._kinds), np.int64)
        words: list[bytes] = []
        widest = len(self._kinds)
        for c, column in enumerate(self._schema):
            values = table[column.name]
            if column.kind == "text":
                text = values.array if isinstance(values.dtype, pd.CategoricalDtype) else pd.Categorical(values)
                cells[c], first[c] = text.codes, len(words)
                more = [str(word).encode() for word in text.categories]
                words += more
                widest += max(map(len, more), default=0)
            else:
                cells[c] = values.to_numpy(np.int64)
                widest += kernels.TIME_BYTES if column.kind == "time" else kernels.NUMBER_BYTES
        letters = b"".join(words)
        if any(mark in letters for mark in (b",", b'"', b"\r", b"\n")):
            raise ValueError(f"a word of {self._schema.name} needs quotes")
        spelling, starts = np.frombuffer(letters, np.uint8), np.cumsum([0, *map(len, words)])
        if widest > self._room.size:
            self._room = np.empty(max(widest, PIECE_BYTES), np.uint8)
        row = 0
        while row < len(table):
            row, end = kernels.write(
                cells, self._kinds, self._optional, first, spelling, starts, row, widest, self._room
            )
            yield self._room[:end].data
