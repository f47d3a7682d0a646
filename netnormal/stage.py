"""What all scripts share: common options, logging, progress, workers, and how a run ends."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from netnormal import settings
from netnormal.tables import InputError

log = logging.getLogger("netnormal")
terminal = Console(stderr=True)
T = TypeVar("T")


def parser(doc: str | None, **more: object) -> argparse.ArgumentParser:
    """An argument parser whose help is the script's docstring, with the options every script takes."""
    made = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        **more,  # type: ignore[arg-type]
    )
    common = made.add_argument_group("common options")
    common.add_argument("--params", default="params.yaml", metavar="FILE", help="settings (default: %(default)s)")
    common.add_argument(
        "--jobs",
        type=_jobs,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processors to use (default: all, %(default)s here)",
    )
    common.add_argument("-v", "--verbose", action="store_true", help="say more")
    common.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors and the last line")
    common.add_argument("--log-file", metavar="FILE", help="append everything said to FILE too, with times")
    return made


def _jobs(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processors: give 1 or more")
    return number


def number(low: float, kind: type[int] | type[float], what: str) -> Callable[[str], float]:
    """A type of argument: a number from `low` on but not 0; `what` names it where it is refused."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not low <= value < 1e9 or value == 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
        return value

    return parse


def run(main: Callable[[argparse.Namespace], str], arguments: argparse.ArgumentParser) -> NoReturn:
    """Parse, set up, call `main(args)`, print the sentence it returns, and exit.

    `args.settings` holds the checked params.yaml. Exit code 0; 1 after an InputError or SettingError, told in one line
    on stderr; 130 after Ctrl+C; a bug shows its traceback.
    """
    args = arguments.parse_args()
    name = Path(arguments.prog).name
    try:
        _set_up_logging(args)
        args.settings = settings.load(args.params)
        sentence = main(args)
    except (InputError, settings.SettingError) as error:
        log.debug("stopped", exc_info=True)
        line = f"{name}: {' '.join(str(error).split())}"
        log.info(line, extra={"file_only": True})
        print(line, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing was replaced", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    log.info(sentence, extra={"file_only": True})
    print(sentence)
    sys.exit(0)


def _set_up_logging(args: argparse.Namespace) -> None:
    level = logging.DEBUG if args.verbose else logging.ERROR if args.quiet else logging.INFO
    shown: logging.Handler
    if terminal.is_terminal:
        shown = RichHandler(console=terminal, show_time=False, show_path=False, show_level=args.verbose, markup=False)
    else:
        shown = logging.StreamHandler()
    shown.setLevel(level)
    shown.addFilter(lambda record: not getattr(record, "file_only", False))
    log.handlers = [shown]
    log.setLevel(logging.DEBUG)
    if args.log_file:
        try:
            kept = logging.FileHandler(args.log_file, encoding="utf-8")
        except OSError as error:
            raise InputError(
                args.log_file, f"cannot be written ({error.strerror})", "choose another --log-file"
            ) from error
        kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(kept)
    args.terminal = terminal.is_terminal and not args.quiet


def progress(items: Iterable[T], what: str, args: argparse.Namespace, total: int | None = None) -> Iterator[T]:
    """Pass `items` on, with a progress bar on a terminal (`total` steps where known)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal, transient=True, disable=not args.terminal) as bar:
        yield from bar.track(items, total=total, description=what)


@contextmanager
def workers(args: argparse.Namespace) -> Iterator[None]:
    """Within it numba and joblib use `args.jobs` processors. Results do not depend on their number."""
    import joblib
    import numba

    numba.set_num_threads(min(args.jobs, numba.get_num_threads()))
    with joblib.parallel_config(n_jobs=args.jobs):
        yield


class _Outliving(io.RawIOBase):
    """A file descriptor that may be written to when its reader has gone: then nobody reads it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return os.write(self._descriptor, data)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._descriptor)
            return len(data)


def outlive_reader() -> None:
    """Standard output and error may be pipes to a capture that is killed: what is said then is lost, and nothing else.

    Python, and what prints for us, would end the program.
    """
    for name in ("stdout", "stderr"):
        raw = _Outliving(getattr(sys, name).fileno())
        setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "replace", line_buffering=True))
