#!/usr/bin/env bash
# Checks what the architecture promises and the compiler does not: which crate may link what, that tests have no
# dependency compiled twice, and that files stay small enough to be read.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

# crate, then an extended regular expression of what it must not link.
links() {
    local found
    found=$(cargo tree --locked -p "$1" -e normal --prefix none | awk '{print $1}' | sort -u | grep -E "^($2)$" || true)
    if [[ -n $found ]]; then
        echo "$1 must not link: $(tr '\n' ' ' <<<"$found")" >&2
        failed=1
    fi
}

planner='datafusion.*|willcall-sql'
engine="$planner|parquet|arrow.*|willcall-engine"
lambda='.*lambda_.*|willcall-lambda'
hosts="aws-.*|$lambda|rusqlite|willcall-embedded"
links willcall-core "$engine|$hosts|axum.*|hyper.*|reqwest|willcall-http"
links willcall-http "$engine|$hosts|reqwest"
links willcall-embedded "$engine|aws-.*|$lambda|axum.*|willcall-http"
links willcall-aws "$engine|rusqlite|$lambda|willcall-embedded|willcall-http|axum.*|reqwest"
# By default. With its feature `aws` it has the commands for the AWS host.
links willcall "aws-.*|$lambda|willcall-aws"
links willcall-s3 "$engine|aws-.*|rusqlite|$lambda|willcall-embedded|willcall-http|axum.*"
links willcall-objects "$engine|$hosts|axum.*|hyper.*|reqwest|object_store|willcall-http"
links willcall-aws-test "$engine|rusqlite|$lambda|willcall-embedded|willcall-http|axum.*|reqwest"
links willcall-aws-local "$engine|rusqlite|$lambda|willcall-embedded|willcall-http|axum.*|reqwest"
links willcall-engine "$planner|$hosts|axum.*|reqwest|willcall-http"
links willcall-sql "$hosts|axum.*|hyper.*|reqwest|willcall-http"
links willcall-outbound "$engine|$hosts|axum.*|reqwest|willcall-http"
links willcall-upstream "$planner|$hosts|axum.*|reqwest|willcall-http"
links willcall-webhook "$engine|$hosts|axum.*|reqwest|willcall-http"
links willcall-conformance "$engine|$hosts|axum.*"
links willcall-lambda "$engine|rusqlite|willcall-embedded|willcall-http|reqwest"
# A cold start of these has no query engine to load.
for function in submit status download notify sweeper; do
    links "willcall-$function" "$engine|willcall-upstream|rusqlite|willcall-embedded|reqwest"
done
links willcall-worker "rusqlite|willcall-embedded|willcall-http|reqwest"

# A dependency that has other features with tests than without is compiled twice, with all that links it.
features() {
    cargo tree --locked --workspace --all-features -e "$1" --prefix none -f '{p} {f}' | sed 's/ (\*)$//' | sort -u
}
without=$(features normal,build) with=$(features normal,build,dev)
twice=$(comm -23 <(echo "$without") <(echo "$with"))
if [[ -n $twice ]]; then
    echo "with tests these have more features: have tests/Cargo.toml choose them always, too" >&2
    cut -d ' ' -f 1,2 <<<"$twice" >&2
    failed=1
fi

# Tests stand beside the code, so they count too; 600 is where a file is surely two.
while IFS= read -r file; do
    lines=$(wc -l <"$file")
    if ((lines > 600)); then
        echo "$file has $lines lines: split it" >&2
        failed=1
    fi
done < <(git ls-files '*.rs' '*.py')

exit "$failed"
