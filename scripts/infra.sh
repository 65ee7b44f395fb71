#!/usr/bin/env bash
# Checks the infrastructure as code. Takes the directories of two Python environments, of infra/requirements.txt and of
# infra/requirements-checkov.txt, and that of the CDK's node_modules.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$1/bin checkov=$2/bin/checkov modules=$3
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# Nothing here needs AWS: neither its credentials, which must not be looked for, nor its services.
unset "${!AWS_@}"
export AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export SAM_CLI_TELEMETRY=0 CDK_DISABLE_CLI_TELEMETRY=true LOG_LEVEL=CRITICAL

# Packages are found from where the sources are. A directory of the developer's own stays.
if [[ -L infra/cdk/node_modules || ! -e infra/cdk/node_modules ]]; then
    ln -sfn "$modules" infra/cdk/node_modules
fi

# With --lint, it is cfn-lint that says whether the template is valid.
sam() {
    "$tools/sam" validate --lint --template infra/sam/template.yaml
}

policies() {
    "$checkov" --file infra/sam/template.yaml --framework cloudformation --compact --quiet --skip-download
}

# The construct is synthesized without zips that take minutes to build: stand-ins are all that the template needs.
cdk() {
    local function
    for function in submit status download worker notify sweeper; do
        mkdir -p "$out/lambda/willcall-$function"
        echo "$function" >"$out/lambda/willcall-$function/bootstrap.zip"
    done
    (
        cd infra/cdk
        node_modules/.bin/tsc
        node_modules/.bin/cdk synth --quiet --app "node build/bin/app.js" --output "$out/cdk.out" \
            -c "artifacts=$out/lambda"
    )
}

lint() {
    "$tools/cfn-lint" "$out/cdk.out/willcall.template.json"
}

same() {
    WILLCALL_SAM_TEMPLATE=$out/sam.json node --test infra/cdk/build/test/{same,contract}.test.js
}

# What runs at once keeps what it says until it has ended.
declare -A running=()
begin() {
    "$@" >"$out/$1.log" 2>&1 &
    running[$1]=$!
}
failed=0
end() {
    local check
    for check in "${!running[@]}"; do
        if ! wait "${running[$check]}"; then
            echo "infra: $check failed" >&2
            cat "$out/$check.log" >&2
            failed=1
        fi
    done
    running=()
}

"$tools/python" infra/check/transform.py infra/sam/template.yaml "$out/sam.json"
begin sam
begin policies
begin cdk
end
((failed)) && exit 1

deployed() {
    "$tools/python" infra/check/deploy.py "$out/sam.json" "$out/cdk.out/willcall.template.json"
}
begin same
begin lint
begin deployed
end
((failed)) && exit 1
grep -E '^# (pass|fail) ' "$out/same.log"
cat "$out/deployed.log"
