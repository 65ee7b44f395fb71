#!/usr/bin/env bash
# Builds what runs the AWS host on this machine, and runs it. Takes the directory of a Python environment that holds
# tests/requirements.txt, then options of willcall-aws-local. The development profile: it shares the tests' build.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
shift
packages=(-p willcall -p willcall-aws-local)
for function in submit status download worker notify sweeper; do
    packages+=(-p "willcall-$function")
done
cargo build --locked --features willcall/aws "${packages[@]}"
target=$(cargo metadata --format-version 1 --no-deps --locked |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
WILLCALL_TEST_PYTHON=$venv/bin/python exec "$target/debug/willcall-aws-local" "$@"
