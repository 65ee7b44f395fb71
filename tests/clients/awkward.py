"""Values that formats get wrong, in every type that Parquet files commonly have."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

UTC = dt.timezone.utc
TEXTS = [
    "plain", "", None, 'say "hi"', "a,b;c\td", "line\nbreak", "cr\r\nlf", "=1+1", "+x", "-y", "@z", " padded ",
    "Ünïcødé", "日本語", "😀", "NULL", "nan", "\\", "'", "\u2028", "\x01",
]


def table():
    n = len(TEXTS)

    def cycle(*values):
        return [values[i % len(values)] for i in range(n)]

    stamp = dt.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
    columns = {
        "id": pa.array(range(n), pa.int32()),
        "text": pa.array(TEXTS, pa.string()),
        "large": pa.array(TEXTS, pa.large_string()),
        "word": pa.array(cycle("red", "green", None), pa.dictionary(pa.int8(), pa.string())),
        "flag": pa.array(cycle(True, False, None), pa.bool_()),
        "tiny": pa.array(cycle(-128, 127, None), pa.int8()),
        "big": pa.array(cycle(-(2**63), 2**63 - 1, 2**53 + 1, None), pa.int64()),
        "unsigned": pa.array(cycle(0, 2**64 - 1, None), pa.uint64()),
        "float": pa.array(cycle(0.1, -0.0, float("nan"), float("inf"), float("-inf"), 1e300, 5e-324, None)),
        "single": pa.array(cycle(0.1, 16777216.0, None), pa.float32()),
        "money": pa.array(cycle(Decimal("12345678901234567.89"), Decimal("-0.01"), None), pa.decimal128(19, 2)),
        "huge": pa.array(cycle(Decimal(10) ** 37, Decimal(-1), None), pa.decimal128(38, 0)),
        "day": pa.array(cycle(dt.date(1969, 12, 31), dt.date(2024, 2, 29), dt.date(1, 1, 1), None)),
        "clock": pa.array(cycle(dt.time(23, 59, 59, 999999), dt.time(0), None), pa.time64("us")),
        "utc": pa.array(cycle(stamp, dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), None),
                        pa.timestamp("us", "UTC")),
        "local": pa.array(cycle(stamp.replace(tzinfo=None), None), pa.timestamp("ms")),
        "nanos": pa.array(cycle(1_700_000_000_123_456_789, None), pa.timestamp("ns", "UTC")),
        "zoned": pa.array(cycle(stamp, None), pa.timestamp("us", "Europe/Helsinki")),
        "bytes": pa.array(cycle(b"\x00\xff\x10", b"", None), pa.binary()),
        "list": pa.array(cycle([1, None, 3], [], None), pa.list_(pa.int64())),
        "tags": pa.array(cycle(["a", 'b"c'], [], None), pa.list_(pa.string())),
        "struct": pa.array(cycle({"x": 1, "y": 'q"'}, {"x": None, "y": None}, None),
                           pa.struct([("x", pa.int32()), ("y", pa.string())])),
        "map": pa.array(cycle([("k", 1), ("l", None)], [], None), pa.map_(pa.string(), pa.int64())),
        "nothing": pa.array([None] * n, pa.string()),
    }
    return pa.table(columns)


def write(path):
    pq.write_table(table(), path, row_group_size=8)


def write_many(folder):
    """A directory of files whose order is the order of their names."""
    for part in range(3):
        rows = pa.table({"part": pa.array([part] * 1000, pa.int32()), "row": pa.array(range(1000), pa.int64())})
        pq.write_table(rows, folder / f"part-{part}.parquet", row_group_size=300)


def write_numbers(path):
    """The first 10,000 records of what the scenarios in Rust ask for."""
    n = range(10_000)
    mask = 2**64 - 1
    mixed = [(x * 0x5851F42D4C957F2D) & mask for x in n]
    mixed = [((x << 17) | (x >> 47)) & mask for x in mixed]
    columns = {
        "n": pa.array(n, pa.int64()),
        "mixed": pa.array([x - 2**64 if x >= 2**63 else x for x in mixed], pa.int64()),
        "word": pa.array([["red", "green", "blue", None][x % 4] for x in n], pa.string()),
    }
    pq.write_table(pa.table(columns), path)
