# Everything runs in .venv, which the first target that is made puts there (scripts/environment).
# For one test module: .venv/bin/pytest tests/test_ini.py

BIN := .venv/bin

# Tests and the demo keep their temporary files in the clone: what one of them forgets to remove is found here.
# (scripts/environment makes the directory.)
export TMPDIR := $(CURDIR)/.tmp
export NO_MKDOCS_2_WARNING := 1
# Without compiled modules every program that a test or the demo starts compiles its own, and every worker all tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint bench docs environment clean
.NOTPARALLEL:

help:
	@echo "make demo    the main jobs, for real, on an AWS emulator in a throw-away home: under a minute"
	@echo "make test    the tests, with coverage"
	@echo "make lint    style, formatting, types, who may import whom, the documentation"
	@echo "make bench   how long things take: the vault, the agent against its floor, and the agent under load"
	@echo "make docs    the documentation as HTML, in site/"
	@echo "make clean   remove everything that make has made"

demo: environment
	@$(BIN)/python demo

# A short name for the temporary files: paths of sockets may have 107 bytes.
# Coverage is reported inside pytest's own run, so that the last line is pytest's; below the limit the run fails.
# Before that the tests are compiled, once and by two processes; otherwise each of the four workers compiles them all.
test: environment
	@$(BIN)/pytest --collect-only --no-cov -qq tests/acceptance >/dev/null 2>&1 & \
	  $(BIN)/pytest --collect-only --no-cov -qq --ignore=tests/acceptance >/dev/null 2>&1; wait
	@$(BIN)/pytest -n 4 --dist=worksteal --cov --basetemp=$(TMPDIR)/t

lint: environment
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mkdocs build --strict

bench: environment
	@$(BIN)/python -m compileall -q src
	@$(BIN)/python benchmarks

docs: environment
	@$(BIN)/mkdocs build --strict

environment:
	@scripts/environment

clean:
	rm -rf .venv .demo .tmp site build dist htmlcov .coverage .coverage.* \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests demo benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
