"""A partition as Parquet: typed for people, Athena and DuckDB, and read back to the same typed columns."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from tidemill.schema import Columns, Schema
from tidemill.spec import Kind
from tidemill.stages.assemble import Accepted
from tidemill.stages.columns import parse

KEY = "_tidemill_key"


def to_parquet(columns: Columns, keys: npt.NDArray[np.uint64], schema: Schema) -> bytes:
    """The row's key goes beside its columns, so that the newer row of a key can win at assembly."""
    kinds = {column.name: column.kind for column in schema.columns}
    arrays = {name: _to_arrow(values, kinds[name]) for name, values in columns.items()}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({**arrays, KEY: pa.array(keys)}), buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes, schema: Schema) -> Accepted:
    """Columns that the schema does not know any more stay behind."""
    table = pyarrow.parquet.read_table(io.BytesIO(data))
    kinds = {column.name: column.kind for column in schema.columns}
    columns = {
        name: parse(table[name], kinds[name]).values for name in table.column_names if name != KEY and name in kinds
    }
    return Accepted(columns, table[KEY].to_numpy())


def _to_arrow(values: npt.NDArray[Any], kind: Kind) -> pa.Array:
    if kind == "categorical":
        return pa.array(values, pa.string())
    if kind == "datetime":
        return pa.array(values, pa.timestamp("us", tz="UTC"))
    numbers = pa.array(values, pa.float64(), from_pandas=True)
    return numbers.cast(pa.bool_()) if kind == "boolean" else numbers
