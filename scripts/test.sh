#!/usr/bin/env bash
# Runs every test. Takes the directory of a Python environment that holds tests/requirements.txt, and one in which the
# packages of tests/clients/js are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
export WILLCALL_TEST_JS=$2
# Tests of the AWS adapters start an emulator with it.
export WILLCALL_TEST_PYTHON=$venv/bin/python

# Scenarios run the command and the functions as programs; those of some packages no test would build. In one build with
# the tests, so that the cores have always something to do.
cargo build --workspace --all-features --locked --bins --tests --examples
# Many tests wait more than they compute.
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$((5 * $(getconf _NPROCESSORS_ONLN) / 2))}
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --all-features --locked
else
    cargo test --workspace --all-features --locked --all-targets
fi
# To look for examples that can be run, rustdoc reads one crate after the other whole: only if some comment has one, fenced
# or indented.
examples=$(find cli functions infra/local shared tests -name '*.rs' -exec awk '
    FNR == 1 { fenced = 0 }
    /^ *\/\/[\/!] *```/ { fenced = !fenced; if (fenced && !/```(ignore|text)/) print FILENAME ": " $0; next }
    /^ *\/\/[\/!]     +[^ ]/ { if (!fenced) print FILENAME ": " $0 }' {} +)
if [[ -n $examples ]]; then
    cargo test --workspace --all-features --locked --doc
fi
# The command as it is shipped says how to get what it was built without. Only the command itself is built anew.
cargo test --workspace --locked --test get not_built

# The independent clients drive the binary that the tests above were built with.
binary=$(cargo metadata --format-version 1 --no-deps --locked |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug/willcall
WILLCALL_BINARY=$binary "$venv/bin/python" -m pytest -q -p no:cacheprovider tests/clients
