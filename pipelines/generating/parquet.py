"""Images as a parquet table, as Hugging Face's datasets read it: a column of PNG files, and one for what is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...hierarchy import GROUP_NAMES, HierError
from ...hierarchy.files import whole
from .formats import Add, Images

COLUMNS = ("id", "image", "group", "number", "source", "part", "origin", "a", "b", "misfits")


@contextmanager
def parquet(path: Path, hidden: bool) -> Iterator[Add]:
    """Writes a table with the columns `COLUMNS`, of `hidden` labels the first two; yields what adds rows.

    ``group`` is a class label, whose number is the place in `GROUP_NAMES`; ``misfits`` are of the 17 groups in that
    order. HierError without pyarrow.
    """
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise HierError("a release needs pyarrow: pip install pyarrow") from error
    point, image = pa.list_(pa.float64(), 2), pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types = {"id": pa.string(), "image": image, "group": pa.string(), "number": pa.int64(), "source": pa.string(),
             "part": pa.string(), "origin": point, "a": point, "b": point,
             "misfits": pa.list_(pa.float64(), len(GROUP_NAMES))}  # fmt: skip
    shown = COLUMNS[:2] if hidden else COLUMNS
    schema = pa.schema([(name, types[name]) for name in shown], metadata=_features(shown))
    with whole(path) as part, ParquetWriter(part, schema) as writer:

        def add(images: Images) -> None:
            rows = [_row(known, bytes(data)) for known, data in zip(images.about, images.data, strict=True)]
            writer.write_table(pa.Table.from_pylist([{name: row.get(name) for name in shown} for row in rows], schema))

        yield add


def _row(known: dict[str, Any], data: bytes) -> dict[str, Any]:
    row = known | {"image": {"bytes": data, "path": f"{known['id']}.png"}}
    return row | {"misfits": [known["misfits"][name] for name in GROUP_NAMES]} if "misfits" in known else row


def _features(shown: tuple[str, ...]) -> dict[str, str]:
    """What Hugging Face's datasets would not tell by themselves: that a column holds pictures."""
    text, number = {"dtype": "string", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}
    real = {"dtype": "float64", "_type": "Value"}
    kinds: dict[str, Any] = dict.fromkeys(("id", "group", "source", "part"), text)
    kinds |= {"image": {"_type": "Image"}, "number": number}
    kinds |= {name: {"feature": real, "length": 2, "_type": "List"} for name in ("origin", "a", "b")}
    kinds |= {"misfits": {"feature": real, "length": len(GROUP_NAMES), "_type": "List"}}
    return {"huggingface": json.dumps({"info": {"features": {name: kinds[name] for name in shown}}})}
