"""Columns of numbers → lines of a CSV file."""

import numpy as np
from numba import njit

INT, TIME, TEXT = range(3)  # what a column holds: a number, ns UTC, the number of a word
NUMBER_BYTES, TIME_BYTES = 20, 34  # at most

_TEN = np.uint64(10)
_SECOND = 1_000_000_000


@njit(cache=True, nogil=True)
def _number(value, into, at):
    """Write a number from 0; where it ends."""
    rest, size = np.uint64(value), 1
    while rest >= _TEN:
        rest //= _TEN
        size += 1
    rest = np.uint64(value)
    for k in range(at + size - 1, at - 1, -1):
        into[k] = 48 + rest % _TEN
        rest //= _TEN
    return at + size


@njit(cache=True, nogil=True)
def _padded(value, size, into, at):
    """Write a number with zeros before it; where it ends."""
    rest = np.uint64(value)
    for k in range(at + size - 1, at - 1, -1):
        into[k] = 48 + rest % _TEN
        rest //= _TEN
    return at + size


@njit(cache=True, nogil=True)
def _second(second, into, at):
    """Write a time since 1970-01-01 [s] as 2026-01-31T23:59:59; where it ends.

    The calendar repeats every 400 years, 146097 days; counted from a 1 March, its leap days come last.
    """
    days = second // 86400 + 719_468  # since 0000-03-01
    era, day = days // 146_097, days % 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153  # 0: March
    day -= (153 * month + 2) // 5
    year += 400 * era + (month >= 10)
    rest = second % 86400
    at = _padded(year, 4, into, at)
    for mark, part in (
        (45, month + 3 if month < 10 else month - 9),
        (45, day + 1),
        (84, rest // 3600),
        (58, rest // 60 % 60),
        (58, rest % 60),
    ):
        into[at] = mark
        at = _padded(part, 2, into, at + 1)
    return at


@njit(cache=True, nogil=True)
def write(cells, kinds, optional, first, words, starts, row, widest, into):
    """Write lines of the columns `cells` (int64[columns, n]), from `row` on, into the bytes `into` until one of
    `widest` bytes might not fit: (row, bytes) reached.

    kinds: INT, TIME or TEXT of each column; optional: whether -1 is an empty cell, which it always is of text.
    Word w of column c is words[starts[first[c] + w] : starts[first[c] + w + 1]]. Years have four digits.
    """
    columns, n = cells.shape
    at = 0
    known, known_at = np.int64(0), -1  # the second that was written last, and where
    while row < n and at + widest <= into.size:
        for c in range(columns):
            value = cells[c, row]
            if kinds[c] == TEXT:
                if value >= 0:
                    for k in range(starts[first[c] + value], starts[first[c] + value + 1]):
                        into[at] = words[k]
                        at += 1
            elif value == -1 and optional[c]:
                pass
            elif kinds[c] == TIME:
                second = value // _SECOND
                if known_at >= 0 and second == known:
                    for k in range(19):
                        into[at + k] = into[known_at + k]
                else:
                    _second(second, into, at)
                known, known_at = second, at
                into[at + 19] = 46
                at = _padded(value - second * _SECOND, 9, into, at + 20)
                into[at] = 90
                at += 1
            else:
                if value < 0:
                    into[at] = 45
                    at += 1
                    value = -value
                at = _number(value, into, at)
            into[at] = 44
            at += 1
        into[at - 1] = 10
        row += 1
    return row, at
