"""Files sent to the links of a batch by clients that were not written here: curl, `http.client`, requests and urllib3."""

import http.client
import io
import socket
import subprocess
import time
from urllib.parse import urlsplit

import pytest
import requests
import urllib3

PATIENCE = 60
ON = {"code": "carrier"}
ROWS = 30_000
# Large enough that it does not fit into what sockets hold.
CONTENT = b"code,row\n" + b"".join(b"%s,%d\n" % ((b"AA", b"ZZ")[n % 2], n) for n in range(ROWS)) + b"\n" * 8_000_000


def container(server):
    body = {"kind": "append", "dataset": "flights", "on": ON, "fields": ["carrier"], "on_multiple": "first"}
    answer = server.request("POST", "/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def batch(server, job, *lengths, media_type="text/csv"):
    files = [{"name": f"{n}.csv", "bytes": length, "media_type": media_type} for n, length in enumerate(lengths)]
    answer = server.request("POST", f"/v1/jobs/{job['job_id']}/batches", json={"files": files})
    assert answer.status_code == 201, answer.text
    return answer.json()


def links(made):
    return [file["upload"] for file in made["files"]]


def close(server, job):
    answer = server.request("POST", f"/v1/jobs/{job['job_id']}/close")
    assert answer.status_code == 202, answer.text


def seen(server, job, made):
    return server.request("GET", f"/v1/jobs/{job['job_id']}/batches/{made['batch_id']}").json()


def ended(server, job, made):
    """The batch once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = seen(server, job, made)
        if found["state"] not in ("waiting_for_upload", "queued", "in_progress"):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def assert_counted_once(server, job, made, rows=ROWS):
    """The batch has the rows of its files, each once."""
    found = ended(server, job, made)
    assert found["state"] == "completed", found
    assert found["counts"]["rows"] == rows, found
    assert found["counts"]["unmatched"] == rows // 2, found


def assert_nothing_arrived(server, job, made):
    found = seen(server, job, made)
    assert found["state"] == "waiting_for_upload", found
    assert all(file["state"] == "waiting" for file in found["files"]), found


def connect(url):
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE), f"{parts.path}?{parts.query}"


def put(link, content, **headers):
    return requests.put(link["url"], data=content, headers={**link["headers"], **headers}, timeout=PATIENCE)


def curl(link, path, *more):
    headers = [part for name, value in link["headers"].items() for part in ("-H", f"{name}: {value}")]
    command = ["curl", "-sS", "-v", "--max-time", str(PATIENCE), *headers, *more, "-T", str(path), link["url"]]
    done = subprocess.run([*command, "-w", "\n%{http_code}"], capture_output=True, text=True, timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body, done.stderr


@pytest.fixture
def job(server):
    made = container(server)
    yield made
    server.request("DELETE", f"/v1/jobs/{made['job_id']}")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(CONTENT)
    return path


def test_curl_waits_for_word_to_go_on(server, job, path):
    made = batch(server, job, len(CONTENT))
    status, body, said = curl(links(made)[0], path, "-H", "Expect: 100-continue", "--expect100-timeout", "30")
    assert (status, body) == (200, ""), said
    assert "100 Continue" in said
    assert_counted_once(server, job, made)


def test_who_asks_before_sending_is_refused_before_sending(server, job, path):
    made = batch(server, job, len(CONTENT) - 1)
    asks = ("-H", "Expect: 100-continue", "--expect100-timeout", "30")
    status, body, said = curl(links(made)[0], path, *asks)
    assert status == 400 and f"not {len(CONTENT)}" in body, (body, said)
    assert "100 Continue" not in said
    assert_nothing_arrived(server, job, made)


def test_a_length_that_is_not_said_is_asked_for(server, job, path):
    made = batch(server, job, len(CONTENT))
    link = links(made)[0]
    for asks in (["-H", "Expect:"], ["-H", "Expect: 100-continue"]):
        status, body, said = curl(link, path, "-H", "Transfer-Encoding: chunked", *asks)
        assert status == 411 and f"Content-Length: {len(CONTENT)}" in body, (body, said)
    pieces = (CONTENT[at : at + 65_536] for at in range(0, len(CONTENT), 65_536))
    answer = put(link, pieces)
    assert answer.status_code == 411, answer.text
    assert answer.json()["errors"][0]["pointer"] == "header Content-Length"
    # More than sockets hold, and than is read on of a request that has no link.
    answer = put(link, (b"\n" * 65_536 for _ in range(640)))
    assert answer.status_code == 411, answer.text

    connection, target = connect(link["url"])
    connection.request("PUT", target, io.BytesIO(CONTENT), link["headers"], encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()
    assert_nothing_arrived(server, job, made)
    assert put(link, CONTENT).status_code == 200
    assert_counted_once(server, job, made)


def test_a_body_that_is_cut_counts_nothing_and_may_be_sent_again(server, job):
    made = batch(server, job, len(CONTENT))
    link = links(made)[0]
    for how in (socket.SHUT_WR, socket.SHUT_RDWR):
        connection, target = connect(link["url"])
        connection.putrequest("PUT", target)
        for name, value in {**link["headers"], "content-length": str(len(CONTENT))}.items():
            connection.putheader(name, value)
        connection.endheaders(CONTENT[: len(CONTENT) // 2])
        connection.sock.shutdown(how)
        connection.close()
    time.sleep(0.5)
    assert_nothing_arrived(server, job, made)
    answer = put(link, CONTENT)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"]
    assert_counted_once(server, job, made)


def test_a_file_that_is_sent_again_counts_once(server, job):
    small = CONTENT[: CONTENT.index(b"\n\n") + 1]
    made = batch(server, job, len(small), len(small))
    first, second = links(made)
    assert [put(first, small).status_code for _ in range(3)] == [200, 200, 200]
    assert seen(server, job, made)["state"] == "waiting_for_upload"
    assert put(second, small).status_code == 200
    assert_counted_once(server, job, made, 2 * ROWS)
    for link in (first, second):
        answer = put(link, small)
        assert answer.status_code == 409, answer.text
        assert "takes no more files" in answer.json()["detail"]
    assert_counted_once(server, job, made, 2 * ROWS)


def test_a_closed_job_takes_the_files_of_the_batches_that_it_has_and_no_others(server, job):
    made = batch(server, job, len(CONTENT))
    close(server, job)
    more = {"files": [{"name": "late.csv", "bytes": 5}]}
    assert server.request("POST", f"/v1/jobs/{job['job_id']}/batches", json=more).status_code == 409
    assert put(links(made)[0], CONTENT).status_code == 200
    assert_counted_once(server, job, made)
    done = server.wait(job)
    assert done["state"] == "completed", done
    assert done["progress"]["counts"]["rows"] == ROWS
    late = put(links(made)[0], CONTENT)
    assert late.status_code == 409, late.text


def test_a_batch_that_was_given_up_takes_nothing(server, job):
    made = batch(server, job, len(CONTENT))
    assert server.request("DELETE", f"/v1/jobs/{job['job_id']}/batches/{made['batch_id']}").status_code == 200
    late = put(links(made)[0], CONTENT)
    assert late.status_code == 409 and "cancelled" in late.json()["detail"], late.text


@pytest.mark.parametrize("off", [-1, 1, 1_000_000])
def test_a_wrong_length_is_refused_with_words(server, job, off):
    made = batch(server, job, len(CONTENT))
    link = links(made)[0]
    wrong = CONTENT[:off] if off < 0 else CONTENT + b"\n" * off
    answer = put(link, wrong)
    assert answer.status_code == 400, answer.text
    assert f"a file of {len(CONTENT)} bytes, not {len(wrong)}" in answer.json()["errors"][0]["detail"]
    assert_nothing_arrived(server, job, made)
    assert put(link, CONTENT, **{"content-type": "text/plain"}).status_code == 400
    assert put({**link, "url": link["url"].replace("bytes=", "bytes=1")}, CONTENT).status_code == 403
    assert put(link, CONTENT).status_code == 200
    assert_counted_once(server, job, made)


def test_a_stream_of_known_length_is_taken(server, job, path):
    class Slowly:
        """Bytes that come in pieces, as from a pipe whose length is known."""

        def __init__(self):
            self.left = io.BytesIO(CONTENT)

        def __len__(self):
            return len(CONTENT)

        def read(self, size=-1):
            return self.left.read(min(size, 30_011) if size > 0 else 30_011)

        def __iter__(self):
            return iter(self.read, b"")

    made = batch(server, job, len(CONTENT), len(CONTENT), len(CONTENT))
    by_file, by_pieces, by_urllib3 = links(made)
    with open(path, "rb") as file:
        assert put(by_file, file).status_code == 200
    assert put(by_pieces, Slowly()).status_code == 200
    with open(path, "rb") as file, urllib3.PoolManager() as pool:
        headers = {**by_urllib3["headers"], "content-length": str(len(CONTENT))}
        answer = pool.request("PUT", by_urllib3["url"], body=file, headers=headers, timeout=PATIENCE, retries=False)
        assert answer.status == 200, answer.data
    assert_counted_once(server, job, made, 3 * ROWS)


def test_an_upload_needs_no_token_and_gets_no_further_with_one(server, job):
    made = batch(server, job, len(CONTENT))
    unsigned = links(made)[0]["url"].partition("?")[0]
    bearer = {"authorization": f"Bearer {server.token}", "content-type": "text/csv"}
    answer = requests.put(unsigned, data=CONTENT, headers=bearer, timeout=PATIENCE)
    assert answer.status_code == 403, answer.text
    assert_nothing_arrived(server, job, made)
