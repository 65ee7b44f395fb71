"""Webhooks as receivers read them: the published libraries of Standard Webhooks verify what is sent, over TLS too."""

import json
import os
import queue
import signal
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from conftest import PATIENCE, ROOT, Server, binary

VERIFY_JS = Path(__file__).with_name("verify_webhook.mjs")


class Receiver:
    """Notes what comes, and answers 204."""

    def __init__(self, context=None):
        self.messages = queue.Queue()
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                messages.put((self.command, self.path, dict(self.headers), body.decode()))
                self.send_response(204)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        scheme, host = ("https", "localhost") if context else ("http", "127.0.0.1")
        self.url = f"{scheme}://{host}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.messages.get(timeout=PATIENCE)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def host(tmp_path_factory, authority):
    """A server that may send to this machine, and trusts the authority."""
    home = tmp_path_factory.mktemp("webhooks")
    catalog, address, log = home / "willcall.toml", home / "address", home / "log"
    catalog.write_text(
        f"""
        [datasets.flights]
        path = "{ROOT}/examples/flights.parquet"
        [plans.everything]
        [webhooks]
        allow = ["127.0.0.1", "localhost"]
        """
    )
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    common = ["--data-dir", str(home / "data"), "--catalog", str(catalog)]
    environment = {**os.environ, "SSL_CERT_FILE": str(home / "ca.pem")}
    with open(log, "w") as out:
        process = subprocess.Popen(
            [binary(), "serve", "--bind", "127.0.0.1:0", "--address-file", str(address), *common],
            stdout=out, stderr=subprocess.STDOUT, env=environment,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not address.exists() or not address.read_text().strip():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        made = subprocess.run(
            [binary(), "token", "create", "--account", "tests", "--scope", "admin", "--json", *common],
            check=True, capture_output=True, text=True,
        )
        yield Server(address.read_text().strip(), json.loads(made.stdout)["token"], home)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
        assert "panicked" not in log.read_text()
        assert "whsec_" not in log.read_text()
    finally:
        process.kill()


@pytest.fixture
def webhook(host):
    """Makes endpoints that go with the test."""
    made = []

    def create(url, **members):
        answer = host.request("POST", "/v1/webhooks", json={"url": url, **members})
        assert answer.status_code == 201, answer.text
        made.append(answer.json())
        return made[-1]

    yield create
    for one in made:
        host.request("DELETE", f"/v1/webhooks/{one['webhook_id']}")


def query(**members):
    return {"dataset": "flights", "limit": 3, "format": "csv", **members}


def verify_js(secret, headers, body):
    """What the JavaScript library says."""
    modules = os.environ.get("WILLCALL_TEST_JS")
    assert modules, "WILLCALL_TEST_JS does not name the directory of the JavaScript libraries: run make test"
    given = json.dumps({"secret": secret, "headers": headers, "body": body})
    # Modules are found beside the script that asks for them.
    script = Path(modules) / VERIFY_JS.name
    script.write_text(VERIFY_JS.read_text())
    done = subprocess.run(["node", str(script)], input=given, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_both_libraries_verify_what_an_endpoint_is_sent(host, webhook):
    receiver = Receiver()
    made = webhook(f"{receiver.url}/all", events=["results.ready"])
    job = host.run(**query())
    _, _, headers, body = receiver.next()
    message = Webhook(made["secret"]).verify(body, headers)
    assert message["type"] == "results.ready"
    assert message["data"]["job_id"] == job["job_id"]
    assert message["data"]["result"]["sha256"] == job["result"]["sha256"]
    assert verify_js(made["secret"], headers, body)["payload"] == message
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(body.replace("completed", "complete"), headers)
    assert "error" in verify_js(made["secret"], headers, body.replace("completed", "complete"))


def test_both_secrets_verify_during_a_rotation(host, webhook):
    receiver = Receiver()
    first = webhook(receiver.url)
    second = host.request("POST", f"/v1/webhooks/{first['webhook_id']}/rotate").json()
    host.run(**query())
    _, _, headers, body = receiver.next()
    assert len({k.lower(): v for k, v in headers.items()}["webhook-signature"].split(" ")) == 2
    for secret in (first["secret"], second["secret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "results.ready"
        assert "payload" in verify_js(secret, headers, body)


def test_a_get_is_verified_over_its_whole_query(host):
    receiver = Receiver()
    secret = host.request("POST", "/v1/account/webhook-secret/rotate").json()["secret"]
    job = host.run(**query(notification_url=f"{receiver.url}/hook?mine=a%20b", notification_method="GET"))
    method, path, headers, body = receiver.next()
    assert (method, body) == ("GET", "")
    sent = path.split("?", 1)[1]
    assert sent.startswith(f"mine=a%20b&type=results.ready&job_id={job['job_id']}&state=completed&sequence=1&")
    Webhook(secret).verify(sent, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(sent.replace("completed", "failed"), headers, json_parse=False)


def test_a_trusted_certificate_is_content_and_another_is_refused(host, authority):
    secret = host.request("POST", "/v1/account/webhook-secret/rotate").json()["secret"]

    def receiver(of):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        of.issue_cert("localhost").configure_cert(context)
        return Receiver(context)

    trusted, untrusted = receiver(authority), receiver(trustme.CA())
    host.run(**query(notification_url=f"{trusted.url}/hook"))
    _, _, headers, body = trusted.next()
    Webhook(secret).verify(body, headers)
    job = host.run(**query(notification_url=f"{untrusted.url}/hook"))
    deadline = time.monotonic() + PATIENCE
    while True:
        told = host.request("GET", f"/v1/jobs/{job['job_id']}/notifications").json()["notifications"]
        if told and told[0]["attempts"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "certificate" in told[0]["attempts"][0]["error"], told
    assert untrusted.messages.empty()
