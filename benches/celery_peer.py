"""The small jobs as a team builds them in Python: a task of Celery, with Redis for broker and results, behind FastAPI.

`celery -A celery_peer:work worker` runs the tasks, `uvicorn celery_peer:web` takes and tells of them. The environment
names the Redis (BENCH_REDIS) and the file that is read (BENCH_PARQUET).
"""

import functools
import os

import duckdb
from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI, Response
from pydantic import BaseModel

REDIS = os.environ["BENCH_REDIS"]
PARQUET = os.environ["BENCH_PARQUET"]

work = Celery("bench", broker=REDIS, backend=REDIS)
work.conf.update(
    # A task whose worker dies is another's, as jobs of Willcall are: what Celery's own documents say to set for that.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)
web = FastAPI()


class Query(BaseModel):
    """What is asked for: 100 rows of that number."""

    number: int


@functools.cache
def database():
    """Of this worker, opened after it was forked. A worker for each core shares the cores already."""
    return duckdb.connect(config={"threads": 1})


@work.task
def select(number):
    # DuckDB writes the JSON itself: rows as Python's objects take Celery's encoder several times as long.
    rows = "SELECT * FROM read_parquet(?) WHERE l_linenumber = ? LIMIT 100"
    found = database().execute(f"SELECT json_group_array(rows) FROM ({rows}) AS rows", [PARQUET, number])
    return found.fetchone()[0]


@web.get("/ready")
def ready(response: Response):
    if not work.control.ping(timeout=1):
        response.status_code = 503


@web.post("/jobs", status_code=202)
def submit(query: Query):
    return {"id": select.delay(query.number).id}


@web.get("/jobs/{job}")
def state(job: str):
    return {"state": AsyncResult(job, app=work).state}
