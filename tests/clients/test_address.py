"""What plain clients see of any host: these also run against the address that WILLCALL_URL names."""

import gzip
import hashlib
import io
import json
import subprocess
import time

import duckdb
import pandas
import pyarrow.parquet as pq
import pytest
import requests

pytestmark = pytest.mark.any_host


def curl(*arguments):
    run = subprocess.run(["curl", "-sS", "-m", "60", *arguments], capture_output=True, check=True)
    return run.stdout


def test_curl_follows_a_job_from_submit_to_file(server, tmp_path):
    auth = ["-u", f"{server.token}:"]
    body = '{"kind": "query", "dataset": "numbers", "filter": "word = \'red\'", "limit": 1000, "format": "csv"}'
    answer = curl(*auth, "-H", "content-type: application/json", "-d", body, f"{server.url}/v1/jobs")
    job = json.loads(answer)
    done = json.loads(curl(*auth, f"{job['link']}?wait=25"))
    assert done["state"] == "completed", done
    out = tmp_path / "file"
    # What follows the redirect must not carry the token along: the link needs none.
    curl(*auth, "-L", "-o", str(out), f"{job['link']}/download")
    assert out.stat().st_size == done["result"]["bytes"]
    # A broken download goes on where it broke.
    whole = out.read_bytes()
    out.write_bytes(whole[:1000])
    curl("-C", "-", "-o", str(out), done["download_link"])
    assert out.read_bytes() == whole
    assert hashlib.sha256(whole).hexdigest() == done["result"]["sha256"]


def test_ranges_of_the_link(server):
    job = server.run(dataset="numbers", limit=500, format="csv")
    link = job["download_link"]
    whole = requests.get(link, timeout=60)
    assert whole.headers["accept-ranges"] == "bytes"
    assert "attachment" in whole.headers["content-disposition"]
    content = whole.content

    def part(value):
        return requests.get(link, headers={"range": value}, timeout=60)

    first = part("bytes=0-9")
    assert (first.status_code, first.content) == (206, content[:10])
    assert first.headers["content-range"] == f"bytes 0-9/{len(content)}"
    assert part("bytes=-10").content == content[-10:]
    assert part("bytes=100-").content == content[100:]
    assert part(f"bytes={len(content)}-").status_code == 416
    etag = whole.headers["etag"]
    assert requests.get(link, headers={"if-none-match": etag}, timeout=60).status_code == 304


def test_long_poll_wakes_when_the_job_ends(server):
    job = server.submit(dataset="numbers", format="csv", sort=["-mixed"], limit=1000)
    start = time.monotonic()
    done = server.request("GET", f"/v1/jobs/{job['job_id']}?wait=25").json()
    assert done["state"] == "completed"
    assert time.monotonic() - start < 24


def numbers(table):
    """Whether the table is the first 1000 records, as pandas has it."""
    words = ["red", "green", "blue", None]
    assert list(table["n"]) == list(range(1000))
    assert [None if pandas.isna(word) else word for word in table["word"]] == [words[n % 4] for n in range(1000)]
    assert table["mixed"].nunique() == 1000


def test_pandas_reads_csv(server):
    job = server.run(dataset="numbers", filter="n < 1000", format="csv")
    numbers(pandas.read_csv(io.BytesIO(server.fetch(job))))


def test_pandas_reads_gzipped_lines(server):
    job = server.run(dataset="numbers", filter="n < 1000", format="jsonl", compression="gzip")
    numbers(pandas.read_json(io.BytesIO(gzip.decompress(server.fetch(job))), lines=True))


def test_pyarrow_and_duckdb_read_parquet(server, tmp_path):
    job = server.run(dataset="numbers", filter="n < 1000", format="parquet")
    file = tmp_path / "numbers.parquet"
    file.write_bytes(server.fetch(job))
    numbers(pq.read_table(file).to_pandas())
    counted = duckdb.execute(f"SELECT count(*), count(word), max(n) FROM read_parquet('{file}')").fetchone()
    assert counted == (1000, 750, 999)


def test_records_synchronously_and_in_the_background(server):
    path = "/v1/datasets/numbers/records?word=red&limit=5&format=json"
    answer = server.request("GET", path)
    assert answer.status_code == 200
    assert len(answer.json()) == 5
    job = answer.headers["willcall-job-id"]
    same = server.request("GET", f"/v1/jobs/{job}/result")
    assert same.content == answer.content
    later = server.request("GET", path, headers={"prefer": "respond-async"})
    assert later.status_code == 202
    assert later.headers["preference-applied"] == "respond-async"
    assert later.json()["state"] in ("accepted", "processing", "completed")
