"""What is measured: Willcall as it is shipped, and those that do the same work, each behind the same few calls."""

import http.client
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DUCKDB = """
import duckdb, json, sys, time
source, target, options, limit = sys.argv[1:]
duckdb.sql("SET preserve_insertion_order = true")
begun = time.perf_counter()
duckdb.sql(f"COPY (SELECT * FROM read_parquet('{source}') {limit}) TO '{target}' ({options})")
print(json.dumps({"seconds": time.perf_counter() - begun}))
"""
# DuckDB's json is what others call JSON Lines.
OPTIONS = {"csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION snappy"}


class NotThere(Exception):
    """A peer that is not installed, in words."""


def run(command, env=None):
    """Runs a command to its end: seconds, its peak memory in bytes, and what it wrote."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {err.read().decode()[-2000:]}")
        return seconds, usage.ru_maxrss * 1024, out.read().decode()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A process that answers HTTP, until it is stopped."""

    def __init__(self, command, port, path, log, headers=None):
        self.port, self.headers = port, headers or {}
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        until = time.monotonic() + 60
        while True:
            try:
                if self.connect().get(path)[0] < 500:
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{command[0]} does not answer: {Path(log).read_text()[-2000:]}")
            time.sleep(0.05)

    def connect(self):
        return Connection(self.port, self.headers)

    def peak(self):
        """The most memory that it has had, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Connection:
    """One connection that is kept, for a client that waits for each answer."""

    def __init__(self, port, headers):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = headers

    def get(self, path):
        return self.ask("GET", path, None)

    def post(self, path, body):
        return self.ask("POST", path, json.dumps(body))

    def ask(self, method, path, body):
        headers = {**self.headers, "content-type": "application/json"} if body else self.headers
        self.http.request(method, path, body, headers)
        if self.http.sock:
            self.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = self.http.getresponse()
        return answer.status, answer.read()


class Willcall:
    name = "willcall"

    def __init__(self, binary, directory, datasets):
        self.binary, self.directory = str(binary), Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        text = "[plans.bench]\ndefault = true\nmax_records = 1_000_000_000_000\nmax_open_jobs = 100_000\n"
        for name, path in datasets.items():
            text += f"[datasets.{name}]\npath = {json.dumps(str(path))}\n"
        self.catalog = self.directory / "willcall.toml"
        self.catalog.write_text(text)
        self.data = self.directory / "data"

    def command(self, *arguments):
        return [self.binary, *arguments, "--catalog", str(self.catalog), "--data-dir", str(self.data)]

    def export(self, dataset, form, target, limit=None):
        """The whole command: start, query, encoding, hash, page index, manifest, commit, and the copy to the target."""
        Path(target).unlink(missing_ok=True)
        limited = ["--limit", str(limit)] if limit else []
        seconds, peak, _ = run(self.command("get", dataset, "-o", str(target), *limited))
        measured = {"seconds": seconds, "peak": peak, "bytes": Path(target).stat().st_size}
        shutil.rmtree(self.data)
        return measured

    def serve(self):
        made = run(self.command("token", "create", "--json", "--account", "bench", "--plan", "bench", "--scope", "admin"))
        token = json.loads(made[2])["token"]
        port = free_port()
        command = self.command("serve", "--bind", f"127.0.0.1:{port}")
        headers = {"authorization": f"Bearer {token}"}
        return Server(command, port, "/healthz", self.directory / "serve.log", headers)


class DuckDb:
    name = "duckdb"

    def __init__(self):
        if importlib.util.find_spec("duckdb") is None:
            raise NotThere("the Python package duckdb is not installed")

    def export(self, source, form, target, limit=None):
        """COPY alone: neither the start of Python nor the import of DuckDB counts as time."""
        Path(target).unlink(missing_ok=True)
        limited = f"LIMIT {limit}" if limit else ""
        command = [sys.executable, "-c", DUCKDB, str(source), str(target), OPTIONS[form], limited]
        _, peak, out = run(command)
        return {"seconds": json.loads(out)["seconds"], "peak": peak, "bytes": Path(target).stat().st_size}


class Roapi:
    name = "roapi"

    def __init__(self):
        beside = Path(sys.executable).with_name("roapi")
        self.binary = str(beside) if beside.is_file() else shutil.which("roapi")
        if not self.binary:
            raise NotThere("the command roapi is not installed")

    def serve(self, table, path, log):
        port = free_port()
        postgres = f"127.0.0.1:{free_port()}"
        flight = f"127.0.0.1:{free_port()}"
        command = [self.binary, "--table", f"{table}={path}", "--addr-http", f"127.0.0.1:{port}"]
        return Server([*command, "--addr-postgres", postgres, "--addr-flight-sql", flight], port, "/api/schema", log)
