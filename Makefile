# The everyday commands. `make test` and `make check` are what CI runs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools and Python packages live outside the tree, so that a fresh clone finds them again.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/willcall
VENV := $(CACHE)/venv-$(shell sha256sum tests/requirements.txt | cut -c1-12)
CARGO_LAMBDA := $(CACHE)/cargo-lambda-1.9.2
BENCH_VENV := $(CACHE)/bench-$(shell sha256sum benches/requirements.txt | cut -c1-12)
INFRA_VENV := $(CACHE)/infra-$(shell sha256sum infra/requirements.txt | cut -c1-12)
CHECKOV_VENV := $(CACHE)/checkov-$(shell sha256sum infra/requirements-checkov.txt | cut -c1-12)
CDK_MODULES := $(CACHE)/cdk-$(shell sha256sum infra/cdk/package-lock.json | cut -c1-12)
JS := $(CACHE)/js-$(shell sha256sum tests/clients/js/package-lock.json | cut -c1-12)
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny
CARGO_MACHETE := $(CACHE)/tools/bin/cargo-machete

.PHONY: help
help: ## Show this.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.PHONY: build
build: ## Build the willcall command as it is shipped.
	cargo build --release

# The architecture of the Lambda functions: arm64 or x86_64.
ARCH ?= arm64

.PHONY: lambdas
lambdas: $(CARGO_LAMBDA)/ready ## Build the Lambda functions as zips, for arm64 or with ARCH=x86_64, and print their sizes.
	scripts/lambdas.sh "$(CARGO_LAMBDA)" "$(ARCH)"

# Options of the local AWS host: make aws-local ARGS="--port 9000".
ARGS ?=

.PHONY: aws-local
aws-local: $(VENV)/ready ## Run the AWS host on this machine, on an emulator or on AWS_ENDPOINT_URL; options in ARGS.
	scripts/aws-local.sh "$(VENV)" $(ARGS)

.PHONY: test
test: $(VENV)/ready $(JS)/ready ## Run all tests: Rust, and independent clients and readers in Python.
	scripts/test.sh "$(VENV)" "$(JS)"

.PHONY: bench
bench: $(BENCH_VENV)/ready build ## Measure Willcall and its peers on this machine; options and cases in ARGS.
	"$(BENCH_VENV)/bin/python" benches/bench.py --willcall "$${CARGO_TARGET_DIR:-target}/release/willcall" $(ARGS)

.PHONY: check
check: fmt-check clippy doc invariants deny unused infra-check ## Everything that reads the code without running it.

.PHONY: fmt
fmt: ## Format the code.
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

.PHONY: clippy
clippy:
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

.PHONY: doc
doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --locked --document-private-items

.PHONY: invariants
invariants: ## Check what each crate may link, and the size of files.
	scripts/invariants.sh

.PHONY: deny
deny: $(CARGO_DENY) ## Check licences, sources and duplicate versions of dependencies.
	$(CARGO_DENY) check bans licenses sources

.PHONY: advisories
advisories: $(CARGO_DENY) ## Check dependencies against the RustSec advisories; needs the advisory database.
	$(CARGO_DENY) check advisories

.PHONY: unused
unused: $(CARGO_MACHETE) ## Find dependencies that nothing uses.
	$(CARGO_MACHETE)

.PHONY: infra-check
infra-check: $(INFRA_VENV)/ready $(CHECKOV_VENV)/ready $(CDK_MODULES)/ready ## Check infra/: lint, policies, deployment to an emulator, CDK against SAM.
	scripts/infra.sh "$(INFRA_VENV)" "$(CHECKOV_VENV)" "$(CDK_MODULES)/node_modules"

.PHONY: openapi
openapi: ## Write docs/openapi.json anew from the code.
	UPDATE_OPENAPI=1 cargo test --locked -p willcall-http openapi

$(CARGO_DENY):
	cargo install cargo-deny --version 0.20.2 --locked --no-default-features --root "$(CACHE)/tools"

$(CARGO_MACHETE):
	cargo install cargo-machete --version 0.9.2 --locked --root "$(CACHE)/tools"

# It is on PyPI because it comes with zig there, the linker for Lambda's system on any machine.
$(CARGO_LAMBDA)/ready:
	python3 -m venv "$(CARGO_LAMBDA)"
	"$(CARGO_LAMBDA)/bin/pip" install --quiet --disable-pip-version-check cargo-lambda==1.9.2
	touch $@

# The directory is named by what it must hold, so it never goes stale.
$(VENV)/ready:
	python3 -m venv "$(VENV)"
	"$(VENV)/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

$(JS)/ready: tests/clients/js/package.json tests/clients/js/package-lock.json
	mkdir -p "$(JS)"
	cp $^ "$(JS)"
	npm ci --silent --no-audit --no-fund --prefix "$(JS)"
	touch $@

$(BENCH_VENV)/ready:
	python3 -m venv "$(BENCH_VENV)"
	"$(BENCH_VENV)/bin/pip" install --quiet --disable-pip-version-check -r benches/requirements.txt
	touch $@

$(INFRA_VENV)/ready:
	python3 -m venv "$(INFRA_VENV)"
	"$(INFRA_VENV)/bin/pip" install --quiet --disable-pip-version-check -r infra/requirements.txt
	touch $@

$(CHECKOV_VENV)/ready:
	python3 -m venv "$(CHECKOV_VENV)"
	"$(CHECKOV_VENV)/bin/pip" install --quiet --disable-pip-version-check -r infra/requirements-checkov.txt
	touch $@

$(CDK_MODULES)/ready:
	mkdir -p "$(CDK_MODULES)"
	cp infra/cdk/package.json infra/cdk/package-lock.json infra/cdk/.npmrc "$(CDK_MODULES)"
	npm ci --prefix "$(CDK_MODULES)" --ignore-scripts --no-progress --loglevel=error
	touch $@
