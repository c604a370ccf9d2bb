# make demo   the whole idea on bundled pictures          make test      the fast tests
# make lint   ruff and mypy                               make test-all  slow real-data tests, too
# make docs   the site, in build/site                     make build     wheel and sdist in dist/
# make clean  remove what these made                      make release-check   what would be released, installed and run offline
# make gpu-check   every part on a GPU, in minutes (DEVICE=cpu: the same at smaller sizes)
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
DEMO ?= runs/demo
WORKERS ?= 2
DEVICE ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

.PHONY: demo test test-all lint docs build release-check gpu-bundle gpu-check clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed-demo
	@echo "==> The demo: results go to $(DEMO)"
	$(BIN)/python examples/demo.py $(DEMO)

test: $(VENV)/installed-test
	@echo "==> The tests (make test-all adds those on real data)"
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-all: $(VENV)/installed-test
	@echo "==> All tests; those on real data read SSLHSIC_DATA"
	$(BIN)/python -m pytest

# mypy looks at the package as a wheel installs it, where every module stands under its own name.
lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build  # setuptools would stage files that are no longer there
	$(INSTALL) --no-deps --target build/lint .
	cd build/lint && $(abspath $(BIN))/python -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p sslhsic_transfer

# Strictly: a link that leads nowhere, or a name that is not there, is an error.
docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "==> The site: build/site/index.html; while you write: $(BIN)/python -m mkdocs serve"

build: $(VENV)/installed-test
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

release-check: build
	@echo "==> What would be released, in an environment of its own (torch is installed again: minutes)"
	$(BIN)/python tools/release_check.py

# For a GPU machine without a network: GPU_BUNDLE="--data DIR --tar FILE", for example; tools/gpu_bundle.sh tells all options.
gpu-bundle: $(VENV)/installed-test
	PYTHON=$(abspath $(BIN))/python tools/gpu_bundle.sh $(GPU_BUNDLE)

gpu-check: $(VENV)/installed-test
	@echo "==> Every part on the GPU; figures go to runs/gpu-check"
	$(BIN)/python tools/gpu_check.py $(if $(DEVICE),--device $(DEVICE))

# The stamps: installed again only when what they depend on has changed.
$(VENV)/installed-demo: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	@echo "==> Installing the library, pretraining and evaluation into $(VENV) (torch is large: minutes)"
	$(INSTALL) -e '.[pretrain,eval]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS)
	@echo "==> Installing the library and what makes its site into $(VENV) (torch is large: minutes)"
	$(INSTALL) -e '.[docs]'
	@touch $@

$(VENV)/installed-test: $(VENV)/bin/python pyproject.toml $(CONSTRAINTS) adapters/detectron2/install.py examples/browser/package-lock.json
	@echo "==> Installing the library and everything its tests use into $(VENV) (torch is large: minutes)"
	$(INSTALL) -e '.[pretrain,data,eval,onnx,transfer,mmseg,detectron2,bench,docs,dev]'
	$(BIN)/python -m sslhsic_transfer.adapters.detectron2.install
	-$(BIN)/python examples/browser/install.py --chromium  # where it cannot, the page's test says so and is skipped
	@touch $@ $(VENV)/installed-demo $(VENV)/installed-docs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python 3.11 or newer is needed; $(PYTHON) is {sys.version.split()[0]}. Use: make PYTHON=python3.12 …")'
	@echo "==> Making the virtual environment $(VENV)"
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
