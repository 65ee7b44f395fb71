"""Uploaded rows matched with a data set, row by row as DuckDB joins them."""

import io
import random

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import requests

from conftest import ROOT

PATIENCE = 60


def upload(server, job, name, content):
    """Adds a batch of one file, and sends the file where the answer says."""
    answer = server.request(
        "POST", f"/v1/jobs/{job['job_id']}/batches", json={"name": name, "files": [{"name": name, "bytes": len(content)}]}
    )
    assert answer.status_code == 201, answer.text
    link = answer.json()["files"][0]["upload"]
    sent = requests.put(link["url"], data=content, headers=link["headers"], timeout=PATIENCE)
    assert sent.status_code == 200, sent.text
    return answer.json()


def ended(server, job):
    while True:
        found = server.request("GET", f"/v1/jobs/{job['job_id']}?wait=10").json()
        if found["state"] not in ("open", "accepted", "processing"):
            return found


def container(server, **body):
    answer = server.request("POST", "/v1/jobs", json={"kind": "append", **body})
    assert answer.status_code == 202, answer.text
    return answer.json()


def results(server, job):
    """What each batch delivered, in order."""
    batches = server.request("GET", f"/v1/jobs/{job['job_id']}/batches").json()["batches"]
    assert all(batch["state"] == "completed" for batch in batches), batches
    return [requests.get(batch["download_link"], timeout=PATIENCE).content for batch in batches]


@pytest.fixture(scope="module")
def codes():
    """Codes of carriers and airports, some of which no flight has, and some of which are missing."""
    chance = random.Random(7)
    origins = ["EWR", "JFK", "LGA", "XXX", None]
    carriers = ["AA", "UA", "DL", "9E", "ZZ", None]
    return pa.table(
        {
            "row": pa.array(range(20_000), pa.int64()),
            "from": pa.array([chance.choice(origins) for _ in range(20_000)]),
            "by": pa.array([chance.choice(carriers) for _ in range(20_000)]),
            "flight": pa.array([chance.randrange(1, 3000) for _ in range(20_000)], pa.int64()),
        }
    )


def first_matches(codes):
    """The first flight of each row, in the order of the data set, as DuckDB finds it."""
    connection = duckdb.connect()
    connection.register("codes", codes)
    return connection.execute(
        f"""
        WITH flights AS (
            SELECT carrier, origin, flight, dest, file_row_number AS place
            FROM read_parquet('{ROOT}/examples/flights.parquet', file_row_number = true)
        ),
        pairs AS (
            SELECT c.row, count(f.place) AS matches, arg_min(f.dest, f.place) AS dest
            FROM codes c LEFT JOIN flights f
            ON f.origin = c."from" AND f.carrier = c."by" AND f.flight = c.flight
            GROUP BY c.row
        )
        SELECT row, dest, CASE matches WHEN 0 THEN 'unmatched' WHEN 1 THEN 'matched' ELSE 'ambiguous' END
        FROM pairs ORDER BY row
        """
    ).fetchall()


ON = {"from": "origin", "by": "carrier", "flight": "flight"}


def as_csv(table):
    out = io.BytesIO()
    pa.csv.write_csv(table, out)
    return out.getvalue()


def as_parquet(table):
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=3_000)
    return out.getvalue()


@pytest.mark.parametrize("name,write", [("rows.csv", as_csv), ("rows.parquet", as_parquet)])
def test_every_row_is_joined_as_duckdb_joins_it(server, codes, name, write):
    job = container(server, dataset="flights", on=ON, fields=["dest"], format="parquet")
    half = codes.num_rows // 2
    upload(server, job, f"1-{name}", write(codes.slice(0, half)))
    upload(server, job, f"2-{name}", write(codes.slice(half)))
    server.request("POST", f"/v1/jobs/{job['job_id']}/close")
    done = ended(server, job)
    assert done["state"] == "completed", done
    tables = [pq.read_table(io.BytesIO(content)) for content in results(server, job)]
    found = [
        (int(row["row"]), row["dest"], row["_match"]) for table in tables for row in table.to_pylist()
    ]
    expected = first_matches(codes)
    assert found == expected
    counts = done["progress"]["counts"]
    assert counts["rows"] == codes.num_rows
    for kind in ("matched", "unmatched", "ambiguous"):
        assert counts[kind] == sum(1 for _, _, match in expected if match == kind), kind


def test_all_matches_are_the_whole_join(server, codes):
    few = codes.slice(0, 300)
    job = container(server, dataset="flights", on=ON, fields=["dest"], on_multiple="all", format="jsonl")
    upload(server, job, "rows.csv", as_csv(few))
    server.request("POST", f"/v1/jobs/{job['job_id']}/close")
    assert ended(server, job)["state"] == "completed"
    connection = duckdb.connect()
    connection.register("codes", few)
    expected = connection.execute(
        f"""
        SELECT count(*) FROM codes c LEFT JOIN read_parquet('{ROOT}/examples/flights.parquet') f
        ON f.origin = c."from" AND f.carrier = c."by" AND f.flight = c.flight
        """
    ).fetchone()[0]
    assert sum(content.count(b"\n") for content in results(server, job)) == expected
