"""The one style of all pictures: colours, letters, axes, legends."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

MAX_PROTOCOLS = 5  # told apart by colour; the rest is "other"
ANOMALOUS = "#D55E00"

_LOCK = threading.RLock()  # matplotlib's style is global: one picture is drawn at a time
_PROTOCOL_COLOURS = {
    "TCP": "#0072B2",
    "UDP": "#E69F00",
    "ICMP": "#009E73",
    "ICMPv6": "#56B4E9",
    "ARP": "#CC79A7",
}
_MORE_COLOURS = ("#D55E00", "#8C6D31", "#7570B3", "#66A61E", "#A6761D")
_SEVERITY_COLOURS = {"critical": "#7B1E5B", "high": "#D55E00", "medium": "#E69F00", "low": "#56B4E9"}
_SEVERITY_DARK = _SEVERITY_COLOURS | {"critical": "#E47BC0"}


@dataclass(frozen=True)
class Look:
    """How a picture is to look: on a dark ground or a light one; for a page or for a phone's width."""

    dark: bool = False
    narrow: bool = False

    @property
    def width(self) -> float:
        return 4.3 if self.narrow else 8.6

    @property
    def text(self) -> str:
        return "#e6edf3" if self.dark else "#1f2933"

    @property
    def ground(self) -> str:
        return "#161b22" if self.dark else "#ffffff"

    @property
    def muted(self) -> str:
        return "#9aa7b4" if self.dark else "#5b6875"

    @property
    def plain(self) -> str:
        return "#6f9fd8" if self.dark else "#4c78a8"

    @property
    def severity(self) -> dict[str, str]:
        return _SEVERITY_DARK if self.dark else _SEVERITY_COLOURS

    def style(self) -> Any:
        grid = "#30363d" if self.dark else "#e3e8ee"
        return {
            "axes.grid": True,
            "axes.axisbelow": True,
            "patch.force_edgecolor": True,
            "xtick.bottom": False,
            "ytick.left": False,
            "font.family": "DejaVu Sans",  # matplotlib's own: the same letters on every machine
            "font.size": 9.5,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlepad": 8,
            "axes.labelsize": 9.5,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.fontsize": 8.5,
            "legend.frameon": False,
            "figure.facecolor": self.ground,
            "savefig.facecolor": self.ground,
            "axes.facecolor": self.ground,
            "axes.edgecolor": grid,
            "axes.labelcolor": self.muted,
            "axes.titlecolor": self.text,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "patch.edgecolor": self.ground,
            "text.color": self.text,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "grid.color": grid,
            "grid.linewidth": 0.7,
            "text.parse_math": False,  # a `$` in a name from the network is a dollar sign
            "date.converter": "concise",
            "timezone": "UTC",
        }


LIGHT = Look()
LOOKS = {
    "light": LIGHT,
    "dark": Look(dark=True),
    "narrow": Look(narrow=True),
    "narrow_dark": Look(dark=True, narrow=True),
}


class Picture(Figure):
    """A figure that keeps its look until it is saved (matplotlib makes ticks only then)."""

    def __init__(self, look: Look, height: float) -> None:
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
        super().__init__(figsize=(look.width, height), layout=layout)
        self.look = look
        FigureCanvasAgg(self)

    def savefig(self, *args: Any, **more: Any) -> None:
        with _LOCK, matplotlib.rc_context(self.look.style()):
            super().savefig(*args, **more)

    def png(self, dpi: int) -> bytes:
        """The picture as PNG without a date or a program's name inside."""
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
        return out.getvalue()


@contextlib.contextmanager
def picture(look: Look, height: float) -> Iterator[Picture]:
    with _LOCK, matplotlib.rc_context(look.style()):
        yield Picture(look, height)


def label(text: object, longest: int) -> str:
    """A name from the network, fit for a picture: letters the font has, one line, not too long."""
    shown = "".join(c if c.isprintable() and ord(c) < 0x250 else "?" for c in str(text))
    return shown if len(shown) <= longest else f"{shown[: longest // 2]}…{shown[-(longest - longest // 2 - 1) :]}"


def time_axis(axes: Axes, times: pd.Series, bin_s: float, margin: float = 0.0) -> None:
    """A time axis from the first of `times` to `bin_s` after the last, labelled in UTC with its date."""
    if not len(times):
        axes.set_xticks([])
        axes.set_xlabel("time (UTC)")
        return
    low, high = int(times.min()), int(times.max()) + round(bin_s * 1e9)
    pad = round(margin * (high - low))
    if high - low < 10**6:  # one moment: half a second around it
        pad = 5 * 10**8
    left, right = dates(np.array([low - pad, high + pad]))
    axes.set_xlim(float(left), float(right))
    wide = axes.figure.get_figwidth() > 6 and len(axes.figure.axes) < 3  # type: ignore[union-attr]
    least, most = (5, 10) if wide else (3, 5)
    if wide and high - low < 120 * 10**9:  # longer labels: seconds, or parts of them
        least, most = (4, 7) if high - low > 5 * 10**9 else (3, 5)
    locator = mdates.AutoDateLocator(tz="UTC", minticks=least, maxticks=most)
    for unit in (mdates.MINUTELY, mdates.SECONDLY):
        locator.intervald[unit] = [1, 2, 5, 10, 15, 30]
    formatter = mdates.ConciseDateFormatter(
        locator,
        tz="UTC",
        formats=["%Y", "%b", "%b %d", "%H:%M", "%H:%M", "%H:%M:%S.%f"],
        zero_formats=["", "%Y", "%b %d", "%b %d", "%H:%M", "%H:%M:%S"],
        show_offset=False,
    )
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    first, last = (str(np.datetime64(t, "ns"))[:10] for t in (low, high))
    axes.set_xlabel(f"time (UTC), {first}" + (f" to {last}" if last != first else ""))


def dates(times_ns: np.ndarray) -> np.ndarray:
    return mdates.date2num(np.asarray(times_ns, np.int64).astype("datetime64[ns]"))


def bin_edges(series: pd.DataFrame, bin_s: float) -> np.ndarray:
    times = series["time"].to_numpy()
    return dates(np.append(times, times[-1] + round(bin_s * 1e9))) if len(times) else np.array([0.0])


def spans(axes: Axes, incidents: pd.DataFrame, y: Sequence[float], colour: str, least_s: float, height: float) -> None:
    """A bar for each incident at height `y`, at least `least_s` long so that it can be seen."""
    if not len(incidents):
        return
    start, end = incidents["start"].to_numpy(), incidents["end"].to_numpy()
    short = np.maximum(round(least_s * 1e9) - (end - start), 0)
    left = dates(start - short // 2)
    axes.barh(np.asarray(y), dates(end + short - short // 2) - left, left=left, height=height, color=colour)


def grid(axes: Axes, which: str) -> None:
    axes.grid(False)
    axes.grid(True, axis=which)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def say(axes: Axes, words: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", size=11, alpha=0.8)


def legend(figure: Picture, entries: Sequence[tuple[str, str]]) -> None:
    """What each colour stands for, by name."""
    place_legend(figure, [Patch(color=colour, label=name) for name, colour in entries])


def place_legend(figure: Picture, handles: Sequence[Artist], length: float = 1.0, narrow_columns: int = 4) -> None:
    """A legend where no data is: beside the title, or below everything on a narrow picture. length : of what stands
    before each name, in letters."""
    more: dict[str, Any] = {"handles": handles, "handlelength": length, "columnspacing": 1.2, "borderaxespad": 0.3}
    if figure.look.narrow:
        figure.legend(loc="outside lower left", ncols=narrow_columns, **more)
    else:
        figure.axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles), **more)


def log_ticks(axis: Any, low: float, high: float) -> None:
    """1, 10, 100 …, and 2 and 5 between them where there is room."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 3 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) < 2:  # all in less than a decade: round numbers, evenly spread
        inside = [tick for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high]
    axis.set_major_locator(FixedLocator(inside))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def top(table: pd.DataFrame, key: str, count: int = MAX_PROTOCOLS) -> pd.DataFrame:
    """The `count` rows with the largest second column, and their remainder summed up as "other"."""
    by = next(name for name in table.columns if name != key)
    table = table.sort_values([by, key], ascending=[False, True], kind="stable")
    if len(table) <= count + 1:
        return table
    numbers = [name for name in table.columns if name != key]
    rest = table.iloc[count:][numbers].sum().to_frame().T.assign(**{key: "other"})
    return pd.concat([table.head(count).astype({key: object}), rest[list(table.columns)]], ignore_index=True)


def protocol_colours(names: Iterable[str], look: Look) -> list[str]:
    """One colour a protocol, the same in every picture for the usual ones."""
    spare = iter(_MORE_COLOURS)
    chosen = [look.muted if n == "other" else _PROTOCOL_COLOURS.get(n) or next(spare, look.muted) for n in names]
    return [mix(colour, "#ffffff", 0.2) if look.dark else colour for colour in chosen]


def mix(colour: str, other: str, share: float) -> str:
    one, two = (np.array(matplotlib.colors.to_rgb(c)) for c in (colour, other))
    red, green, blue = (1 - share) * one + share * two
    return matplotlib.colors.to_hex((red, green, blue))


def ramp(look: Look, colour: str) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("ramp", [mix(look.ground, colour, 0.25), colour])


def total_by(table: pd.DataFrame, key: str, column: str) -> pd.DataFrame:
    """`column` summed up for each `key`."""
    return table.groupby(key, observed=True)[column].sum().reset_index()
