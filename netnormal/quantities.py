"""Amounts in the words that people read: on the terminal, on pages, in pictures."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A length of time as people say it: 78 ms, 1.4 s, 3 min, 2.5 h."""
    for length, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    if seconds < 0.001:
        return "an instant"
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{1000 * seconds:.3g} ms"


def size(number: float) -> str:
    """A number of bytes as people say it: 512 bytes, 4.1 kB, 3.2 MB."""
    factor, unit = byte_unit(number)
    return f"{number / factor:.3g} {unit}" if factor > 1 else f"{number:,.0f} bytes"


def percent(value: float) -> str:
    return "<0.1 %" if 0 < value < 0.1 else f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def count(number: float) -> str:
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= 10 * factor:
            return f"{number / factor:,.3g}{unit}"
    return f"{number:,.0f}"


def count_tick(value: float, _: object = None) -> str:
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"


def byte_unit(largest: float) -> tuple[float, str]:
    return next(((f, u) for f, u in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if largest >= f), (1.0, "bytes"))


def bit_unit(largest: float) -> tuple[float, str]:
    """Factor and name; Mbit/s from 0.1 on, since that is what links are called by."""
    units = ((1e9, 1e9, "Gbit/s"), (1e5, 1e6, "Mbit/s"), (1e3, 1e3, "kbit/s"))
    return next(((factor, unit) for least, factor, unit in units if largest >= least), (1.0, "bit/s"))


def duration(seconds: float, one: str = "") -> str:
    """A length of time; of 1 min just the unit (\"packets per min\"), or after `one`."""
    for factor, unit in ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            number = seconds / factor
            return f"{one}{unit}" if number == 1 else f"{number:g} {unit}{'s' if unit == 'day' else ''}"
    return f"{seconds:g} s"
