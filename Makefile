# `make` alone lists the targets; `make book` and `make test` are all that a reader needs
PYTHON ?= python3
PIP_ARGS ?=
PORT ?= 8000
SEED ?= 1
BIN := .venv/bin
NOTEBOOKS := intro.ipynb chapters appendices course
NBVAL := --nbval --nbval-current-env --nbval-sanitize-with tests/support/nbval_sanitize.cfg
WORKERS ?= auto
PYTEST := LLMBOOK_SITE=_build/html $(BIN)/python -m pytest -rs --dist loadfile
export TQDM_DISABLE := 1
# the solutions that the checks run are not the reader's
export LLMBOOK_PROGRESS := off
# the workers share the cores
check test: export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help book serve pdf check test execute sync lint course constraints repository clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

book: .venv/book ## install into .venv and build the site into _build/html
	$(BIN)/python tools/build_site.py

serve: book ## build, serve on localhost (PORT=8000) and open the browser
	$(BIN)/python tools/serve.py --port $(PORT)

pdf: .venv/dev ## print the site: _build/pdf/book.pdf and a file a page, linked from the site
	$(BIN)/python tools/build_site.py
	$(BIN)/python tools/build_pdf.py

check: lint ## after a small change: style of code and pages, the library's quick tests
	$(PYTEST) -n $(WORKERS) -m "not slow and not site and not weekly" tests/book tests/unit

test: lint ## every check: style, site, notebooks, library, exercises
	$(BIN)/python tools/build_site.py
	$(PYTEST) -n $(WORKERS) $(NBVAL) $(NOTEBOOKS) tests

execute: .venv/dev ## run the notebooks from top to bottom and store their outputs
	$(BIN)/python tools/execute.py

sync: .venv/dev ## write the library's text and the hints into the notebooks
	$(BIN)/python tools/sync_code.py

lint: .venv/dev ## formatters, linters, types and spelling, of Python and of JavaScript
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/codespell
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory node_modules/installed && npm run --silent lint; \
	elif [ "$$CI" = true ]; then echo "npm was not found; install Node.js 20 or newer" >&2; exit 1; \
	else echo "The JavaScript was not checked: npm was not found."; fi

course: .venv/dev ## assignments, quizzes and slides for a class into _build/course (SEED=1)
	$(BIN)/python tools/build_course.py --seed $(SEED)

constraints: ## pin what a fresh installation brings (before a release)
	$(PYTHON) -m venv --clear _build/fresh
	_build/fresh/bin/pip install $(PIP_ARGS) -r requirements-dev.txt
	_build/fresh/bin/pip freeze | sed 's/+[a-z0-9.]*$$//' > constraints.txt

repository: .venv/book ## write URL=https://github.com/owner/name where the site and Colab need it
	$(BIN)/python tools/repository.py $(URL)

clean: ## remove what was built and installed
	rm -rf _build .venv node_modules .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info

# installed again only when a file that says what to install has changed
.venv/book: requirements.txt constraints.txt pyproject.toml | .venv
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt -r requirements.txt -e .
	touch $@

.venv/dev: requirements-dev.txt requirements.txt constraints.txt pyproject.toml | .venv
	$(BIN)/pip install $(PIP_ARGS) -c constraints.txt -r requirements-dev.txt -e .
	touch .venv/book $@

node_modules/installed: package.json package-lock.json
	npm ci --no-audit --no-fund --silent
	touch $@

.venv:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) was not found; install Python 3.11 or newer, or name one: \
	make book PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("the book needs Python 3.11 or newer, and \
	$(PYTHON) is %d.%d; name a newer one: make book PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
