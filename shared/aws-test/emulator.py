"""Serves S3, SQS and DynamoDB on a loopback port with moto, for as long as anybody uses it.

Takes a directory, and `--live-clock`. Writes the port to `port` there once it answers. Those who use the server hold a shared lock on
`users`; when nobody has held one for some seconds, the server ends by itself, however its users ended.

Two things differ from `moto_server`: requests are served one after the other, because moto's own checks and writes
are not atomic, and the clock of SQS stands still but for `POST /advance/{seconds}`, unless it is to be live.
"""

import argparse
import fcntl
import logging
import os
import threading
import time
from pathlib import Path

import moto.sqs.models
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

LINGER = 5.0
ADVANCE = "/advance/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--live-clock", action="store_true", help="let the clock of SQS go by itself")
    arguments = parser.parse_args()
    directory, held = arguments.directory, not arguments.live_clock
    logging.getLogger("werkzeug").disabled = True
    moto_app = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()
    clock = {"now": time.time() * 1000}
    if held:
        moto.sqs.models.unix_time_millis = lambda dt=None: clock["now"]

    def app(environ, start_response):
        with one_at_a_time:
            path = environ["PATH_INFO"]
            if held and path.startswith(ADVANCE):
                clock["now"] += float(path[len(ADVANCE) :]) * 1000
                start_response("204 No Content", [])
                return []
            return moto_app(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    os.environ["MOTO_PORT"] = str(server.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    new = directory / "port.new"
    new.write_text(str(server.port))
    new.rename(directory / "port")

    unused_since = None
    with open(directory / "users", "a") as users:
        while True:
            time.sleep(0.25)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                unused_since = None
                continue
            now = time.monotonic()
            unused_since = unused_since or now
            if now - unused_since > LINGER:
                # Still locked: whoever comes now waits for the end, finds no port, and starts another.
                (directory / "port").unlink()
                os._exit(0)
            fcntl.flock(users, fcntl.LOCK_UN)


main()
