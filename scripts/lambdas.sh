#!/usr/bin/env bash
# Builds each Lambda function as a zip, target/lambda/willcall-NAME/bootstrap.zip, and prints their sizes. Takes the
# directory of a Python environment that holds cargo-lambda, and the architecture: arm64 or x86_64.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
case $2 in
    arm64) machine=--arm64 target=aarch64-unknown-linux-gnu ;;
    x86_64) machine=--x86-64 target=x86_64-unknown-linux-gnu ;;
    *) echo "ARCH is arm64 or x86_64, not $2" >&2; exit 2 ;;
esac
if ! [[ -d $(rustc --print sysroot)/lib/rustlib/$target ]]; then
    echo "Rust's library for $target is not installed: rustup target add $target" >&2
    exit 1
fi
# zig, which links for Amazon Linux on any machine, comes with cargo-lambda.
export PATH="$venv/bin:$PATH"

functions=(submit status download worker notify sweeper)
for function in "${functions[@]}"; do
    # One by one, so that none gets what only another asks of a dependency.
    cargo lambda build --locked --profile lambda "$machine" --output-format zip --lambda-dir target/lambda \
        -p "willcall-$function"
done
for function in "${functions[@]}"; do
    zip=target/lambda/willcall-$function/bootstrap.zip
    printf '%-10s %6d KiB\n' "$function" $((($(stat -c %s "$zip") + 1023) / 1024))
done
