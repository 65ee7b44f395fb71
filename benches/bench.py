#!/usr/bin/env python3
"""Measures Willcall and its peers in turn, A B A B, on this machine, and prints medians and ratios as a table and as JSON.

Timings are no tests: nothing fails for being slow. A peer that is not installed is named as not measured.
"""

import argparse
import json
import multiprocessing
import platform
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from peers import Celery, DuckDb, NotThere, Roapi, Willcall, run

SMALL = 69_000
# How long a client of Celery waits before it asks for a state again, in seconds: shorter takes the workers' time.
POLL = 0.005
CASES = ["export", "read", "jobs", "status", "memory", "page"]


class Report:
    """What was measured: for each line and each who did it, the values of all rounds."""

    def __init__(self):
        self.lines, self.missing, self.notes = {}, {}, []

    def add(self, line, who, unit, value, **more):
        entry = self.lines.setdefault((line, who), {"unit": unit, "values": [], "peak": [], "bytes": [], "cpu": []})
        entry["values"].append(value)
        for name in ("peak", "bytes", "cpu"):
            if more.get(name) is not None:
                entry[name].append(more[name])

    def results(self):
        found = []
        for (line, who), entry in self.lines.items():
            values = entry["values"]
            result = {
                "what": line, "who": who, "unit": entry["unit"], "median": statistics.median(values),
                "least": min(values), "most": max(values), "rounds": len(values),
                "peak_bytes": max(entry["peak"], default=None), "bytes": max(entry["bytes"], default=None),
                "cpu_seconds": statistics.median(entry["cpu"]) if entry["cpu"] else None,
            }
            base = self.lines.get((line, baseline(self.lines, line)))
            if base is not entry and base:
                result["ratio"] = result["median"] / statistics.median(base["values"])
            found.append(result)
        return found

    def table(self):
        rows = [("what", "who", "median", "unit", "ratio", "least", "most", "cpu ms", "peak MiB", "MB")]
        for r in self.results():
            mib = "" if r["peak_bytes"] is None else f"{r['peak_bytes'] / 2**20:.0f}"
            mb = "" if r["bytes"] is None else f"{r['bytes'] / 1e6:.1f}"
            ratio = f"{r['ratio']:.2f}" if "ratio" in r else ""
            cpu = "" if r["cpu_seconds"] is None else f"{1e3 * r['cpu_seconds']:.4g}"
            rows.append((r["what"], r["who"], f"{r['median']:.4g}", r["unit"], ratio, f"{r['least']:.4g}",
                         f"{r['most']:.4g}", cpu, mib, mb))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        for who, why in self.missing.items():
            print(f"not measured: {who}: {why}")
        for note in self.notes:
            print(f"note: {note}")


def baseline(lines, line):
    """Whom others are compared with: the peer, or Willcall's own smaller case, which comes first."""
    every = [who for what, who in lines if what == line]
    return next((who for who in every if not who.startswith("willcall")), every[0])


class Bench:
    def __init__(self, args, work):
        self.args, self.work, self.report = args, Path(work), Report()
        self.data = {}

    def peer(self, make):
        try:
            return make()
        except NotThere as why:
            self.report.missing[make.name] = str(why)
            return None

    def lineitem(self, scale):
        """TPC-H's lineitem at that scale, made once."""
        directory = Path(self.args.data) / f"sf{scale:g}"
        path = directory / "lineitem.parquet"
        if not path.is_file():
            beside = Path(sys.executable).with_name("tpchgen-cli")
            command = str(beside) if beside.is_file() else shutil.which("tpchgen-cli")
            if not command:
                sys.exit("tpchgen-cli is not installed: pip install -r benches/requirements.txt")
            fresh = directory.with_suffix(".making")
            run([command, "parquet", "-s", f"{scale:g}", "--tables", "lineitem", "--output-dir", str(fresh)])
            directory.mkdir(parents=True, exist_ok=True)
            (fresh / "lineitem.parquet").rename(path)
            shutil.rmtree(fresh)
        return path

    def small(self):
        path = Path(self.args.data) / f"sf{self.args.scale:g}" / f"small-{SMALL}.parquet"
        if not path.is_file():
            whole = self.willcall("small", lineitem=self.lineitem(self.args.scale))
            whole.export("lineitem", "parquet", path, SMALL)
        return path

    def willcall(self, name, **datasets):
        return Willcall(self.args.willcall, self.work / name, datasets)

    def rounds(self):
        for number in range(self.args.rounds):
            print(f"  round {number + 1} of {self.args.rounds}", file=sys.stderr)
            yield number

    def export(self):
        source = self.lineitem(self.args.scale)
        willcall, duckdb = self.willcall("export", lineitem=source), self.peer(DuckDb)
        for _ in self.rounds():
            for form in ("csv", "jsonl", "parquet"):
                line = f"export of lineitem, {form}"
                if duckdb:
                    did = duckdb.export(source, form, self.work / f"duckdb.{form}")
                    self.report.add(line, "duckdb", "s", did["seconds"], **did)
                did = willcall.export("lineitem", form, self.work / f"willcall.{form}")
                self.report.add(line, "willcall", "s", did["seconds"], **did)

    def read(self):
        small = self.small()
        ours = "/v1/datasets/small/records?l_linenumber={}&limit=100&format=json"
        theirs = "/api/tables/small?filter[l_linenumber]={}&limit=100"
        roapi = self.peer(Roapi)
        for _ in self.rounds():
            servers = [("willcall", ours, self.willcall(f"read-{uuid.uuid4()}", small=small).serve())]
            if roapi:
                servers.insert(0, ("roapi", theirs, roapi.serve("small", small, self.work / "roapi.log")))
            try:
                for clients in (1, 8):
                    for who, path, server in servers:
                        taken, elapsed, cpu = crowd(server, reader, clients, self.args.seconds, path)
                        line = f"100 of {SMALL} rows by a filter, {clients} client{'s' * (clients > 1)}"
                        self.report.add(f"{line}, p50", who, "ms", 1e3 * statistics.median(taken))
                        rate = len(taken) / elapsed
                        self.report.add(f"{line}, rate", who, "1/s", rate, cpu=cpu, peak=server.peak())
            finally:
                for _, _, server in servers:
                    server.stop()

    def jobs(self):
        small = self.small()
        celery = self.peer(Celery)
        every = [("willcall", submitter, lambda: self.willcall(f"jobs-{uuid.uuid4()}", small=small).serve())]
        if celery:
            # What its users run comes first and is compared with; `always` keeps what it has accepted, as Willcall does.
            every = [
                (f"celery, {fsync}", celery_submitter,
                 lambda fsync=fsync: celery.serve(small, self.work / f"celery-{uuid.uuid4()}", fsync))
                for fsync in ("everysec", "always")
            ] + every
        for _ in self.rounds():
            for who, work, serve in every:
                server = serve()
                try:
                    for clients in (1, 8):
                        taken, elapsed, cpu = crowd(server, work, clients, self.args.seconds, None)
                        line = f"small jobs from submit to completed, {clients} client{'s' * (clients > 1)}"
                        rate = len(taken) / elapsed
                        self.report.add(f"{line}, rate", who, "1/s", rate, cpu=cpu, peak=server.peak())
                        self.report.add(f"{line}, p99", who, "ms", 1e3 * percentile(taken, 99))
                finally:
                    server.stop()

    def status(self):
        small = self.small()
        stores = []
        for count in (1_000, self.args.jobs):
            willcall = self.willcall(f"status-{count}", small=small)
            server = willcall.serve()
            job = finished(server.connect(), {"kind": "query", "dataset": "small", "limit": 10})
            server.stop()
            multiply(willcall.data / "willcall.db", count)
            stores.append((f"willcall, {count:,} jobs", willcall, job))
        for _ in self.rounds():
            for who, willcall, job in stores:
                server = willcall.serve()
                try:
                    taken, _, cpu = crowd(server, reader, 1, self.args.seconds, f"/v1/jobs/{job}")
                    self.report.add("status of a job, p50", who, "ms", 1e3 * statistics.median(taken), cpu=cpu)
                finally:
                    server.stop()

    def memory(self):
        source = self.lineitem(self.args.memory_scale)
        willcall = self.willcall("memory", lineitem=source)
        for _ in self.rounds():
            for form in ("csv", "parquet"):
                for who, limit in (("willcall, 10,000 rows", 10_000), ("willcall, all rows", None)):
                    did = willcall.export("lineitem", form, self.work / f"memory.{form}", limit)
                    self.report.add(f"peak memory, {form}", who, "MiB", did["peak"] / 2**20, bytes=did["bytes"])
        self.report.notes.append(f"peak memory: all rows are lineitem at scale {self.args.memory_scale:g}, "
                                 f"{6_000_000 * self.args.memory_scale:,.0f} rows about")

    def page(self):
        source = self.lineitem(self.args.scale)
        server = self.willcall("page", lineitem=source).serve()
        try:
            connection = server.connect()
            job = finished(connection, {"kind": "query", "dataset": "lineitem", "format": "jsonl"})
            made = json.loads(connection.get(f"/v1/jobs/{job}")[1])["result"]
            for _ in self.rounds():
                for who, number in (("willcall, the first", 0), ("willcall, the middle", made["pages"] // 2)):
                    path = f"/v1/jobs/{job}/result/pages/{number}"
                    taken, _, cpu = crowd(server, reader, 1, self.args.seconds, path)
                    self.report.add("a page of 1000 rows, p50", who, "ms", 1e3 * statistics.median(taken), cpu=cpu)
            self.report.notes.append(f"pages: of a result of {made['bytes'] / 1e9:.2f} GB")
        finally:
            server.stop()


def percentile(values, of):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * of // 100)]


def finished(connection, body):
    """A job that has completed; its id."""
    status, answer = connection.post("/v1/jobs", body)
    if status != 202:
        raise RuntimeError(f"{status}: {answer[:500]!r}")
    job = json.loads(answer)["job_id"]
    while True:
        found = json.loads(connection.get(f"/v1/jobs/{job}?wait=60")[1])
        if found["state"] == "completed":
            return job
        if found["state"] not in ("accepted", "processing"):
            raise RuntimeError(f"a job ended: {found}")


def reader(connection, path, number):
    status, answer = connection.get(path.format(number % 7 + 1))
    if status != 200:
        raise RuntimeError(f"{path} answers {status}: {answer[:500]!r}")


def submitter(connection, _, number):
    finished(connection, {"kind": "query", "dataset": "small", "filter": f"l_linenumber = {number % 7 + 1}", "limit": 100})


def celery_submitter(connection, _, number):
    status, answer = connection.post("/jobs", {"number": number % 7 + 1})
    if status != 202:
        raise RuntimeError(f"{status}: {answer[:500]!r}")
    path = f"/jobs/{json.loads(answer)['id']}"
    until = time.monotonic() + 60
    while True:
        state = json.loads(connection.get(path)[1])["state"]
        if state == "SUCCESS":
            return
        if state in ("FAILURE", "REVOKED") or time.monotonic() > until:
            raise RuntimeError(f"a task of Celery is {state}")
        time.sleep(POLL)


def client(server, work, seconds, path, ready, go, out):
    try:
        connection, taken = server.connect(), []
        begun = time.perf_counter()
        for number in range(20):
            work(connection, path, number)
            if time.perf_counter() - begun > seconds:
                break
        ready.release()
        go.wait()
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            at = time.perf_counter()
            work(connection, path, len(taken))
            taken.append(time.perf_counter() - at)
        out.put((taken, time.perf_counter() - begun))
    except Exception as error:
        ready.release()
        out.put(error)


def crowd(server, work, clients, seconds, path):
    """Clients, each a process of its own that waits for each answer.

    The times of all, how long it took together, and the seconds of processors that the server had for each.
    """
    fork = multiprocessing.get_context("fork")
    ready, go, out = fork.Semaphore(0), fork.Event(), fork.Queue()
    processes = [fork.Process(target=client, args=(server, work, seconds, path, ready, go, out)) for _ in range(clients)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    before = server.cpu()
    go.set()
    outcomes = [out.get() for _ in processes]
    spent = server.cpu() - before
    for process in processes:
        process.join()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    every = [value for taken, _ in outcomes for value in taken]
    return every, max(elapsed for _, elapsed in outcomes), spent / len(every)


def multiply(database, count):
    """Fills the store of a server that does not run with copies of the one job that it has, each with an id of its own."""
    store = sqlite3.connect(database)
    names = [column[1] for column in store.execute("PRAGMA table_info(jobs)")]
    row = dict(zip(names, store.execute("SELECT * FROM jobs").fetchone()))
    body, own = bytes(row["body"]), row["id"]
    first = uuid.UUID(own).int

    def copies():
        for number in range(1, count):
            # Older ids, as of jobs that came before: the moment is in the upper 48 bits.
            other = str(uuid.UUID(int=first - (number << 80)))
            copy = {**row, "id": other, "body": body.replace(own.encode(), other.encode())}
            yield [copy[name] for name in names]

    with store:
        store.executemany(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", copies())
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--willcall", default="target/release/willcall", help="the binary, built for release")
    parser.add_argument("--data", default=str(Path.home() / ".cache/willcall/benches"), help="where data is kept")
    parser.add_argument("--work", help="where results go, for a while; a directory of the system's by default")
    parser.add_argument("--scale", type=float, default=1, help="TPC-H's scale factor; 1 has 6 million rows")
    parser.add_argument("--memory-scale", type=float, default=10, help="the same for the case memory")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs in the large store of the case status")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement with clients")
    parser.add_argument("--json", help="writes what was measured to this file too")
    args = parser.parse_args()
    unknown = set(args.cases) - set(CASES)
    if unknown:
        parser.error(f"no case is called {', '.join(sorted(unknown))}")
    if not Path(args.willcall).is_file():
        parser.error(f"{args.willcall} is not there: make build, or name it with --willcall")
    args.willcall = Path(args.willcall).resolve()
    # So that servers are stopped then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="willcall-bench-", dir=args.work) as work:
        bench = Bench(args, work)
        try:
            for case in args.cases or CASES:
                print(case, file=sys.stderr)
                getattr(bench, case)()
        finally:
            # What was measured before a case went wrong is worth the time that it took.
            tell(bench.report, args)


def tell(report, args):
    report.table()
    if args.json:
        version = subprocess.run([args.willcall, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        document = {
            "willcall": version, "machine": platform.platform(), "cpus": multiprocessing.cpu_count(),
            "scale": args.scale, "memory_scale": args.memory_scale, "rounds": args.rounds, "results": report.results(),
            "not_measured": report.missing, "notes": report.notes,
        }
        Path(args.json).write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
