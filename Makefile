# Each target sets itself up: a virtual environment in .venv, from the lock file. A second run starts at once.

PYTHON ?= python3

BIN := .venv/bin
# What was installed, from where, by which Python. A change (also a moved folder) means installing again.
LOCK_KEY := $(shell (pwd; $(PYTHON) -V; cat requirements.lock) 2>&1 | cksum | cut -d ' ' -f 1)
SELF_KEY := $(shell cat pyproject.toml requirements.txt magbook/__init__.py | cksum | cut -d ' ' -f 1)
LOCK_STAMP := .venv/.lock-$(LOCK_KEY)
SELF_STAMP := .venv/.magbook-$(SELF_KEY)

# pytest's workers share the cores: threads that wait for another's core would burn their own. What Python compiles is kept.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 $(BIN)/python -m pytest --dist loadfile

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help setup book check test lab data reproduce bench hosted lock clean

help:
	@echo "make book    build the book into _build/html"
	@echo "make check   style, types and the fast tests, in a minute"
	@echo "make test    all tests: package, chapters, JupyterLab, and the built site in a browser"
	@echo "make lab     open the chapters in JupyterLab"
	@echo "make data    compute the paper's data set (200 fields)"
	@echo "make reproduce  make what ships in data/ anew, where it is out of date; DRY=1 only says what"
	@echo "make bench   check and time the solver, and time the networks"
	@echo "make setup   only install what these need, into .venv (each of them does it itself)"
	@echo "make hosted  write the book's address (_config.yml) into the chapters, for Colab and the like"
	@echo "make lock    resolve the ranges of requirements.txt and pyproject.toml anew into requirements.lock"
	@echo "make clean   remove the built book"
	@echo
	@echo "PYTHON=python3.12 make ... chooses the interpreter (3.11 to 3.13)."

setup: $(SELF_STAMP)

$(LOCK_STAMP): | requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed (TensorFlow has no wheel for others); this is " + sys.version.split()[0] + ". Choose another: make PYTHON=...")'
	@echo "Setting up .venv (once, a minute or two) ..."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@touch $@

$(SELF_STAMP): $(LOCK_STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@rm -f .venv/.magbook-* && touch $@

book: setup
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book: _build/html/index.html"

# A file's tests run one after the other, beside those of another file.
check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -n 2 -m "not slow"

# The chapters are executed for the site first. The tests in a browser begin, and the others run beside them: three at once, since
# many wait, for a browser or another process.
test: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) book
	$(PYTEST) -n 3 --no-loadscope-reorder

lab: setup
	$(BIN)/jupyter lab book

data: setup
	$(BIN)/python -m magbook generate

reproduce: setup
	$(BIN)/python -m magbook reproduce $(if $(DRY),--dry-run)

bench: setup
	$(BIN)/python -m magbook bench

# In a notebook file a quote is \".
hosted:
	url=$$(sed -n 's/^  url: "\(.*\)".*/\1/p' _config.yml) && \
	    sed -i.part 's|\(MAGBOOK_REPOSITORY\\", \\"\)[^\\]*|\1'"$$url|" book/*.ipynb && rm book/*.part

# uv resolves for every platform and Python >= 3.11 at once, with the hashes of all files that PyPI lists.
# It runs in an environment of its own, and no configuration file of this machine reaches the lock file. Extras stay: without them
# pip looks for another jsonschema than the one that is locked.
lock:
	$(PYTHON) -m venv --clear _build/lock
	_build/lock/bin/python -m pip install --quiet uv
	_build/lock/bin/uv pip compile pyproject.toml --all-extras --output-file requirements.lock --upgrade --quiet \
	    --no-config --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-strip-extras --custom-compile-command "make lock"
	rm -rf _build/lock

clean:
	rm -rf _build
