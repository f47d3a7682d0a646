"""Reading and writing the files of the pipeline: in blocks, checked, and replaced only when whole."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from netnormal.tables.columns import Column, InputError, Schema
from netnormal.tables.rows import Speller, can_spell

BLOCK_BYTES = 32 << 20  # read at one go; has no meaning, results never depend on it
_INVALID_PYARROW = (pa.ArrowInvalid, pa.ArrowKeyError)
_ARROW_TYPES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.dictionary(pa.int32(), pa.string()),
    "time": pa.timestamp("ns", "UTC"),
}


# ---------------------------------------------------------------- whole or not at all


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`; becomes `path` when the block ends well, and disappears when it does not."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        why = "its folder is a file" if isinstance(error, FileExistsError) else error.strerror
        raise InputError(target, f"cannot be written ({why})", "choose another --output") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; what we write is for sharing
        temporary.replace(target)
    except OSError as error:
        raise InputError(
            target, f"cannot be written ({error.strerror})", "make room or choose another --output"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it no other process is: for who reads `path`, changes it and writes it again. Waits for its turn.

    The folder is what is locked, since `atomic` replaces the file. Only where the system has such locks (POSIX).
    """
    folder = Path(path).resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY) if os.name == "posix" else -1
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "make its folder writable") from error
    try:
        if held >= 0:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        if held >= 0:
            os.close(held)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN becomes null."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read_json(path: str | os.PathLike[str], remedy: str) -> dict[str, Any]:
    """The JSON object in `path`. Raises InputError, with `remedy`, where there is none."""
    try:
        value = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(path, _os_words(error), remedy) from error
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not JSON ({error})", remedy) from error
    if not isinstance(value, dict):
        raise InputError(path, "is not a JSON object", remedy)
    return value


# ---------------------------------------------------------------- tables in memory


def iso(time_ns: int) -> str:
    """Nanoseconds UTC as ISO 8601 with `Z`, nine decimals."""
    return f"{np.datetime64(int(time_ns), 'ns')}Z"


def nanoseconds(text: str) -> int:
    """What `iso` writes as nanoseconds UTC. Raises ValueError if it is no time."""
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))


def empty(schema: Schema) -> pd.DataFrame:
    """A table of `schema` without rows."""
    return _to_frame(pa.table({c.name: pa.array([], _ARROW_TYPES[c.kind]) for c in schema}), schema, "", 0)


def concat(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables with the same columns, one below the other; categories are united in order of first appearance."""
    parts = list(tables)
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for name in parts[0].columns:
        series = [part[name] for part in parts]
        if isinstance(series[0].dtype, pd.CategoricalDtype):
            columns[name] = pd.api.types.union_categoricals([s.array for s in series])
        else:
            columns[name] = np.concatenate([s.to_numpy() for s in series])
    return pd.DataFrame(columns, copy=False)


def _to_frame(table: pa.Table, schema: Schema, where: object, first_row: int) -> pd.DataFrame:
    known = {column.name: column for column in schema}
    columns: dict[str, Any] = {}
    for name in table.column_names:
        cells = table.column(name)
        column = known.get(name, Column(name, "text", "", empty="always allowed"))
        if cells.null_count and not column.optional and column.kind != "float":
            row = first_row + pc.index(pc.is_null(cells), True).as_py() + 1
            raise InputError(where, f"row {row:,}: `{name}` is empty", _write_again(schema))
        if column.kind == "text":
            cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
            codes = cells.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            columns[name] = pd.Categorical.from_codes(codes, pd.Index(cells.dictionary.to_pylist(), dtype="str"))
        elif column.kind == "float":
            columns[name] = _checked(cells.to_numpy().astype(np.float64), column, where, first_row, schema)
        else:
            numbers = (cells.cast(pa.int64()) if column.kind == "time" else cells).fill_null(-1).to_numpy()
            columns[name] = _checked(numbers, column, where, first_row, schema)
    return pd.DataFrame(columns, copy=False)


def _checked(values: np.ndarray, column: Column, where: object, first_row: int, schema: Schema) -> np.ndarray:
    bad = np.zeros(len(values), dtype=bool)
    if column.kind == "float":
        bad |= np.isinf(values)
    if column.low is not None:
        bad |= values < column.low
    if column.high is not None:
        bad |= values > column.high
    if column.optional:
        bad &= values != -1
    if bad.any():
        row = int(bad.argmax())
        limits = f"{'any' if column.low is None else column.low:g} to {'any' if column.high is None else column.high}"
        raise InputError(
            where, f"row {first_row + row + 1:,}: `{column.name}` is {values[row]}, not {limits}", _write_again(schema)
        )
    return values


# ---------------------------------------------------------------- reading


def _write_again(schema: Schema) -> str:
    return f"write it again with  {schema.stage}" if schema.stage.startswith("python") else "correct the file"


def _os_words(error: OSError) -> str:
    return "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"


@contextlib.contextmanager
def _opened(path: Path, schema: Schema | None) -> Iterator[pa.NativeFile]:
    """The bytes of a file, unpacked if they are gzip.

    Arrow's own streams, since its reader of CSV reads ahead in a thread: were that to come back to Python for bytes
    while the process ends, Python would end the thread inside C++, which aborts the process.
    """
    remedy = _write_again(schema) if schema else "name another file"
    if schema and schema.stage.startswith("python") and not path.exists():
        remedy = f"make it with  {schema.stage}"
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with pa.CompressedInputStream(str(path), "gzip") if packed else pa.OSFile(str(path)) as stream:
            yield stream
    except OSError as error:
        words = _os_words(error) if error.errno else f"is damaged gzip ({error})"
        raise InputError(path, words, remedy) from error


def _header(path: Path, schema: Schema | None) -> list[str]:
    with _opened(path, schema) as stream:
        line = stream.read(1 << 20).partition(b"\n")[0]
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not text", "give a CSV file with one header line") from error
    if "\0" in text:
        raise InputError(path, "is not text", "give a CSV file with one header line")
    return next(csv.reader([text]), [])


def identify(path: str | os.PathLike[str], schemas: Iterable[Schema]) -> Schema:
    """Which of `schemas` the CSV file `path` follows, by its header: the one with the fewest columns missing.

    Raises InputError if it lacks columns of each.
    """
    path = Path(path)
    header = set(_header(path, None))
    required = {schema.name: [n for n in schema.names if n not in header] for schema in schemas}
    best = min(schemas, key=lambda schema: len(required[schema.name]) / len(schema.names))
    if required[best.name]:
        named = ", ".join(required[best.name][:5]) + (" …" if len(required[best.name]) > 5 else "")
        kinds = " or ".join(schema.name for schema in schemas)
        raise InputError(path, f"is neither {kinds} (nearest: {best.name}, which needs {named})", _write_again(best))
    return best


def blocks(path: str | os.PathLike[str], schema: Schema, block_bytes: int = BLOCK_BYTES) -> Iterator[pd.DataFrame]:
    """The rows of a CSV (or .csv.gz) file as tables of `schema`, a block at a time, checked.

    Columns beyond the schema come along as text if the schema carries them, else they are skipped.
    Raises InputError if the file is missing, damaged, lacks a column, or has a cell that is no value of its column.
    """
    path = Path(path)
    header = _header(path, schema)
    if not any(header):
        raise InputError(path, "is empty", _write_again(schema))
    missing = [name for name in schema.names if name not in header]
    if missing:
        raise InputError(
            path, f"no column {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}", _write_again(schema)
        )
    if len(set(header)) < len(header):
        raise InputError(path, "has two columns of the same name", _write_again(schema))
    row = 0
    with _opened(path, schema) as stream:
        for table in _parsed(stream, header, schema, path, block_bytes):
            yield _to_frame(table, schema, path, row)
            row += table.num_rows


def parse(data: bytes, header: str, schema: Schema, where: object) -> pd.DataFrame:
    """Whole lines of a CSV file as one table of `schema`; `header` is the file's first line, `where` its name.

    For who reads a growing file piece by piece. Raises InputError as `blocks` does.
    """
    names = next(csv.reader([header.rstrip("\r\n")]), [])
    missing = [name for name in schema.names if name not in names]
    if missing or len(set(names)) < len(names):
        words = f"no column {', '.join(missing[:5])}" if missing else "has two columns of the same name"
        raise InputError(where, words, _write_again(schema))
    stream = pa.BufferReader(header.rstrip("\r\n").encode() + b"\n" + data)
    parts = [_to_frame(table, schema, where, 0) for table in _parsed(stream, names, schema, where, BLOCK_BYTES)]
    return concat(parts) if parts else empty(schema)


def _parsed(
    stream: pa.NativeFile, header: list[str], schema: Schema, where: object, block_bytes: int
) -> Iterator[pa.Table]:
    wanted = header if schema.carries else [name for name in header if name in set(schema.names)]
    types = {name: pa.dictionary(pa.int32(), pa.string()) for name in wanted}
    types |= {column.name: _ARROW_TYPES[column.kind] for column in schema}
    options = pa_csv.ConvertOptions(
        column_types=types,
        include_columns=wanted,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    row = 0
    try:
        with pa_csv.open_csv(
            stream,
            read_options=pa_csv.ReadOptions(block_size=block_bytes, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=schema.prose),
            convert_options=options,
        ) as reader:
            for batch in reader:
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])
                    row += batch.num_rows
    except _INVALID_PYARROW as error:
        words = str(error).splitlines()[0].removeprefix("In ")
        raise InputError(where, f"after row {row:,}: {words}", _write_again(schema)) from error


def read(path: str | os.PathLike[str], schema: Schema) -> pd.DataFrame:
    """All rows of a CSV file as one table; see `blocks`."""
    parts = list(blocks(path, schema))
    return concat(parts) if parts else empty(schema)


# ---------------------------------------------------------------- writing


class Writer:
    """Appends tables of one schema to an open file. `rows` counts what was appended.

    names: the columns of the header line that is there already; None: it is written first.
    """

    def __init__(self, stream: Any, schema: Schema, names: list[str] | None = None) -> None:
        self.stream, self.schema, self.rows = stream, schema, 0
        self._names = names
        self._speller = Speller(schema) if can_spell(schema) and not schema.carries else None

    def append(self, table: pd.DataFrame) -> None:
        """Write the rows of `table`; its columns beyond the schema too, if the schema carries them."""
        if self._names is None:
            extra = [name for name in table.columns if name not in self.schema.names] if self.schema.carries else []
            self._names = self.schema.names + extra
            self.stream.write((",".join(_quoted(name) for name in self._names) + "\n").encode())
        self.rows += len(table)
        if self._speller:
            for piece in self._speller.lines(table):
                self.stream.write(piece)
            return
        columns = {name: self._cells(name, table[name]) for name in self._names}
        if self.schema.prose:
            text = io.StringIO()
            pa.table(columns).to_pandas(integer_object_nulls=True).to_csv(
                text, header=False, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n"
            )
            self.stream.write(text.getvalue().encode())
        else:
            options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
            pa_csv.write_csv(pa.table(columns), self.stream, options)

    def close(self) -> None:
        if self._names is None:
            self.append(empty(self.schema))

    def _cells(self, name: str, values: pd.Series) -> pa.Array:
        column = next((c for c in self.schema if c.name == name), Column(name, "text", "", empty="always allowed"))
        if column.kind == "text":
            return pa.array(values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("string"))
        if column.kind == "float":
            numbers = values.to_numpy(np.float64)
            rounded = numbers if column.decimals is None else np.round(numbers, column.decimals)
            return pa.array(rounded + 0.0, from_pandas=True)  # + 0.0: no minus zero in files
        numbers = values.to_numpy(np.int64)
        if column.kind == "time":
            words = pa.array(numbers, pa.timestamp("ns", "UTC")).cast(pa.string())
            return pc.utf8_replace_slice(words, 10, 11, "T")
        return pa.array(numbers, mask=numbers == -1) if column.optional else pa.array(numbers)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"\r\n') else name


@contextlib.contextmanager
def writer(path: str | os.PathLike[str], schema: Schema) -> Iterator[Writer]:
    """A `Writer` to a temporary file that becomes `path` when the block ends well; gzip if `path` ends in .gz."""
    with atomic(path) as temporary, contextlib.ExitStack() as stack:
        stream: Any = stack.enter_context(temporary.open("wb"))
        if str(path).endswith(".gz"):  # no name and no clock inside, so that equal tables are equal files
            stream = stack.enter_context(gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0))
        out = Writer(stream, schema)
        yield out
        out.close()


def write(path: str | os.PathLike[str], schema: Schema, table: pd.DataFrame) -> None:
    """Write one table, atomically."""
    with writer(path, schema) as out:
        out.append(table)


def text(schema: Schema, table: pd.DataFrame) -> str:
    """What `write` would write."""
    stream = io.BytesIO()
    out = Writer(stream, schema)
    out.append(table)
    return stream.getvalue().decode()
