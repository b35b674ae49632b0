# Everything is installed into .venv, once for each state of pyproject.toml and constraints.txt;
# after that no target touches the network.

PYTHON ?= python3
VENV   := .venv
# Tools run as `python -m`, not by their scripts, whose first line breaks when the folder is moved.
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt
STATE  := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
BASE   := $(VENV)/base-$(STATE)
DEV    := $(VENV)/dev-$(STATE)
LAB    := $(VENV)/lab-$(STATE)
STAMPS := $(VENV)/base-* $(VENV)/dev-* $(VENV)/lab-*
PYTEST := $(PY) -m pytest

.DEFAULT_GOAL := help
.PHONY: help install reproduce convergence notebooks test test-fast check docs oldest recipes pyright bench clean

help:  ## list the targets
	@echo "make TARGET [PYTHON=python3.12]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F '|' '{ printf "%-14s%s\n", $$1, $$2 }'

install: $(DEV)  ## install everything, PyTorch included, into .venv

reproduce: $(BASE)  ## install the theory's packages (no torch) and compute Figure 7, the optimal powers and every verdict
	@echo "Reproducing Figure 7, the optimal powers and the claims of Section 4"
	@$(PY) -m gradpower reproduce

convergence: $(BASE)  ## answer six questions about the convergence theorems by simulation (minutes)
	@echo "Studying the convergence theorems of Section 4.2"
	@$(PY) -m gradpower convergence

notebooks: $(LAB)  ## install JupyterLab and open the tutorials in it, with FLAGS; Ctrl-C ends it
	@$(PY) -m jupyterlab --notebook-dir docs/tutorials $(FLAGS)

# Two processes, each with one thread: more would wait for each other.
test: $(DEV)  ## install the tools and run all tests
	@echo "Running the tests and doctests"
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile

test-fast: $(DEV)  ## the tests of the inner loop, without the slow files
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTEST) -q -n 2 --dist loadfile -m "not slow"

check: $(DEV)  ## formatting, lint, types and allowed imports, then the tests
	@echo "Checking formatting, lint, types and allowed imports"
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) $(VENV)/bin/lint-imports --no-logo
	@$(MAKE) --no-print-directory test

# Notebooks are executed once for each state of them; what they print is kept in docs/_build.
docs: $(DEV)  ## build the site into docs/_build/html, its tutorials executed
	@echo "Building the site"
	@OMP_NUM_THREADS=1 $(PY) -m sphinx -W -q -b html docs docs/_build/html
	@echo "wrote docs/_build/html/index.html"

# The library only: the other packages are run with the pinned versions.
oldest:  ## run the library's tests with the oldest PyTorch that is supported, in a .venv of its own
	@echo "Installing PyTorch 2.9 and the tools into $(VENV)-oldest"
	@$(PYTHON) -m venv $(VENV)-oldest
	@grep -v '^torch==' constraints.txt > $(VENV)-oldest/constraints.txt
	@$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c $(VENV)-oldest/constraints.txt 'torch==2.9.*' -e '.[train,dev]'
	@OMP_NUM_THREADS=1 $(VENV)-oldest/bin/python -m pytest -n 2 --dist loadfile tests/gradpower gradpower

recipes:  ## run every recipe for a framework, torchao's too, in a .venv of its own
	@echo "Installing everything and torchao into $(VENV)-recipes"
	@$(PYTHON) -m venv $(VENV)-recipes
	@$(VENV)-recipes/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]' torchao
	@$(VENV)-recipes/bin/python -m pytest tests/docs

pyright:  ## check a user's snippet with pyright, in a .venv of its own; mypy does in `make check`
	@$(PYTHON) -m venv $(VENV)-pyright
	@$(VENV)-pyright/bin/python -m pip install --quiet --disable-pip-version-check basedpyright
	@$(VENV)-pyright/bin/basedpyright --level error --pythonpath $(PY) tests/gradpower/user_snippet.py

bench: $(DEV)  ## time the fast paths against their targets
	@echo "Running the benchmarks"
	@for file in benchmarks/test_*.py; do $(PYTEST) $$file --benchmark-only || failed=1; done; test -z "$$failed"

clean:  ## remove .venv and all caches; results stay
	@echo "Removing $(VENV) and the caches"
	@rm -rf $(VENV) $(VENV)-oldest $(VENV)-recipes $(VENV)-pyright docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE): | $(VENV)/pyvenv.cfg
	@echo "Installing the packages of the theory into $(VENV) (once, from the network)"
	@rm -f $(STAMPS)
	@$(PIP) -e '.[theory]'
	@touch $@

$(DEV): | $(VENV)/pyvenv.cfg
	@echo "Installing everything, PyTorch included, and the tools into $(VENV) (once, from the network)"
	@rm -f $(STAMPS)
	@$(PIP) -e '.[train,cluster,docs,dev]'
	@touch $@ $(BASE)

# A double click on a tutorial, a .py file, is to open it as a notebook: jupytext's viewer comes first for such files.
$(LAB): $(DEV)
	@echo "Installing JupyterLab into $(VENV) (once, from the network)"
	@$(PIP) -e '.[notebook]'
	@mkdir -p $(VENV)/share/jupyter/lab/settings
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}}}' \
	  > $(VENV)/share/jupyter/lab/settings/overrides.json
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "gradpower needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
