"""What curl and other plain clients see."""

import subprocess
import time

import requests


def curl(*arguments):
    run = subprocess.run(["curl", "-sS", "-m", "60", *arguments], capture_output=True, check=True)
    return run.stdout


def test_curl_follows_a_job_from_submit_to_file(server, tmp_path):
    auth = ["-u", f"{server.token}:"]
    body = '{"kind": "query", "dataset": "flights", "filter": "dest = \'LAX\'", "format": "csv"}'
    answer = curl(*auth, "-H", "content-type: application/json", "-d", body, f"{server.url}/v1/jobs")
    job = __import__("json").loads(answer)
    done = __import__("json").loads(curl(*auth, f"{job['link']}?wait=30"))
    assert done["state"] == "completed"
    out = tmp_path / "file"
    curl(*auth, "-L", "-o", str(out), f"{job['link']}/download")
    assert out.stat().st_size == done["result"]["bytes"]
    # A broken download goes on where it broke.
    whole = out.read_bytes()
    out.write_bytes(whole[:1000])
    curl("-C", "-", "-o", str(out), done["download_link"])
    assert out.read_bytes() == whole


def test_ranges_and_conditions(server):
    job = server.run(dataset="flights", limit=500, format="csv")
    link = job["download_link"]
    whole = requests.get(link, timeout=60)
    assert whole.headers["accept-ranges"] == "bytes"
    assert "attachment" in whole.headers["content-disposition"]
    etag, content = whole.headers["etag"], whole.content

    def part(value, **headers):
        return requests.get(link, headers={"range": value, **headers}, timeout=60)

    first = part("bytes=0-9")
    assert (first.status_code, first.content) == (206, content[:10])
    assert first.headers["content-range"] == f"bytes 0-9/{len(content)}"
    assert part("bytes=-10").content == content[-10:]
    assert part("bytes=100-").content == content[100:]
    assert part(f"bytes={len(content)}-").status_code == 416
    assert part("bytes=0-9", **{"if-range": etag}).status_code == 206
    assert part("bytes=0-9", **{"if-range": '"other"'}).status_code == 200
    assert requests.get(link, headers={"if-none-match": etag}, timeout=60).status_code == 304
    since = whole.headers["last-modified"]
    assert requests.get(link, headers={"if-modified-since": since}, timeout=60).status_code == 304
    head = requests.head(link, timeout=60)
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(content))


def test_a_link_cannot_be_bent(server):
    job = server.run(dataset="flights", limit=1, format="csv")
    link = job["download_link"]
    bent = [
        link.replace("result.csv", "manifest.json"),
        link.replace("expires=", "expires=9"),
        link[:-1] + ("0" if link[-1] != "0" else "1"),
        link + "&expires=9999999999",
        link.split("?")[0],
        link.replace("/v1/files/", "/v1/files/../"),
        link.replace("/v1/files/results", "/v1/files/%2e%2e/results"),
    ]
    for url in bent:
        request = requests.Request("GET", url).prepare()
        request.url = url
        answer = requests.Session().send(request, timeout=60)
        assert answer.status_code in (400, 403, 404), (url, answer.status_code)
        assert "year" not in answer.text


def test_long_poll_wakes_when_the_job_ends(server):
    job = server.submit(dataset="flights", format="csv", sort=["-dep_delay"])
    start = time.monotonic()
    done = server.request("GET", f"/v1/jobs/{job['job_id']}?wait=60").json()
    assert done["state"] == "completed"
    assert time.monotonic() - start < 55


def test_records_synchronously_and_in_the_background(server):
    path = "/v1/datasets/flights/records?origin=JFK&limit=5&format=json"
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
