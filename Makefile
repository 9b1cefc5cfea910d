# `make demo` and `make test` set themselves up: a virtual environment in .venv, then vilaco with all it needs.
# Without a GPU the CPU build of PyTorch is taken where pip can find one: on Linux give pip the index of CPU wheels that
# PyTorch's install page names, `make test TORCH_INDEX=...`; without it pip takes PyTorch's default build, which is large.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Processes share the cores, so each computes with one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

.PHONY: help install demo test check docs audit format clean

help:
	@echo "make demo     install, then find the forgeries in the example photos"
	@echo "make test     install, then run the tests"
	@echo "make check    format, lint, types and tests"
	@echo "make docs     install, then build guides and API reference into site/"
	@echo "make audit    known vulnerabilities of the pinned versions"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@echo "==> making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vilaco needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "==> installing PyTorch $(TORCH)"
	@if command -v nvidia-smi >/dev/null 2>&1; then $(BIN)/pip install -q "torch==$(TORCH)"; else \
	  $(BIN)/pip install -q $(addprefix --extra-index-url ,$(TORCH_INDEX)) "torch==$(TORCH)+cpu" 2>/dev/null \
	  || { echo "    no CPU build found, taking the default one"; $(BIN)/pip install -q "torch==$(TORCH)"; }; fi
	@echo "==> installing vilaco and what it needs"
	@$(BIN)/pip install -q -c constraints.txt -e '.[train,report,serve,scan,ray,reuse,heif,docs,dev]'
	@touch $(INSTALLED)

demo: install
	$(BIN)/python examples/demo.py

test: install
	$(PYTEST)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

docs: install
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs site
	@echo "guides and API reference: site/index.html"

audit: install
	$(BIN)/python benchmarks/dependencies.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist demo-out site
