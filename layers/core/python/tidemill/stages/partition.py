"""Prepare, first half: one upload becomes one partition, cleaned once, in memory that does not grow with it.

Blocks of the file are worked on at once, and written in their order: rows as Parquet, the same rows encoded as .npy,
what cannot be used to quarantine/. accepted + quarantined + duplicates = rows read, always.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from tidemill.encoding import MISSING, UNKNOWN
from tidemill.errors import InvalidInput, InvalidUpload
from tidemill.profile import Profile, ProfileBuilder, Summary, level_counts, profile
from tidemill.schema import Column, Levels, Schema, extend
from tidemill.spec import ModelSpec
from tidemill.stages import npy
from tidemill.stages.classes import class_codes, class_texts
from tidemill.stages.clean import EXAMPLES, Cleaned, Plan, clean, summarised
from tidemill.stages.columns import ENOUGH, Values, expected, read
from tidemill.stages.dataset import Part
from tidemill.stages.evolution import Finding, Misread, compare_header, compare_profiles, heaviest_first
from tidemill.stages.leakage import decoded, find, redundant
from tidemill.stages.model_schema import (
    MAX_CATEGORIES,
    MAX_CLASSES,
    check_metric,
    first_schema,
    later_schema,
    same_model,
    settled,
)
from tidemill.stages.ordered import in_order
from tidemill.stages.spill import WINDOW, Repeats, RowIndex, copy_keys
from tidemill.stages.tables import Table, check_rows

SHOWN = 200
"""Findings of the quarantine that the report shows."""
_MOST_SAMPLED = 50_000
"""Rows that are kept to look for columns that give the target away."""
_MOST_REASONS = 50


@dataclass(frozen=True)
class Partition:
    """What one upload came to, in files of `folder`; `invalid` says why nothing of it may be accepted.

    part-0.parquet · quarantine/part-0.parquet · matrix.npy (n, k) float32 · target.npy (n,) class codes or values ·
    keys.npy (n,) uint64 · moments.npy (n,) int64 where the model has a time column.
    """

    folder: Path
    schema: Schema
    names: tuple[str, ...]
    rows: int
    profile: Profile
    account: Mapping[str, Any]
    examples: tuple[Mapping[str, Any], ...]
    shown: Sequence[Mapping[str, Any]]
    invalid: tuple[str, ...]

    @property
    def files(self) -> list[str]:
        """Names of what there is, below the folder."""
        kept = ("part-0.parquet", "quarantine/part-0.parquet", "matrix.npy", "target.npy", "keys.npy", "moments.npy")
        return [name for name in kept if (self.folder / name).exists()]

    def part(self, content: str) -> Part:
        """As a part of a data set, under the name that its content gives it."""
        return Part(content, self.names, self.rows, self.profile, self.examples, lambda name: self.folder / name)


@dataclass(frozen=True)
class Before:
    """What the model has accepted already, in so many uploads; `previous` is the content of the last one."""

    schema: Schema
    profile: Profile
    previous: str | None = None
    uploads: int = 1


def make_partition(
    table: Table, spec: ModelSpec, before: Before | None, folder: Path, *, size: int, requests: bool = False
) -> Partition:
    """Raises `InvalidInput` where there is no use in reading the rows; what the rows show comes back as `invalid`.

    `requests`: the rows are what the endpoint answered, so that a feature which none of them sent is no fault.
    """
    if before:
        known = same_model(before.schema, spec)
        schema = later_schema(known, table, spec)
        header = compare_header(known, table.names, spec, before.profile, _head_profile(table, schema, known))
        vital = {column.name for column in known.columns if column.role in ("target", "id", "time")}
        if not vital <= set(table.names):
            raise InvalidUpload([finding.sentence for finding in header if finding.weight == "fail"])
        return _attempt(table, spec, schema, replace(before, schema=known), header, folder, size, requests)
    widened: set[str] = set()
    while True:
        schema = first_schema(table, spec, widened)
        try:
            return _attempt(table, spec, schema, None, [], folder, size, requests)
        except _Misjudged as error:
            widened |= error.columns


def _head_profile(table: Table, schema: Schema, known: Schema) -> Profile:
    """Of the columns that the file has for the first time, one of which may be an old one under a new name."""
    new = [c for c in schema.columns if not known.column(c.name) and c.role != "unused"]
    values = {column.name: read(table.head.columns[column.name], column).values for column in new}
    return profile(values, {column.name: column.kind for column in new})


class _Misjudged(Exception):
    """Columns that the head of a first upload shows as something that its other rows are not."""

    def __init__(self, columns: set[str]) -> None:
        super().__init__(", ".join(sorted(columns)))
        self.columns = columns


def _attempt(
    table: Table,
    spec: ModelSpec,
    schema: Schema,
    before: Before | None,
    header: Sequence[Finding],
    folder: Path,
    size: int,
    requests: bool,
) -> Partition:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "quarantine").mkdir(parents=True)
    plan = Plan.of(table, schema)
    work = _Work(plan, folder, table.name)
    with work:
        for cleaned in in_order(lambda block: clean(table, block, plan), table.blocks()):
            work.add(cleaned)
    if before is None and not table.whole:
        _check_kinds(work, spec)
    duplicates, copies = work.told_apart() if work.rows else (0, 0)
    seen = work.profile()
    schema = work.schema()
    findings = [*header, *_of_file(table, work, before, duplicates, copies)]
    findings += compare_profiles(
        before.profile if before else None,
        seen,
        before.schema if before else schema,
        spec,
        misread=_misread(work),
        uploads=before.uploads if before else 1,
    )
    invalid = _too_many_rejected(table.name, spec, work, duplicates)
    if work.rows:
        try:
            schema = settled(schema, spec, work.target.seen)
            check_metric(spec, schema.task)
            findings += _leaks(work, schema)
            work.write_target(schema)
        except InvalidInput as error:
            invalid += error.problems
    if requests:
        findings = [replace(each, weight="note") if each.kind == "all_missing" else each for each in findings]
    findings = heaviest_first(findings)
    invalid += [finding.sentence for finding in findings if finding.weight == "fail"]
    account = {
        "source": table.name,
        "description": table.description,
        "bytes": size,
        "rows_read": work.rows_read,
        "accepted": 0 if invalid else work.rows,
        "quarantined": work.rows_read - work.rows - duplicates,
        "duplicates": duplicates,
        **work.reasons(),
        "findings": [asdict(finding) for finding in findings],
        **({"invalid": invalid} if invalid else {}),
        "columns": [{"name": c.name, "kind": c.kind, "role": c.role, "note": c.note} for c in schema.columns],
        "previous": before.previous if before else None,
    }
    return Partition(folder, schema, plan.names, work.rows, seen, account, work.examples(), work.shown, tuple(invalid))


class _Target:
    """The target as numbers until all classes are known: of a number itself, of a word its place in `seen`."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.seen: dict[str | float, int] = {}

    def add(self, values: Values) -> npt.NDArray[np.float64]:
        if isinstance(values, Levels):
            for code in np.flatnonzero(np.bincount(values.codes, minlength=len(values.names))).tolist():
                self.seen.setdefault(values.names[code], len(self.seen))
            places = np.array([self.seen.get(name, -1) for name in values.names], dtype=np.float64)
            return places[values.codes]
        if len(self.seen) <= MAX_CLASSES:
            found = np.unique(values)
            for value in (found if self._column.kind == "numeric" else class_texts(found, "boolean")).tolist():
                self.seen.setdefault(value, len(self.seen))
        return np.asarray(values, dtype=np.float64)

    def codes(self, raw: npt.NDArray[np.float64], schema: Schema) -> npt.NDArray[np.float64]:
        """What `add` returned, as codes of the schema's classes."""
        if schema.task == "regression":
            return raw
        if self._column.kind != "categorical":
            return class_codes(raw, self._column.kind, schema.classes)
        places = [schema.classes.index(str(name)) for name in self.seen]
        return np.asarray(np.array(places, dtype=np.float64)[raw.astype(np.int64)])


class _Work:
    """The files of a partition while they are written, and all that is counted on the way."""

    def __init__(self, plan: Plan, folder: Path, source: str) -> None:
        self.plan, self._folder, self._source = plan, folder, source
        self.rows_read = self.rows = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.shown: list[dict[str, Any]] = []
        self.target = _Target(plan.schema.target)
        self.overflowing: dict[str, int] = {}
        self._first: dict[tuple[str, str], dict[str, Any]] = {}
        self._vocabulary = {
            c.name: {name: code for code, name in enumerate(c.vocabulary)}
            for c in plan.encoded.columns
            if c.kind == "categorical"
        }
        self._profile = ProfileBuilder()
        self._examples: list[tuple[int, Mapping[str, object]]] = []
        self._sample: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]] = []
        self._every = 1
        self._index = RowIndex(folder / "index")
        self._arrays = {
            "matrix": npy.Writer(folder / "matrix.npy", np.float32, len(plan.names)),
            "hashes": npy.Writer(folder / "hashes.npy", np.uint64),
            "raw": npy.Writer(folder / "raw.npy", np.float64),
        }
        if plan.schema.of_role("time"):
            self._arrays["moments"] = npy.Writer(folder / "moments.npy", np.int64)
        self._parquet = _parquet_writer(folder / "part-0.parquet", plan.parquet, plan)
        self._quarantine: pyarrow.parquet.ParquetWriter | None = None

    def __enter__(self) -> "_Work":
        return self

    def __exit__(self, *_: object) -> None:
        for array in self._arrays.values():
            array.close()
        self._index.close()
        self._parquet.close()
        if self._quarantine:
            self._quarantine.close()

    def add(self, cleaned: Cleaned) -> None:
        if cleaned.rejected.num_rows:
            self._reject(cleaned.rejected)
        self.rows_read += cleaned.rows_read
        check_rows(self._source, self.rows_read)
        if not cleaned.usable:
            return
        for name, levels in cleaned.unknown.items():
            self._learn(name, levels, cleaned.matrix)
        raw = self.target.add(cleaned.target)
        self._parquet.write_table(cleaned.table)
        self._index.add(cleaned.hashes)
        for name, rows in (("matrix", cleaned.matrix), ("hashes", cleaned.hashes), ("raw", raw)):
            self._arrays[name].add(rows)
        if cleaned.moments is not None:
            self._arrays["moments"].add(cleaned.moments)
        self._examples += [(self.rows + row, example) for row, example in cleaned.examples]
        self._profile.add(cleaned.summaries)
        self._sample.append((cleaned.matrix[:: self._every].copy(), raw[:: self._every].copy()))
        if sum(len(some) for _, some in self._sample) > _MOST_SAMPLED:
            self._every *= 2
            self._sample = [(matrix[::2].copy(), some[::2].copy()) for matrix, some in self._sample]
        self.rows += cleaned.usable

    def _reject(self, rejected: pa.Table) -> None:
        rows = pc.add(rejected["row"], self.rows_read)
        rejected = rejected.set_column(0, "row", rows).sort_by("row")
        for entry in rejected.to_pylist():
            kind = (entry["column"], entry["reason"])
            self.counts[kind] += 1
            self._first.setdefault(kind, entry)
        self.shown += rejected.slice(0, max(0, SHOWN - len(self.shown))).to_pylist()
        rejected = rejected.add_column(0, "file", pa.array([self._source] * rejected.num_rows, pa.string()))
        if self._quarantine is None:
            path = self._folder / "quarantine" / "part-0.parquet"
            self._quarantine = pyarrow.parquet.ParquetWriter(path, rejected.schema, compression="zstd")
        self._quarantine.write_table(rejected)

    def _learn(self, name: str, levels: Levels, matrix: npt.NDArray[np.float32]) -> None:
        """Codes for the categories that are new, in the order of their coming, while there is room."""
        vocabulary = self._vocabulary[name]
        times = level_counts(levels, "categorical")
        codes = np.full(len(levels.names) + 1, UNKNOWN)
        codes[-1] = MISSING
        for place, level in enumerate(levels.names):
            if level not in vocabulary and times[level]:
                if len(vocabulary) < MAX_CATEGORIES:
                    vocabulary[level] = len(vocabulary)
                else:
                    self.overflowing[name] = self.overflowing.get(name, 0) + times[level]
            codes[place] = vocabulary.get(level, UNKNOWN)
        matrix[:, self.plan.names.index(f"categorical:{name}")] = codes[levels.codes]

    def told_apart(self) -> tuple[int, int]:
        """Leave out rows whose id comes again, and write a key a row; how many were left out, and how many are copies
        of others and were kept."""
        if self.plan.schema.of_role("id"):
            alive = np.ones(self.rows, dtype=bool)
            for repeats in self._index.repeats():
                alive[repeats.rows[~repeats.last]] = False
            (self._folder / "hashes.npy").rename(self._folder / "keys.npy")
            dead = int(len(alive) - alive.sum())
            if dead:
                self._compact(alive)
            return dead, 0
        return 0, self._write_keys(self._index.repeats())

    def _write_keys(self, repeats: Iterator[Repeats]) -> int:
        copies = 0
        hashes = npy.windows(self._folder / "hashes.npy", WINDOW)
        pending = next(repeats, None)
        with npy.Writer(self._folder / "keys.npy", np.uint64) as keys:
            for start, window in zip(count(0, WINDOW), hashes, strict=False):
                if pending is not None and pending.rows[0] < start + len(window):
                    places = pending.rows - start
                    window[places] = copy_keys(window[places], pending.places)
                    copies += int((pending.places > 0).sum())
                    pending = next(repeats, None)
                keys.add(window)
        (self._folder / "hashes.npy").unlink()
        return copies

    def _compact(self, alive: npt.NDArray[np.bool_]) -> None:
        paths = [self._folder / f"{name}.npy" for name in ("matrix", "keys", "raw", "moments")]
        for _ in in_order(lambda path: npy.filtered(path, alive), filter(Path.exists, paths)):
            pass
        path, new = self._folder / "part-0.parquet", self._folder / "part-0.new"
        self._profile = ProfileBuilder()
        with _parquet_writer(new, self.plan.parquet, self.plan) as writer:
            for table, summaries in in_order(self._kept, self._groups(path, alive)):
                writer.write_table(table)
                self._profile.add(summaries)
        new.replace(path)
        self._examples = [
            (int(np.count_nonzero(alive[:row])), example) for row, example in self._examples if alive[row]
        ]
        self.rows = int(alive.sum())

    def _groups(self, path: Path, alive: npt.NDArray[np.bool_]) -> Iterator[tuple[pa.Table, npt.NDArray[np.bool_]]]:
        start = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, use_threads=False)
                kept = alive[start : (start := start + table.num_rows)]
                if kept.any():
                    yield table, kept

    def _kept(self, group: tuple[pa.Table, npt.NDArray[np.bool_]]) -> tuple[pa.Table, dict[str, Summary]]:
        table = group[0].filter(pa.array(group[1])).combine_chunks()
        values = {column.name: read(table[column.name], column).values for column in self.plan.columns}
        return table, summarised(self.plan, values)

    def profile(self) -> Profile:
        return self._profile.profile(self.rows)

    def schema(self) -> Schema:
        """The plan's, with all categories that were found."""
        columns = (
            extend(c, list(self._vocabulary[c.name])) if c.name in self._vocabulary else c
            for c in self.plan.schema.columns
        )
        return replace(self.plan.schema, columns=tuple(columns))

    def write_target(self, schema: Schema) -> None:
        raw = self._folder / "raw.npy"
        with npy.Writer(self._folder / "target.npy", np.float64) as target:
            for window in npy.windows(raw):
                target.add(self.target.codes(window, schema))
        raw.unlink()

    def sample(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Rows, evenly spread, of the matrix and of the target as it was added."""
        return np.concatenate([rows for rows, _ in self._sample]), np.concatenate([raw for _, raw in self._sample])

    def examples(self) -> tuple[Mapping[str, Any], ...]:
        chosen = npy.spread(len(self._examples), EXAMPLES).tolist()
        return tuple({"at": self._examples[i][0], "row": self._examples[i][1]} for i in chosen)

    def reasons(self) -> dict[str, Any]:
        ranked = self.counts.most_common()
        shown = [
            {"column": column, "reason": reason, "rows": times}
            | {key: self._first[column, reason][key] for key in ("row", "line", "value")}
            for (column, reason), times in ranked[:_MOST_REASONS]
        ]
        return {"reasons": shown, "more_reasons": max(0, len(ranked) - _MOST_REASONS)}


def _parquet_writer(path: Path, schema: pa.Schema, plan: Plan) -> pyarrow.parquet.ParquetWriter:
    """Numbers hardly ever repeat, and hardly ever come in order: a dictionary or statistics of them cost time and save
    nothing. Snappy takes two thirds of the time of zstd, for a quarter more bytes."""
    few = [c.name for c in plan.columns if c.kind == "categorical" and c.role != "id"]
    dates = [c.name for c in plan.columns if c.kind == "datetime"]
    return pyarrow.parquet.ParquetWriter(path, schema, compression="snappy", use_dictionary=few, write_statistics=dates)


def _check_kinds(work: _Work, spec: ModelSpec) -> None:
    """More bad values in a column than its kind may have: the head was not like the rest."""
    wrong = {
        column.name
        for column in work.plan.columns
        if column.kind != "categorical"
        and not (column.name in spec.columns and spec.columns[column.name].kind)
        and work.counts[column.name, f"is not {expected(column)}"] > (1 - ENOUGH) * work.rows_read
    }
    if wrong:
        raise _Misjudged(wrong)


def _of_file(table: Table, work: _Work, before: Before | None, duplicates: int, copies: int) -> Iterator[Finding]:
    for warning in table.warnings:
        yield Finding("warn", "encoding", None, warning, "look whether its text is right")
    if duplicates:
        says = f"{duplicates:,} rows have the id of a later row of this file"
        yield Finding("note", "duplicates", work.plan.keys[0], says, "the later row counts")
    if copies:
        says = f"{copies:,} rows are exact copies of others"
        done = "kept, since they may be separate events; name an id in the spec to have each event count once"
        yield Finding("warn", "copies", None, says, done)
    for column in work.plan.schema.columns:
        if column.role == "unused" and not (before and before.schema.column(column.name)):
            yield Finding("warn", "unused", column.name, f"column {column.name!r} is no use to a model", column.note)
    for name, rows in work.overflowing.items():
        says = f"column {name!r} has more than {MAX_CATEGORIES:,} categories"
        done = f"the rarest, in {rows:,} rows, count as unknown"
        yield Finding("warn", "many_categories", name, says, done)


def _misread(work: _Work) -> dict[str, Misread]:
    """Values that are not of their column's kind, of all rows read."""
    wanted = {column.name: expected(column) for column in work.plan.columns}
    return {
        name: Misread(work.rows_read, entry["rows"], wanted[name], entry["value"])
        for entry in work.reasons()["reasons"]
        if (name := entry["column"]) in wanted and entry["reason"] == f"is not {wanted[name]}"
    }


def _leaks(work: _Work, schema: Schema) -> list[Finding]:
    matrix, target = work.sample()
    columns = decoded(schema, matrix, work.plan.names)
    names = tuple(str(name) for name in work.target.seen)
    categorical = schema.target.kind == "categorical"
    columns[schema.target.name] = Levels(target.astype(np.int32), names) if categorical else target
    return [*(leak.finding for leak in find(columns, schema)), *redundant(columns, schema)]


def causes(reasons: Sequence[Mapping[str, Any]]) -> str:
    """The account's most frequent reasons, in words."""
    return "; ".join(
        f"{entry['rows']:,} × " + (f"column {entry['column']!r} " if entry["column"] else "line ") + entry["reason"]
        for entry in reasons[:5]
    )


def _too_many_rejected(name: str, spec: ModelSpec, work: _Work, duplicates: int) -> list[str]:
    unusable = work.rows_read - work.rows - duplicates
    if work.rows and unusable <= spec.quality.max_rejected * work.rows_read:
        return []
    if not work.rows_read:
        return [f"{name} has a header and no rows"]
    account = work.reasons()["reasons"]
    first = min(account, key=lambda entry: entry["row"])
    where = f"row {first['row']}" if first["line"] is None else f"line {first['line']}"
    where += f", column {first['column']!r}" if first["column"] else ""
    return [
        f"{name}: {unusable:,} of {work.rows_read:,} rows cannot be used, more than the "
        f"{spec.quality.max_rejected:.1%} that the spec allows ({causes(account)}; first at {where}, value "
        f"{first['value']!r}): correct the file, or raise quality.max_rejected"
    ]
