"""The same statement here and in DuckDB: the records must agree."""

import datetime
import decimal
import json
import math
import subprocess
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROOT, binary

# Each is SQL that both understand; those with ORDER BY over all that tells records apart are compared in order.
STATEMENTS = [
    "SELECT count(*) AS k, count(dep_delay) AS d, count(DISTINCT carrier) AS c FROM flights",
    "SELECT origin, count(*) AS k FROM flights GROUP BY origin ORDER BY origin",
    "SELECT origin, carrier, avg(dep_delay) AS a, min(dep_delay) AS lo, max(dep_delay) AS hi FROM flights "
    "GROUP BY origin, carrier",
    "SELECT month, sum(distance) AS s FROM flights WHERE origin = 'JFK' GROUP BY month HAVING sum(distance) > 10000000 "
    "ORDER BY month",
    "SELECT carrier, flight, dep_delay FROM flights WHERE dep_delay > 500 ORDER BY dep_delay DESC, carrier, flight",
    "SELECT DISTINCT origin, dest FROM flights WHERE carrier = 'HA' OR carrier = 'AS'",
    "SELECT f.origin, n.word, count(*) AS k FROM flights f JOIN numbers n ON f.day = n.n GROUP BY f.origin, n.word",
    "SELECT n.n, f.k FROM numbers n LEFT JOIN (SELECT day, count(*) AS k FROM flights GROUP BY day) f ON f.day = n.n "
    "ORDER BY n.n",
    "SELECT a.n AS x, b.n AS y FROM numbers a FULL JOIN numbers b ON a.n = b.n + 5 WHERE a.n < 10 OR b.n < 10",
    "SELECT count(*) AS k FROM numbers a CROSS JOIN numbers b WHERE a.n < b.n AND b.n < 50",
    "SELECT n FROM numbers WHERE n IN (SELECT day FROM flights WHERE month = 2) ORDER BY n",
    "SELECT n FROM numbers a WHERE NOT EXISTS (SELECT 1 FROM flights f WHERE f.day = a.n) AND n < 50 ORDER BY n",
    "SELECT n, word FROM numbers a WHERE n = (SELECT max(n) FROM numbers b WHERE b.word = a.word) ORDER BY n",
    "WITH d AS (SELECT carrier, avg(arr_delay) AS late FROM flights GROUP BY carrier), w AS (SELECT * FROM d WHERE late > 5) "
    "SELECT carrier, round(late, 3) AS late FROM w ORDER BY carrier",
    "SELECT origin AS code FROM flights WHERE month = 1 UNION SELECT dest FROM flights WHERE month = 1 AND dest LIKE 'A%'",
    "SELECT word FROM numbers WHERE n < 20 UNION ALL SELECT word FROM numbers WHERE n < 3",
    "SELECT origin FROM flights INTERSECT SELECT origin FROM flights WHERE carrier = 'UA'",
    "SELECT carrier FROM flights EXCEPT SELECT carrier FROM flights WHERE origin = 'LGA'",
    "SELECT n, row_number() OVER (PARTITION BY word ORDER BY n DESC) AS r, sum(n) OVER (ORDER BY n) AS s, "
    "lag(n) OVER (ORDER BY n) AS before FROM numbers WHERE n < 100 ORDER BY n",
    "SELECT carrier, k, rank() OVER (ORDER BY k DESC) AS r FROM (SELECT carrier, count(*) AS k FROM flights GROUP BY carrier) t "
    "ORDER BY carrier",
    "SELECT CASE WHEN dep_delay IS NULL THEN 'none' WHEN dep_delay > 60 THEN 'late' ELSE 'fine' END AS how, count(*) AS k "
    "FROM flights GROUP BY 1",
    "SELECT upper(word) AS u, length(word) AS l, substr(word, 2, 2) AS s, word || '!' AS e FROM numbers WHERE n < 8 ORDER BY n",
    "SELECT day, money, money * 2 AS twice, flag, text FROM awkward",
    "SELECT min(day) AS a, max(day) AS b, sum(money) AS m, count(text) AS t FROM awkward",
    "SELECT date_trunc('month', time_hour) AS m, count(*) AS k FROM flights GROUP BY 1",
    "SELECT extract(year FROM time_hour) AS y, extract(hour FROM time_hour) AS h, count(*) AS k FROM flights GROUP BY 1, 2",
    "SELECT CAST(n AS VARCHAR) AS t, CAST(n AS DOUBLE) / 7 AS q, n % 7 AS r, n / 7.0 > 3 AS f FROM numbers WHERE n < 60 ORDER BY n",
    "SELECT coalesce(word, '-') AS w, nullif(n, 4) AS m FROM numbers WHERE n < 9 ORDER BY n",
    "SELECT n FROM numbers ORDER BY n DESC LIMIT 7 OFFSET 3",
]


def plain(value):
    """A value as both engines mean it, whatever type it came as."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, decimal.Decimal, float)):
        number = float(value)
        return "nan" if math.isnan(number) else float(f"{number:.10g}")
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat()
    return value.isoformat() if isinstance(value, datetime.date) else value


def rows(table):
    return [tuple(plain(value) for value in row.values()) for row in table.to_pylist()]


@pytest.fixture(scope="module")
def oracle(data):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    files = {"flights": ROOT / "examples/flights.parquet"}
    for name in ["flights", "awkward", "numbers"]:
        path = files.get(name, data / f"{name}.parquet")
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')")
    return connection


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_gives_what_duckdb_gives(server, oracle, sql):
    job = server.run(sql=sql, format="parquet")
    ours = pq.read_table(pa.BufferReader(server.fetch(job)))
    theirs = oracle.sql(sql).to_arrow_table()
    assert ours.column_names == theirs.column_names
    got, expected = rows(ours), rows(theirs)
    if "ORDER BY" not in sql.rsplit(")", 1)[-1]:
        got, expected = sorted(got, key=repr), sorted(expected, key=repr)
    assert got == expected


def test_the_same_statement_gives_the_same_bytes_without_an_order(server):
    first = server.run(sql=STATEMENTS[2], format="csv")
    again = server.request("POST", f"/v1/jobs/{first['job_id']}/rerun", json={}).json()
    second = server.wait(again)
    assert second["job_id"] != first["job_id"] and second["state"] == "completed", second
    assert server.fetch(first) == server.fetch(second)


def test_text_pages_of_a_statement_hold_all_of_it(server):
    job = server.run(sql="SELECT n FROM numbers ORDER BY n", format="jsonl", page_size=100)
    whole = server.fetch(job).decode().splitlines()
    pages = []
    for page in range(job["result"]["pages"]):
        answer = server.request("GET", f"/v1/jobs/{job['job_id']}/result/pages/{page}")
        pages += answer.text.splitlines()
    assert pages == whole
    assert [json.loads(line)["n"] for line in whole] == sorted(json.loads(line)["n"] for line in whole)


def children(pid):
    """The processes that this one started and that still are."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after = stat.read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue
        if int(after[1]) == pid and after[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def test_a_killed_server_leaves_no_statement_behind(data, tmp_path):
    long = "SELECT count(*) AS k FROM flights a CROSS JOIN flights b WHERE a.tailnum || b.tailnum LIKE '%x1%y'"
    process = subprocess.Popen(
        [binary(), "get", "--sql", long, "--format", "csv", "-o", str(tmp_path / "x.csv"),
         "--catalog", str(data / "willcall.toml"), "--data-dir", str(tmp_path / "home")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not (started := children(process.pid)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait(30)
    deadline = time.monotonic() + 10
    while any(alive(child) for child in started):
        assert time.monotonic() < deadline
        time.sleep(0.02)
