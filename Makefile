# `make demo` shows what the pipeline does, `make test` that it does it right.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test peers

# release is for use; dev builds faster and shares its build with the tests.
PROFILE ?= release
CLIPS ?= 100
# For the comparison, e.g. PEERS="--quick" or PEERS="--rounds 9 decode".
PEERS ?=
# More for the command, e.g. RUN="--set audio.epochs=2".
RUN ?=
# Beside the tests the same set of packages as theirs: another set has other features, and heavy dependencies would be built twice.
PACKAGES := $(if $(filter dev,$(PROFILE)),--workspace --bins --tests --examples,-p pipeline -p demo)
BIN := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

help: ## List what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Install what this machine lacks (apt), see setup.sh
	@./setup.sh

build: setup ## Build the binaries
	cargo build --locked --profile $(PROFILE) $(PACKAGES)

demo: build ## Render 100 clips, extract features, train five systems, make a report
	$(BIN)/demo data --out work/demo/data --clips $(CLIPS)
	$(BIN)/pipeline run all $(RUN)

test: setup ## Check the format, lint, run all tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --doc
	@# nextest runs each test in a process of its own and is faster; plain cargo runs the same tests.
	@set -e; export PIPELINE_PYTHON="$$(./setup.sh --python)"; \
	if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --workspace; \
	else \
		set -x; cargo test --locked --workspace --lib --bins --tests; \
	fi

peers: setup ## Measure beside other programs and write docs/peers.md (downloads them; half an hour)
	benches/peers/run.sh $(PEERS)
