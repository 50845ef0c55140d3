# Every target does its own set-up in .venv; nothing outside this folder is touched.
# A machine needs Python 3.11+ (with venv), make and a C compiler.

PYTHON ?= python3
# Torch goes first, alone: other packages would otherwise pull whatever build they find.
# For a CPU-only build pass the index that pytorch.org names, e.g. TORCH="torch==2.13.0 --index-url URL"
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The studio's tools run on the Node that comes with the environment; using the service needs none.
NPM := $(BIN)/python studio/scripts/npm.py
STUDIO_READY := studio/node_modules/.ready
STUDIO_OUT := studio/.out
RUFF_PATHS := src tests training benchmarks studio/scripts

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check check-studio studio fix docs clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Create .venv with everything installed

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable ".[engine,hub,serve,postgres,bridge,otel,cluster]"
	@touch $(READY)

demo: $(READY) ## Make a video from a prompt on this machine
	$(BIN)/ourvidz generate "a red circle moving left on a black background" --job-type video_fast --seed 7 --out ourvidz-out/demo.mp4
	@echo "Play ourvidz-out/demo.mp4, then try your own: $(BIN)/ourvidz generate \"a large blue star moving up\""
	@echo "Or in a browser: $(BIN)/ourvidz serve, then open http://127.0.0.1:8000"

test: $(READY) ## Run the quick tests (about 15 minutes on 2 cores)
	$(BIN)/python -m pytest

test-slow: $(READY) ## Run the heavy tests, browsers and faults included (about 40 minutes)
	$(BIN)/python -m pytest -m "slow and not gpu"

check: $(READY) check-studio ## Format, lint, types, import rules, generated docs, the studio
	$(BIN)/ruff format --check $(RUFF_PATHS)
	$(BIN)/ruff check $(RUFF_PATHS)
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m ourvidz.catalog.reference --check docs/reference
	$(BIN)/python -m ourvidz.api.openapi docs/reference/openapi.json --check

$(STUDIO_READY): studio/package-lock.json $(READY)
	# Not `npm ci`: it refuses a lock file that lacks other platforms' optional packages.
	$(NPM) install --no-save --no-audit --no-fund --loglevel=error
	@touch $(STUDIO_READY)

check-studio: $(STUDIO_READY) ## Types, lint, unit tests and size of the studio; that its build is the committed one
	$(NPM) run --silent types -- --check
	$(NPM) run --silent check
	$(NPM) run --silent test
	STUDIO_OUT=.out $(NPM) run --silent build -- --logLevel warn
	diff -rq $(STUDIO_OUT) src/ourvidz/studio
	STUDIO_OUT=.out $(NPM) run --silent budget

studio: $(STUDIO_READY) ## Build the studio into the package
	$(NPM) run --silent types
	$(NPM) run --silent build -- --logLevel warn

fix: $(READY) $(STUDIO_READY) ## Format and mend what ruff can mend
	$(BIN)/ruff format $(RUFF_PATHS)
	$(BIN)/ruff check --fix $(RUFF_PATHS)
	$(NPM) run --silent fix

docs: $(READY) ## Write docs/reference from the catalogue and the API
	$(BIN)/python -m ourvidz.catalog.reference docs/reference
	$(BIN)/python -m ourvidz.api.openapi docs/reference/openapi.json

clean: ## Remove .venv and caches
	rm -rf $(VENV) studio/node_modules $(STUDIO_OUT) .pytest_cache .ruff_cache .hypothesis
