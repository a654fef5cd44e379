PYTHON ?= python3
VENV := .venv

.PHONY: install test lint

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --upgrade pip uv
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --editable . --group dev
	touch $@

install: $(VENV)/installed

test: install  ## install what the tests need and run them all
	$(VENV)/bin/pytest

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
