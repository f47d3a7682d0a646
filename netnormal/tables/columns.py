"""What a column and a schema are; the one error that all bad input becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["int", "float", "text", "time"]


class InputError(Exception):
    """Input that cannot be used: where it is, what is wrong, and what to do about it.

    `stage.run` prints it as one line, *where: what: remedy*, and exits with 1.
    """

    def __init__(self, where: object, what: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}: {remedy}")
        self.where, self.what, self.remedy = str(where), what, remedy


@dataclass(frozen=True)
class Column:
    """One column of a file.

    `low` and `high` bound its numbers (inclusive; readers refuse what lies outside); `optional` says that a cell
    may be empty, `empty` when it is; `decimals` is what a float is rounded to in the file (None: all digits).
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    empty: str = ""
    low: float | None = None
    high: float | None = None
    decimals: int | None = 6

    @property
    def optional(self) -> bool:
        return bool(self.empty)


@dataclass(frozen=True)
class Schema:
    """The columns of one kind of file, in order. `stage` is the command that writes it."""

    name: str
    meaning: str
    stage: str
    columns: tuple[Column, ...]
    prose: bool = False  # has free text, so cells may need quotes
    carries: bool = False  # columns beyond the schema are kept and written behind the others

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)
