# Two commands for a new user: `make quickstart` and `make test`. Each alone takes a fresh clone to its end.

VENV ?= .venv
PYTHON ?= $(shell sh scripts/find_python.sh 3.11 3.12 3.10)
LATEST ?= $(shell sh scripts/find_python.sh 3.13)
NEXT ?= $(shell sh scripts/find_python.sh 3.14)
PYTEST_FLAGS ?=
# A worker a core, with one file of tests at a time; more threads than one an operation would only wait for each other.
# `make test WORKERS=0` runs everything in one process.
WORKERS ?= auto
PYTEST = TF_NUM_INTRAOP_THREADS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	$(VENV)/bin/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# `make test EXTRAS=dev,peers` also brings PyTorch and ONNX Runtime, and the tests hold the cell against them.
EXTRAS ?= dev

.PHONY: quickstart quickstart-full taste test test-slow test-latest test-next docs notebooks lint types format wheel clean

quickstart: $(VENV)/installed
	$(VENV)/bin/python pipelines/quickstart.py

# Its beginning: 500 utterances, a minute of training, a first transcript.
taste: $(VENV)/installed
	$(VENV)/bin/python pipelines/taste.py

# The same commands learnt as letters, which spell any word: two and a half times as many steps.
quickstart-full: $(VENV)/installed
	$(VENV)/bin/python pipelines/quickstart.py --full

test: $(VENV)/installed
	$(PYTEST) $(PYTEST_FLAGS)

test-slow: $(VENV)/installed
	$(PYTEST) -m slow $(PYTEST_FLAGS)

# The same suite on Python 3.13 with the newest TensorFlow and no tensorflow-io.
test-latest:
	@test -n "$(LATEST)" || { echo "make test-latest needs Python 3.13, and none was found; set LATEST=/path/to/python"; exit 2; }
	$(MAKE) test VENV=$(VENV)-latest PYTHON=$(LATEST)

# The same suite on Python 3.14 with TensorFlow's release candidate; nothing is pinned.
test-next: override VENV := $(VENV)-next
test-next:
	@test -n "$(NEXT)" || { echo "make test-next needs Python 3.14, and none was found; set NEXT=/path/to/python"; exit 2; }
	test -x $(VENV)/bin/python || $(NEXT) -m venv $(VENV)
	$(VENV)/bin/python scripts/install_next.py
	$(PYTEST) $(PYTEST_FLAGS)

# The site, strictly: a link that leads nowhere ends it.
docs: $(VENV)/installed-docs
	$(VENV)/bin/python scripts/make_docs.py

# The notebooks of examples/, executed anew from their texts; the commit shows what has changed.
notebooks: $(VENV)/installed-notebooks
	cd examples/notebooks && for text in *.py; do ../../$(VENV)/bin/jupytext --to ipynb --execute $$text || exit 1; done

lint: $(VENV)/installed
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: $(VENV)/installed
	$(VENV)/bin/python -m mypy

format: $(VENV)/installed
	$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

# What a release publishes: dist/speechgru-VERSION.tar.gz, and the wheel that is built from it.
wheel: $(VENV)/installed
	$(VENV)/bin/python -m build --no-isolation --outdir dist .

# The pip that Python brings may be years old, and half a minute slower.
# The environment is made anew when what it holds has changed.
$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "speechgru needs Python 3.10, 3.11 or 3.12; set PYTHON=/path/to/python"; exit 2; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25'
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)/installed-notebooks: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),notebooks]'
	touch $@

# With EXTRAS=dev,docs the environment has what the site needs already.
$(VENV)/installed-docs: $(VENV)/installed
ifeq ($(findstring docs,$(EXTRAS)),)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS),docs]'
endif
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-latest $(VENV)-next build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
