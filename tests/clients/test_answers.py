"""The same question in three syntaxes, and to DuckDB: the numbers must agree."""

import duckdb
import pytest

# SQL that DuckDB understands as it is, Lucene-like, query parameters; None where a syntax cannot say it.
QUESTIONS = [
    ("flights", "origin = 'JFK' AND dep_delay > 60", "origin:JFK AND dep_delay:{60 TO *]",
     {"origin": "JFK", "dep_delay.gt": "60"}),
    ("flights", "carrier IN ('UA', 'AA') AND month BETWEEN 6 AND 8", "carrier:(UA OR AA) AND month:[6 TO 8]",
     {"carrier.in": "UA,AA", "month.gte": "6", "month.lte": "8"}),
    ("flights", "dep_delay IS NULL", "NOT dep_delay:*", {"dep_delay.null": "true"}),
    ("flights", "dep_delay IS NOT NULL AND dest = 'LAX'", "dep_delay:* AND dest:LAX",
     {"dep_delay.null": "false", "dest": "LAX"}),
    ("flights", "tailnum LIKE 'N1%'", "tailnum:N1*", {"tailnum.prefix": "N1"}),
    ("flights", "tailnum LIKE '%AA%'", None, {"tailnum.contains": "AA"}),
    ("flights", "NOT (dep_delay > 0)", None, None),
    ("flights", "NOT (dep_delay > 0) OR dep_delay IS NULL", "NOT dep_delay:{0 TO *]", None),
    ("flights", "(origin = 'JFK' OR origin = 'LGA') AND NOT dest = 'ATL'",
     "origin:(JFK OR LGA) AND NOT dest:ATL", {"origin.in": "JFK,LGA", "dest.ne": "ATL"}),
    ("flights", "dep_delay > arr_delay", None, None),
    ("flights", "dep_delay < 2.5 AND dep_delay > -0.5", "dep_delay:{-0.5 TO 2.5}",
     {"dep_delay.lt": "2.5", "dep_delay.gt": "-0.5"}),
    ("flights", "dep_delay = 2.5", "dep_delay:2.5", {"dep_delay": "2.5"}),
    ("flights", "tailnum ILIKE 'n1%aa'", None, None),
    ("flights", "dest NOT IN ('ATL', 'LAX', 'ORD')", "NOT dest:IN [ATL LAX ORD]", None),
    ("flights", "lower(carrier) = 'ua' AND length(tailnum) = 6", None, None),
    ("flights", "abs(dep_delay) >= 100", None, None),
    ("flights", "time_hour >= TIMESTAMP '2013-12-31 00:00:00'", "time_hour:[2013-12-31T00:00:00Z TO *]",
     {"time_hour.gte": "2013-12-31T00:00:00Z"}),
    ("awkward", "float > 1", None, {"float.gt": "1"}),
    ("awkward", "float = 0", "float:0", {"float": "0"}),
    ("awkward", "big > 9007199254740992", "big:{9007199254740992 TO *]", {"big.gt": "9007199254740992"}),
    ("awkward", "unsigned > 9223372036854775807", None, {"unsigned.gt": "9223372036854775807"}),
    ("awkward", "money = 12345678901234567.89", "money:12345678901234567.89", {"money": "12345678901234567.89"}),
    ("awkward", "money < 0", None, {"money.lt": "0"}),
    ("awkward", "day < DATE '1970-01-01'", "day:{* TO 1970-01-01}", {"day.lt": "1970-01-01"}),
    ("awkward", "flag", "flag:true", {"flag": "true"}),
    ("awkward", "text = ''", 'text:""', {"text": ""}),
    ("awkward", "text = 'say \"hi\"'", r'text:"say \"hi\""', {"text": 'say "hi"'}),
    ("awkward", "word = 'red'", "word:red", {"word": "red"}),
    ("awkward", "tiny < 1000", None, {"tiny.lt": "1000"}),
    ("awkward", "tiny = 1000", "tiny:1000", {"tiny": "1000"}),
    ("many", "part = 1 AND row >= 500", "part:1 AND row:[500 TO *]", {"part": "1", "row.gte": "500"}),
]


def duckdb_count(folder, dataset, condition):
    source = {
        "flights": str(folder / "flights.parquet"),
        "awkward": str(folder / "awkward.parquet"),
        "many": str(folder / "many" / "*.parquet"),
    }[dataset]
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection.execute(f"SELECT count(*) FROM read_parquet('{source}') WHERE {condition}").fetchone()[0]


@pytest.fixture(scope="module")
def folder(data):
    from conftest import ROOT

    link = data / "flights.parquet"
    if not link.exists():
        link.symlink_to(ROOT / "examples" / "flights.parquet")
    return data


@pytest.mark.parametrize("dataset,sql,lucene,params", QUESTIONS, ids=lambda q: str(q)[:60])
def test_all_syntaxes_agree_with_duckdb(server, folder, dataset, sql, lucene, params):
    expected = duckdb_count(folder, dataset, sql)
    counts = {"filter": server.run(dataset=dataset, filter=sql, format="jsonl")}
    if lucene is not None:
        counts["query"] = server.run(dataset=dataset, query=lucene, format="jsonl")
    if params is not None:
        answer = server.request(
            "GET", f"/v1/datasets/{dataset}/records",
            params={**params, "format": "jsonl", "async": "true"},
        )
        assert answer.status_code == 202, answer.text
        counts["parameters"] = server.wait(answer.json())
    for syntax, job in counts.items():
        assert job["state"] == "completed", (syntax, job)
        assert job["result"]["records"] == expected, (syntax, job["result"])
        assert job["progress"]["records_found"] == expected, (syntax, job["progress"])


def test_records_found_counts_all_whatever_the_limit(server, folder):
    expected = duckdb_count(folder, "flights", "origin = 'JFK'")
    job = server.run(dataset="flights", filter="origin = 'JFK'", limit=10, offset=5, format="csv")
    assert job["result"]["records"] == 10
    assert job["result"]["truncated"] is None
    assert job["progress"]["records_found"] == expected
    assert job["progress"]["records_requested"] == 10


@pytest.mark.parametrize("sort", [["dep_delay"], ["-dep_delay"], ["dest", "-arr_delay"]])
def test_sorted_pages_of_records_are_duckdbs(server, folder, sort):
    order = ", ".join(f"{c.lstrip('-')} {'DESC' if c[0] == '-' else 'ASC'} NULLS LAST" for c in sort)
    for offset, limit in [(0, 50), (20_000, 50), (336_700, 1000)]:
        job = server.run(
            dataset="flights", sort=sort, offset=offset, limit=limit, format="jsonl",
            fields=["dest", "dep_delay", "arr_delay"],
        )
        records = [__import__("json").loads(line) for line in server.fetch(job).splitlines()]
        rows = duckdb.execute(
            f"SELECT dest, dep_delay, arr_delay FROM (SELECT *, row_number() OVER () AS n FROM "
            f"read_parquet('{folder / 'flights.parquet'}')) ORDER BY {order}, n LIMIT {limit} OFFSET {offset}"
        ).fetchall()
        assert [tuple(r.values()) for r in records] == rows


def test_without_sort_records_come_in_data_set_order(server):
    job = server.run(dataset="many", format="csv", offset=950, limit=100)
    lines = server.fetch(job).decode().splitlines()[1:]
    assert lines == [f"0,{n}" for n in range(950, 1000)] + [f"1,{n}" for n in range(50)]


def test_same_question_same_bytes(server):
    asked = dict(dataset="flights", filter="dest = 'LAX'", format="csv", sort=["carrier"])
    first, second = server.run(**asked), server.run(**asked)
    assert first["result"]["sha256"] == second["result"]["sha256"]
    assert server.fetch(first) == server.fetch(second)
