# Everything there is to type. Needs Python >= 3.11 and make; installs into .venv only.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One BLAS and torch thread a process: more make everything slower when processes share the cores.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
PYTEST := $(BIN)/python -m pytest

.PHONY: install browser demo test test-slow test-callbacks fuzz crash-matrix mutations check openapi docs pictures vendor clean

install: $(STAMP)

$(STAMP): pyproject.toml requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tunewell needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet --constraint requirements/constraints.txt --editable ".[all,dev]"
	@touch $(STAMP)

demo: install
	$(BIN)/tunewell demo

# The browser that the tests drive: found, or installed (Debian's package, else playwright's download).
browser: install
	$(BIN)/python -m tests.browser.chromium

test: check browser
	$(PYTEST) --numprocesses 2 --dist worksteal

test-slow: install
	$(PYTEST) --numprocesses 2 -m slow -rP --timeout 1800

# The callbacks in the trainers of Lightning and Hugging Face, in a venv on top of the first one: torch is there already.
CALLBACKS := $(VENV)-callbacks
test-callbacks: $(CALLBACKS)/.installed
	$(CALLBACKS)/bin/python -m pytest -rs tests/sdk/test_lightning.py tests/sdk/test_huggingface.py

$(CALLBACKS)/.installed: $(STAMP) requirements/callbacks.txt
	$(PYTHON) -m venv --clear $(CALLBACKS)
	@$(CALLBACKS)/bin/python -c 'import pathlib, sys, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "first.pth").write_text(f"import site; site.addsitedir({sys.argv[1]!r})\n")' \
		"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(CALLBACKS)/bin/python -m pip install --quiet --constraint requirements/constraints.txt --requirement requirements/callbacks.txt
	@touch $(CALLBACKS)/.installed

# More than 50,000 generated requests; shows how many by caller and status.
fuzz: install
	$(PYTEST) --numprocesses 2 -m slow -rP --timeout 1800 tests/api/test_fuzz.py

crash-matrix: install
	$(BIN)/python -m tests.system.crash.matrix docs/crash-matrix.md

# Takes five guards out of a copy of the source, one by one; shows which named test fails for each.
mutations: install
	$(PYTEST) -m slow -q --timeout 1800 tests/mutations

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

openapi: install
	$(BIN)/python -m app.api.openapi docs/openapi.json

# The reference's tables, then the site in build/site, of pages at the places that they have here.
docs: install
	$(BIN)/python docs/make_reference.py
	rm -rf build/pages && mkdir -p build/pages
	cp -r README.md LICENSE NOTICE docker-compose.yml docs examples build/pages
	$(BIN)/zensical build --clean

# The pages as the browser tests see them, for the documentation.
pictures: browser
	TUNEWELL_PICTURES=$(CURDIR)/docs/pictures $(PYTEST) tests/browser

# Fetches the vendored chart library anew and checks it against its hash.
VENDORED := app/dashboard/static/vendor
vendor:
	folder=$$(mktemp -d) && (cd $$folder && npm pack --silent echarts@6.1.0 && tar xzf echarts-6.1.0.tgz) && \
	cp $$folder/package/dist/echarts.esm.min.js $(VENDORED)/echarts-6.1.0.min.js && rm -r $$folder
	cd $(VENDORED) && sha256sum --check SHA256SUMS

clean:
	rm -rf $(VENV) $(VENV)-callbacks build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
