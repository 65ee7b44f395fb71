"""Each format read back by readers that were not written here: types, nulls, zones, decimals, Unicode intact."""

import gzip
import hashlib
import io
import json
import math
import zipfile
from decimal import Decimal

import duckdb
import numpy
import openpyxl
import pandas
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import requests
from openpyxl.utils.escape import unescape

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


def test_arrow_is_the_same_table(server):
    job = server.run(dataset="awkward", format="arrow")
    answer = requests.get(job["download_link"])
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    found = pa.ipc.open_stream(answer.content).read_all()
    found.validate(full=True)
    assert found.column_names == TABLE.column_names
    plain = {pa.large_string(): pa.string(), pa.dictionary(pa.int8(), pa.string()): pa.string()}
    for name in TABLE.column_names:
        wanted = TABLE.column(name)
        wanted = wanted.cast(plain.get(wanted.type, wanted.type))
        column = found.column(name)
        if not pa.types.is_nested(wanted.type):
            assert column.type == wanted.type, name
        assert str(column.to_pylist()) == str(wanted.to_pylist()), name
    assert duckdb.sql("SELECT count(text) FROM found").fetchall() == [(sum(t is not None for t in awkward.TEXTS),)]


def test_an_arrow_stream_is_read_batch_by_batch(server):
    job = server.run(dataset="flights", format="arrow", fields=["carrier", "distance"], sort=["-distance"])
    stream = pa.ipc.open_stream(server.fetch(job))
    sizes = [batch.num_rows for batch in stream]
    assert max(sizes) <= 65_536 and sum(sizes) == job["result"]["records"]


def expected_cell(value):
    """A value as a cell of Excel has it: at most 15 digits, milliseconds, days from March 1900 on."""
    import datetime as dt

    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    if isinstance(value, float):
        if not math.isfinite(value):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
        return value if value == 0 or abs(value) > 2.3e-308 else repr(value)
    if isinstance(value, (int, Decimal)):
        return float(value) if len(value_digits(value)) <= 15 else str(value)
    if isinstance(value, pandas.Timestamp):
        return value.tz_convert("UTC").tz_localize(None).isoformat() + "Z"
    if isinstance(value, dt.datetime):
        zoned = value.tzinfo is not None
        value = value.astimezone(dt.timezone.utc).replace(tzinfo=None) if zoned else value
        return value if value.microsecond % 1000 == 0 else value.isoformat() + "Z" * zoned
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day) if value.year >= 1901 else value.isoformat()
    if isinstance(value, dt.time):
        return value if value.microsecond % 1000 == 0 else value.isoformat()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def value_digits(number):
    whole, _, fraction = str(number).lstrip("-").partition(".")
    return (whole + fraction.rstrip("0")).lstrip("0")


def test_xlsx_keeps_every_value(server):
    job = server.run(dataset="awkward", format="xlsx")
    content = server.fetch(job)
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["awkward"]
    sheet = book.active
    assert sheet.freeze_panes == "A2" and sheet["A1"].font.bold and not sheet["A2"].font.bold
    header, *rows = sheet.iter_rows()
    assert [cell.value for cell in header] == TABLE.column_names
    assert len(rows) == len(ROWS)
    for row, wanted in zip(rows, ROWS):
        for cell, name in zip(row, TABLE.column_names):
            value, found = wanted[name], cell.value
            if name == "map" and value is not None:
                value = dict(value)
            value = expected_cell(value)
            if isinstance(found, str):
                found = unescape(found)
            if name == "single" and value is not None:
                found, value = numpy.float32(found), numpy.float32(value)
            assert found == value, (wanted["id"], name, cell.value)
            if isinstance(value, str):
                assert cell.data_type in "sn", "no formula"
    assert rows[0][TABLE.column_names.index("flag")].value is True
    formats = {name: cell.number_format for name, cell in zip(TABLE.column_names, rows[1])}
    assert formats["day"] == "yyyy\\-mm\\-dd" and formats["utc"] == 'yyyy\\-mm\\-dd\\ hh:mm:ss"Z"'
    assert formats["money"] == "0.00" and formats["id"] == "0"
    assert rows[7][1].value == "=1+1" and rows[7][1].data_type == "s" and rows[7][1].quotePrefix


def test_xlsx_is_read_by_pandas_and_is_a_sound_archive(server):
    job = server.run(dataset="flights", format="xlsx", limit=3_000)
    content = server.fetch(job)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    frame = pandas.read_excel(io.BytesIO(content), keep_default_na=False, na_values=[""])
    wanted = pq.read_table(io.BytesIO(server.fetch(server.run(dataset="flights", format="parquet", limit=3_000))))
    wanted = wanted.to_pandas()
    assert list(frame.columns) == list(wanted.columns)
    assert list(frame["carrier"]) == list(wanted["carrier"])
    assert frame["distance"].sum() == wanted["distance"].sum()
    assert frame["dep_delay"].isna().sum() == wanted["dep_delay"].isna().sum()
    again = server.fetch(server.run(dataset="flights", format="xlsx", limit=3_000))
    assert again == content, "the same request gives the same bytes"


@pytest.mark.parametrize("format", ["arrow", "xlsx"])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_only_text_is_compressed_as_a_file(server, format, compression):
    body = {"kind": "query", "dataset": "flights", "format": format, "compression": compression}
    answer = server.request("POST", "/v1/jobs", json=body)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/compression"]


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "parquet", "arrow", "xlsx"])
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
    elif format == "parquet":
        assert pq.read_table(io.BytesIO(content)).num_rows == 0
    elif format == "arrow":
        stream = pa.ipc.open_stream(content)
        assert stream.read_all().num_rows == 0 and stream.schema.names[:3] == ["year", "month", "day"]
    else:
        [header] = openpyxl.load_workbook(io.BytesIO(content)).active.iter_rows(values_only=True)
        assert header[:3] == ("year", "month", "day")


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


@pytest.mark.parametrize("format", ["parquet", "arrow", "xlsx"])
def test_columns_have_no_pages(server, format):
    job = server.run(dataset="flights", limit=10, format=format)
    assert job["result"]["pages"] is None
    assert server.request("GET", f"/v1/jobs/{job['job_id']}/result/pages/0").status_code == 406


@pytest.mark.parametrize("format", ["json", "csv", "parquet", "arrow", "xlsx"])
def test_sizes_and_hashes_are_what_the_manifest_says(server, format):
    job = server.run(dataset="flights", filter="month = 2", format=format)
    content = server.fetch(job)
    manifest = server.request("GET", f"/v1/jobs/{job['job_id']}/manifest").json()
    [file] = manifest["files"]
    assert hashlib.sha256(content).hexdigest() == file["sha256"] == job["result"]["sha256"]
    assert len(content) == file["bytes"] == job["result"]["bytes"]
    assert manifest["records"] == job["result"]["records"] == file["records"]
    assert [c["name"] for c in manifest["schema"]][:3] == ["year", "month", "day"]
