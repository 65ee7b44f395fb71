"""The links of a host that serves its own files."""

import io
import json
import time
import zipfile

import requests


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


def test_zipfile_reads_a_zip_of_result_and_manifest(server, tmp_path):
    for compression, name in [("none", "late-ones.csv"), ("gzip", "late-ones.csv.gz")]:
        job = server.run(dataset="flights", limit=500, format="csv", compression=compression, name="late ones")
        path, headers = f"/v1/jobs/{job['job_id']}/download", {"accept": "application/zip"}
        for _ in range(600):
            answer = server.session.get(server.url + path, headers=headers, timeout=60)
            if answer.status_code != 202:
                break
            time.sleep(0.1)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip"), answer.text
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert archive.testzip() is None
        assert archive.namelist() == [name, "manifest.json"]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert archive.read(name) == requests.get(job["download_link"], timeout=60).content
        manifest = json.loads(archive.read("manifest.json"))
        assert (manifest["job_id"], manifest["records"]) == (job["job_id"], 500)
        archive.extractall(tmp_path / compression)
        assert sorted(file.name for file in (tmp_path / compression).iterdir()) == sorted([name, "manifest.json"])
