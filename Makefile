# The everyday commands. `make test` and `make check` are what CI runs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools and Python packages live outside the tree, so that a fresh clone finds them again.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/willcall
VENV := $(CACHE)/venv-$(shell sha256sum tests/requirements.txt | cut -c1-12)
JS := $(CACHE)/js-$(shell sha256sum tests/clients/js/package-lock.json | cut -c1-12)
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny
CARGO_MACHETE := $(CACHE)/tools/bin/cargo-machete

.PHONY: help
help: ## Show this.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.PHONY: build
build: ## Build the willcall command as it is shipped.
	cargo build --release

.PHONY: test
test: $(VENV)/ready $(JS)/ready ## Run all tests: Rust, and independent clients and readers in Python.
	scripts/test.sh "$(VENV)" "$(JS)"

.PHONY: check
check: fmt-check clippy doc invariants deny unused ## Everything that reads the code without running it.

.PHONY: fmt
fmt: ## Format the code.
	cargo fmt --all

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

.PHONY: clippy
clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: doc
doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

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

.PHONY: openapi
openapi: ## Write docs/openapi.json anew from the code.
	UPDATE_OPENAPI=1 cargo test --locked -p willcall-http openapi

$(CARGO_DENY):
	cargo install cargo-deny --version 0.20.2 --locked --no-default-features --root "$(CACHE)/tools"

$(CARGO_MACHETE):
	cargo install cargo-machete --version 0.9.2 --locked --root "$(CACHE)/tools"

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
