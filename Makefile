PYTHON ?= python3
EXPERIMENT ?= digits
VENV := .venv
INSTALL := $(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python

.PHONY: help run test ui install install-dev lint lock clean

help:  ## show what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: install  ## run the main job: EXPERIMENT=digits, or another name of experiments/
	$(VENV)/bin/attrgraph run $(EXPERIMENT)

test: install-dev  ## install what the tests need and run them all
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

ui: install  ## Dagster's UI with the lineage; says where Neo4j Browser answers
	$(VENV)/bin/attrgraph ui

install: $(VENV)/installed  ## install into .venv what running needs

install-dev: $(VENV)/installed-dev

lint: install-dev  ## style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lock: install-dev  ## pin the newest libraries that fit, with hashes and without an index
	for extra in "requirements-dev.txt --group dev" "requirements.txt -c requirements-dev.txt"; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o $$extra || exit 1; \
	done

clean:  ## remove the environment; runs, histories and graphs stay
	rm -rf $(VENV)

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "Python 3.11 to 3.13 is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet uv

$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/bin/uv
	@echo "installing into $(VENV): the first time this fetches PyTorch and takes a few minutes"
	$(INSTALL) --require-hashes --requirements requirements.txt
	$(INSTALL) --no-deps --editable .
	touch $@

$(VENV)/installed-dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/uv
	@echo "installing into $(VENV): the first time this fetches PyTorch and takes a few minutes"
	$(INSTALL) --require-hashes --requirements requirements-dev.txt
	$(INSTALL) --no-deps --editable .
	touch $@ $(VENV)/installed
