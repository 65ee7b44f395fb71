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
from typing import NamedTuple

DUCKDB = """
import duckdb, json, sys, time
source, target, options, limit = sys.argv[1:]
duckdb.sql("SET preserve_insertion_order = true")
duckdb.sql("SET enable_progress_bar = false")
begun, spent = time.perf_counter(), time.process_time()
duckdb.sql(f"COPY (SELECT * FROM read_parquet('{source}') {limit}) TO '{target}' ({options})")
print(json.dumps({"seconds": time.perf_counter() - begun, "cpu": time.process_time() - spent}))
"""
# DuckDB's json is what others call JSON Lines.
OPTIONS = {"csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION snappy"}
INSTALL = "pip install -r benches/requirements.txt"


class NotThere(Exception):
    """A peer that is not installed, in words, with how to install it."""


class Ran(NamedTuple):
    """What a command took: seconds, those of processors, its peak memory in bytes, and what it wrote."""

    seconds: float
    cpu: float
    peak: int
    out: str


def run(command, env=None):
    """Runs a command to its end."""
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
        return Ran(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out.read().decode())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pids):
    """These processes and all below them."""
    todo = list(pids)
    while todo:
        pid = todo.pop()
        todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        yield pid


def spent(pids):
    """Seconds of processors that these have had, with their children that have ended."""
    ticks = 0
    for pid in pids:
        # The command's name may have anything in it, and ends with the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class Process:
    """A process of a peer, until it is stopped."""

    def __init__(self, command, log, env=None):
        self.command, self.log = command, log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)

    def until(self, answers):
        """Returns when it answers. One that does not is stopped, and an error says what it wrote."""
        until = time.monotonic() + 60
        while True:
            try:
                if answers():
                    return
            except (OSError, http.client.HTTPException):
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{self.command[0]} does not answer: {Path(self.log).read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Server(Process):
    """A process that answers HTTP."""

    def __init__(self, command, port, path, log, headers=None, env=None):
        super().__init__(command, log, env)
        self.port, self.headers = port, headers or {}
        self.until(lambda: self.connect().get(path)[0] < 500)

    def connect(self):
        return Connection(self.port, self.headers)

    def cpu(self):
        """Seconds of processors so far."""
        return spent(tree([self.process.pid]))

    def peak(self):
        """The most memory that it has had, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


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
        ran = run(self.command("get", dataset, "-o", str(target), *limited))
        shutil.rmtree(self.data)
        return {"seconds": ran.seconds, "cpu": ran.cpu, "peak": ran.peak, "bytes": Path(target).stat().st_size}

    def serve(self):
        made = run(self.command("token", "create", "--json", "--account", "bench", "--plan", "bench", "--scope", "admin"))
        token = json.loads(made.out)["token"]
        port = free_port()
        command = self.command("serve", "--bind", f"127.0.0.1:{port}")
        headers = {"authorization": f"Bearer {token}"}
        return Server(command, port, "/healthz", self.directory / "serve.log", headers)


class DuckDb:
    name = "duckdb"

    def __init__(self):
        if importlib.util.find_spec("duckdb") is None:
            raise NotThere(f"the Python package duckdb is not installed: {INSTALL}")

    def export(self, source, form, target, limit=None):
        """COPY alone: neither the start of Python nor the import of DuckDB counts as time."""
        Path(target).unlink(missing_ok=True)
        limited = f"LIMIT {limit}" if limit else ""
        command = [sys.executable, "-c", DUCKDB, str(source), str(target), OPTIONS[form], limited]
        ran = run(command)
        return {**json.loads(ran.out), "peak": ran.peak, "bytes": Path(target).stat().st_size}


class Roapi:
    name = "roapi"

    def __init__(self):
        beside = Path(sys.executable).with_name("roapi")
        self.binary = str(beside) if beside.is_file() else shutil.which("roapi")
        if not self.binary:
            raise NotThere(f"the command roapi is not installed: {INSTALL}")

    def serve(self, table, path, log):
        port = free_port()
        postgres = f"127.0.0.1:{free_port()}"
        flight = f"127.0.0.1:{free_port()}"
        command = [self.binary, "--table", f"{table}={path}", "--addr-http", f"127.0.0.1:{port}"]
        return Server([*command, "--addr-postgres", postgres, "--addr-flight-sql", flight], port, "/api/schema", log)


class Celery:
    """Tasks of Celery with Redis behind FastAPI: as many workers as cores, and as many processes for HTTP."""

    name = "celery"

    def __init__(self):
        needed = ("celery", "redis", "fastapi", "uvicorn", "duckdb")
        missing = [package for package in needed if importlib.util.find_spec(package) is None]
        if missing:
            raise NotThere(f"Python packages are not installed, {', '.join(missing)}: {INSTALL}")
        self.redis = shutil.which("redis-server")
        if not self.redis:
            raise NotThere("the command redis-server is not installed: apt-get install redis-server")

    def serve(self, path, directory, fsync):
        """Redis writes its log to disk when `fsync` says: `always` before each answer, `everysec` once a second."""
        return CeleryServers(self.redis, path, Path(directory), fsync)


class CeleryServers:
    """The three of them, which are one to a client."""

    def __init__(self, redis, path, directory, fsync):
        directory.mkdir(parents=True)
        cores = str(len(os.sched_getaffinity(0)))
        port = free_port()
        env = {
            **os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_REDIS": f"redis://127.0.0.1:{port}/0", "BENCH_PARQUET": str(path),
        }
        self.processes = []
        try:
            log = ["--appendonly", "yes", "--appendfsync", fsync, "--save", ""]
            command = [redis, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory), *log]
            store = self.started(Process(command, directory / "redis.log"))
            store.until(lambda: socket.create_connection(("127.0.0.1", port), 5).close() is None)
            command = [sys.executable, "-m", "celery", "-A", "celery_peer:work", "worker"]
            self.started(Process([*command, "-c", cores, "-l", "WARNING"], directory / "celery.log", env))
            port = free_port()
            command = [sys.executable, "-m", "uvicorn", "celery_peer:web", "--host", "127.0.0.1", "--port", str(port)]
            command += ["--workers", cores, "--no-access-log", "--log-level", "warning"]
            # It is ready when a worker of Celery says that it is.
            self.web = self.started(Server(command, port, "/ready", directory / "uvicorn.log", env=env))
        except BaseException:
            self.stop()
            raise

    def started(self, process):
        self.processes.append(process)
        return process

    def connect(self):
        return self.web.connect()

    def peak(self):
        """The memory of all processes now, what they share counted once: less than the most that each has had."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def cpu(self):
        """Seconds of processors so far, of all processes."""
        return spent(self.pids())

    def pids(self):
        return tree(one.process.pid for one in self.processes)

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
