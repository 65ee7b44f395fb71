"""The OpenAPI document is valid, and the server keeps to it under fuzzing."""

import subprocess
import sys

from openapi_spec_validator import validate

# The server must survive any input: these are the checks of answers against the document.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_the_document_is_valid_openapi(server):
    document = server.request("GET", "/v1/openapi.json").json()
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_schemathesis_finds_nothing(server, tmp_path):
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/v1/openapi.json",
            "--checks", CHECKS, "--max-examples", "15", "--seed", "1", "--workers", "2",
            "--header", f"Authorization: Bearer {server.token}", "--exclude-path-regex", "^/v1/files/",
            "--request-timeout", "30",
        ],
        cwd=tmp_path, capture_output=True, text=True,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-4_000:]
