#!/usr/bin/env bash
# Runs every test. Takes the directory of a Python environment that holds tests/requirements.txt, and one in which the
# packages of tests/clients/js are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
export WILLCALL_TEST_JS=$2
# Tests of the AWS adapters start an emulator with it.
export WILLCALL_TEST_PYTHON=$venv/bin/python

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked
else
    cargo test --workspace --locked --all-targets
fi
cargo test --workspace --locked --doc

# The independent clients drive the binary that the tests above were built with.
binary=$(cargo metadata --format-version 1 --no-deps --locked |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/willcall
WILLCALL_BINARY=$binary "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/clients
