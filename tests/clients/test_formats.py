"""Each format read back by readers that were not written here: types, nulls, zones, decimals, Unicode intact."""

import gzip
import hashlib
import io
import json
import math
from decimal import Decimal

import duckdb
import numpy
import pandas
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import awkward

TABLE = awkward.table()
ROWS = TABLE.to_pylist()


def inflate(compression, content):
    if compression == "gzip":
        return gzip.decompress(content)
    if compression == "zstd":
        # Many frames one after another: pyarrow's stream reads them all.
        return pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()
    return content


def expected_json(row):
    """The row as JSON has it, floats and decimals read exactly."""
    import base64
    import datetime as dt

    def value(v, field):
        t = field
        if v is None:
            return None
        if isinstance(v, float):
            if math.isnan(v) or math.isinf(v):
                return None
            # The shortest digits that read back the same, at the column's own width.
            return Decimal(str(numpy.float32(v)) if pa.types.is_float32(t) else repr(v))
        if isinstance(v, bytes):
            return base64.b64encode(v).decode()
        if isinstance(v, bool) or isinstance(v, (int, str, Decimal)):
            return v
        if pa.types.is_map(t):
            return {k: value(x, t.item_type) for k, x in v}
        if isinstance(v, list):
            return [value(x, t.value_type) for x in v]
        if isinstance(v, dict):
            return {k: value(x, t.field(k).type) for k, x in v.items()}
        if isinstance(v, (dt.date, dt.time, dt.datetime, pandas.Timestamp)):
            return v
        raise AssertionError(f"no rule for {v!r}")

    return {name: value(row[name], TABLE.schema.field(name).type) for name in row}


def same(found, wanted):
    import datetime as dt

    if isinstance(wanted, pandas.Timestamp) or isinstance(wanted, dt.datetime):
        stamp = pandas.Timestamp(wanted)
        if stamp.tz is not None:
            assert found.endswith("Z") or found[-6] in "+-", found
        else:
            assert "Z" not in found and "+" not in found, found
        return pandas.Timestamp(found) == stamp
    if isinstance(wanted, dt.date):
        return found == wanted.isoformat()
    if isinstance(wanted, dt.time):
        return dt.time.fromisoformat(found) == wanted
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, Decimal):
        return float(found) == float(wanted) if isinstance(found, Decimal) and "E" in str(wanted).upper() else (
            Decimal(found) == wanted or float(found) == float(wanted) and abs(wanted) < 1)
    return type(found) is type(wanted) and found == wanted or found == wanted


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_json_keeps_every_value(server, format, compression):
    job = server.run(dataset="awkward", format=format, compression=compression)
    text = inflate(compression, server.fetch(job)).decode()
    load = lambda t: json.loads(t, parse_float=Decimal, parse_int=int)
    found = load(text) if format == "json" else [load(line) for line in text.split("\n") if line]
    assert len(found) == len(ROWS)
    for row, wanted in zip(found, map(expected_json, ROWS)):
        assert list(row) == list(wanted)
        for name in wanted:
            assert same(row[name], wanted[name]), (row["id"], name, row[name], wanted[name])
    manifest = server.request("GET", f"/v1/jobs/{job['job_id']}/manifest").json()
    floats = [row["float"] for row in ROWS if row["float"] is not None]
    assert manifest["non_finite_as_null"] == sum(not math.isfinite(f) for f in floats)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_csv_is_read_alike_by_pandas(server, compression):
    job = server.run(dataset="awkward", format="csv", compression=compression)
    content = inflate(compression, server.fetch(job))
    frame = pandas.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    assert list(frame.columns) == TABLE.column_names
    # pandas cannot tell null from empty text: both are "" here, and DuckDB tells them apart below.
    assert list(frame["text"]) == [t or "" for t in awkward.TEXTS]
    assert list(frame["big"]) == ["" if r["big"] is None else str(r["big"]) for r in ROWS]
    assert list(frame["money"]) == ["" if r["money"] is None else str(r["money"]) for r in ROWS]
    assert json.loads(frame["struct"][0]) == {"x": 1, "y": 'q"'}
    assert json.loads(frame["list"][0]) == [1, None, 3]
    assert frame["float"][2] == "NaN" and frame["float"][3] == "Infinity" and frame["float"][4] == "-Infinity"


def test_csv_tells_null_from_empty_text_to_duckdb(server, tmp_path):
    job = server.run(dataset="awkward", format="csv", fields=["id", "text", "utc", "day", "money"])
    (tmp_path / "a.csv").write_bytes(server.fetch(job))
    duckdb.execute("SET TimeZone = 'UTC'")
    rows = duckdb.execute(
        f"SELECT * FROM read_csv('{tmp_path}/a.csv', header = true, auto_detect = false, quote = '\"', escape = '\"',"
        " allow_quoted_nulls = false, columns = {'id': 'INT', 'text': 'VARCHAR', 'utc': 'TIMESTAMPTZ', 'day': 'DATE',"
        " 'money': 'DECIMAL(19,2)'}) ORDER BY id"
    ).fetchall()
    assert [r[1] for r in rows] == awkward.TEXTS
    assert [r[3] for r in rows] == [r["day"] for r in ROWS]
    assert [r[4] for r in rows] == [r["money"] for r in ROWS]
    assert [r[2] and r[2].timestamp() for r in rows] == [r["utc"] and r["utc"].timestamp() for r in ROWS]


def test_csv_options(server):
    job = server.run(
        dataset="awkward", format="csv", fields=["text", "tiny"],
        csv={"delimiter": ";", "null": "NULL", "header": False, "spreadsheet_safe": True},
    )
    lines = pandas.read_csv(
        io.BytesIO(server.fetch(job)), sep=";", header=None, dtype=str, keep_default_na=False
    )
    texts = list(lines[0])
    assert texts[7:11] == ["'=1+1", "'+x", "'-y", "'@z"]
    assert texts[2] == "NULL"
    assert list(lines[1][:3]) == ["-128", "127", "NULL"], "numbers are not text that runs"


def test_parquet_is_the_same_table(server):
    job = server.run(dataset="awkward", format="parquet")
    found = pq.read_table(io.BytesIO(server.fetch(job)))
    for name in TABLE.column_names:
        wanted = TABLE.column(name)
        if pa.types.is_dictionary(wanted.type):
            wanted = wanted.cast(pa.string())
        column = found.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        assert str(column.to_pylist()) == str(wanted.to_pylist()), name
    assert duckdb.sql("SELECT count(*) FROM found").fetchall() == [(len(ROWS),)]


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"compression": "none", "row_group_size": 1000}])
def test_parquet_options(server, options):
    job = server.run(dataset="flights", format="parquet", limit=2500, parquet=options)
    file = pq.ParquetFile(io.BytesIO(server.fetch(job)))
    assert file.metadata.num_rows == 2500
    codec = file.metadata.row_group(0).column(0).compression
    assert codec == {"zstd": "ZSTD", "none": "UNCOMPRESSED"}[options["compression"]]
    if "row_group_size" in options:
        assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) <= 1000


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet"])
def test_an_empty_result_is_a_valid_file(server, format):
    job = server.run(dataset="flights", filter="origin = 'XXX'", format=format)
    content = server.fetch(job)
    assert job["result"]["records"] == 0
    if format == "json":
        assert json.loads(content) == []
    elif format == "jsonl":
        assert content == b""
    elif format == "csv":
        assert content.decode().count("\n") == 1 and content.startswith(b"year,month,day")
    else:
        assert pq.read_table(io.BytesIO(content)).num_rows == 0


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("format", ["json", "jsonl", "csv"])
def test_pages_are_the_file_in_pieces(server, format, compression):
    job = server.run(
        dataset="flights", limit=2_750, offset=100, format=format, compression=compression, page_size=500
    )
    content = inflate(compression, server.fetch(job))
    assert job["result"]["pages"] == 6

    def records(data):
        if format == "json":
            return json.loads(data)
        lines = data.decode().splitlines()
        return [json.loads(line) for line in lines] if format == "jsonl" else lines[1:]

    found, path, sizes = [], f"/v1/jobs/{job['job_id']}/result/pages/0", []
    while path:
        answer = server.request("GET", path)
        assert answer.status_code == 200, answer.text
        page = records(answer.content)
        sizes.append(len(page))
        found += page
        path = answer.links.get("next", {}).get("url")
    assert sizes == [500] * 5 + [250]
    assert found == records(content)
    assert server.request("GET", f"/v1/jobs/{job['job_id']}/result/pages/6").status_code == 404


def test_parquet_has_no_pages(server):
    job = server.run(dataset="flights", limit=10, format="parquet")
    assert job["result"]["pages"] is None
    assert server.request("GET", f"/v1/jobs/{job['job_id']}/result/pages/0").status_code == 406


@pytest.mark.parametrize("format", ["json", "csv", "parquet"])
def test_sizes_and_hashes_are_what_the_manifest_says(server, format):
    job = server.run(dataset="flights", filter="month = 2", format=format)
    content = server.fetch(job)
    manifest = server.request("GET", f"/v1/jobs/{job['job_id']}/manifest").json()
    [file] = manifest["files"]
    assert hashlib.sha256(content).hexdigest() == file["sha256"] == job["result"]["sha256"]
    assert len(content) == file["bytes"] == job["result"]["bytes"]
    assert manifest["records"] == job["result"]["records"] == file["records"]
    assert [c["name"] for c in manifest["schema"]][:3] == ["year", "month", "day"]
