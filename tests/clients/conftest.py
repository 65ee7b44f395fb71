"""A server of the real binary over real and awkward data, for clients that were not written here.

With WILLCALL_URL and WILLCALL_TOKEN, tests that are marked `any_host` run against that address instead, whose data set
`numbers` must be the one that `cargo run -p willcall-tests --example numbers` writes; the others are skipped by name.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

import awkward

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60


class Server:
    """A running `willcall serve` and a token for it."""

    def __init__(self, url, token, catalog_dir):
        self.url = url
        self.token = token
        self.catalog_dir = catalog_dir
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def request(self, method, path, **options):
        url = path if path.startswith("http") else self.url + path
        return self.session.request(method, url, timeout=PATIENCE, **options)

    def submit(self, **body):
        answer = self.request("POST", "/v1/jobs", json={"kind": "query", **body})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def wait(self, job):
        deadline = time.monotonic() + PATIENCE
        while True:
            job = self.request("GET", f"/v1/jobs/{job['job_id']}?wait=10").json()
            if job["state"] not in ("accepted", "processing"):
                return job
            assert time.monotonic() < deadline, job

    def run(self, **body):
        """The completed job of a query."""
        job = self.wait(self.submit(**body))
        assert job["state"] == "completed", job
        return job

    def fetch(self, job):
        """The bytes behind the job's link, without a token."""
        answer = requests.get(job["download_link"], timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.content


def pytest_configure(config):
    config.addinivalue_line("markers", "any_host: runs against any address that serves `numbers`")


def pytest_collection_modifyitems(items):
    if not os.environ.get("WILLCALL_URL"):
        return
    for item in items:
        if not item.get_closest_marker("any_host"):
            item.add_marker(pytest.mark.skip(reason="needs a server of its own"))


def binary():
    path = os.environ.get("WILLCALL_BINARY")
    assert path and Path(path).is_file(), "WILLCALL_BINARY does not name the willcall binary: run make test"
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A catalog over the example data and over a table of awkward values."""
    folder = tmp_path_factory.mktemp("catalog")
    awkward.write(folder / "awkward.parquet")
    awkward.write_numbers(folder / "numbers.parquet")
    (folder / "many").mkdir()
    awkward.write_many(folder / "many")
    (folder / "willcall.toml").write_text(
        f"""
        [datasets.flights]
        path = "{ROOT}/examples/flights.parquet"
        [datasets.flights.views.delays]
        fields = ["carrier", "flight", "dep_delay"]
        [datasets.awkward]
        path = "awkward.parquet"
        [datasets.numbers]
        path = "numbers.parquet"
        [datasets.many]
        path = "many"
        [plans.everything]
        default = true
        max_records = 100000000
        max_open_jobs = 1000
        sql = true
        [plans.small]
        max_records = 10
        datasets = ["flights"]
        """
    )
    return folder


@pytest.fixture(scope="session")
def server(request, tmp_path_factory):
    if url := os.environ.get("WILLCALL_URL"):
        token = os.environ.get("WILLCALL_TOKEN")
        assert token, "WILLCALL_URL is set and WILLCALL_TOKEN is not"
        yield Server(url.rstrip("/"), token, None)
        return
    data = request.getfixturevalue("data")
    home = tmp_path_factory.mktemp("home")
    common = ["--data-dir", str(home / "data"), "--catalog", str(data / "willcall.toml")]
    address = home / "address"
    log = open(home / "log", "w")
    process = subprocess.Popen(
        [binary(), "serve", "--bind", "127.0.0.1:0", "--address-file", str(address), *common],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not address.exists() or not address.read_text().strip():
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.02)
        made = subprocess.run(
            [binary(), "token", "create", "--account", "tests", "--plan", "everything", "--scope", "admin",
             "--json", *common],
            check=True, capture_output=True, text=True,
        )
        yield Server(address.read_text().strip(), json.loads(made.stdout)["token"], data)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, (home / "log").read_text()
        assert "panicked" not in (home / "log").read_text()
    finally:
        process.kill()
        log.close()
