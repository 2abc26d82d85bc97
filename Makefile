# Everything this project does on a machine, from a fresh checkout: `make demo` and `make test` need nothing before them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

CXX_FILES := $(shell find kernels -name '*.cpp' -o -name '*.h')
PY_TYPED := kernels service examples benchmarks protos/generate.py
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
           $(shell find kernels service -type f -not -path '*/__pycache__/*')
SANITIZED := build/sanitize
SOAK_SECONDS := 1200

.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# ---- install --------------------------------------------------------------------------------------------------------

.PHONY: install
install: $(VENV)/.package ## A virtual environment with the built package and all tools

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo "make: needs Python 3.11 or newer with the venv module (Debian: python3-venv)"; exit 1; }
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group build
	touch $@

# The package is built into a wheel and installed, not linked to the sources: tests see what users get. It is resolved
# together with the tools, so that all agree on their versions.
$(VENV)/.package: $(VENV)/.tools $(SOURCES)
	$(PIP) install --no-build-isolation --config-settings=cmake.define.SUPERPIXEL_WERROR=ON --group dev .
	touch $@

.PHONY: system-packages
system-packages: ## Debian packages that the tests use beyond Python and g++
	@tools/system-packages.sh

# ---- the main job ---------------------------------------------------------------------------------------------------

.PHONY: demo
demo: install ## Start a server, segment a photograph over gRPC, write pictures to demo-output/
	$(BIN)/python examples/demo.py --out demo-output

# ---- checks ---------------------------------------------------------------------------------------------------------

.PHONY: test
test: lint test-python test-sanitize ## All checks

.PHONY: test-python
test-python: install system-packages ## The test suite, against the installed package
	$(BIN)/python -m pytest tests

.PHONY: soak
soak: install ## Mixed callers against a real server for SOAK_SECONDS (twenty minutes)
	$(BIN)/python -m tests.service.soak --seconds $(SOAK_SECONDS)

.PHONY: lint
lint: install ## Formatting, lint, types, the contract and its generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PY_TYPED)
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	$(BIN)/python protos/generate.py --check

.PHONY: format
format: install ## Rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CXX_FILES)

.PHONY: proto
proto: install ## Generate the protobuf code again
	$(BIN)/python protos/generate.py

# The native modules under AddressSanitizer and UndefinedBehaviorSanitizer, in the tests that reach all of them.
.PHONY: test-sanitize
test-sanitize: install ## The kernel tests under AddressSanitizer and UBSan
	$(BIN)/cmake -S . -B $(SANITIZED) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python -DCMAKE_BUILD_TYPE=Debug \
	  -DSUPERPIXEL_SANITIZE=ON -DSUPERPIXEL_WERROR=ON > /dev/null
	$(BIN)/cmake --build $(SANITIZED)
	rm -rf $(SANITIZED)/site && mkdir $(SANITIZED)/site && cp -r kernels/superpixel_kernels $(SANITIZED)/site
	$(BIN)/cmake --install $(SANITIZED) --prefix $(SANITIZED)/site > /dev/null
	PYTHONPATH=$(SANITIZED)/site PYTHONMALLOC=malloc \
	  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  $(BIN)/python -m pytest tests/kernels --ignore tests/kernels/test_reference.py \
	  -m "not slow_under_sanitizer" --timeout 600 -p no:cacheprovider

# ---- benchmarks -----------------------------------------------------------------------------------------------------

BENCH := .venv-bench

# Some peers are built against NumPy 1: they get a virtual environment of their own, with this project's wheel beside them.
.PHONY: bench-install
bench-install: $(BENCH)/.package ## The benchmarks' virtual environment

$(BENCH)/.package: $(VENV)/.package benchmarks/requirements.txt benchmarks/requirements-build.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --quiet install -r benchmarks/requirements-build.txt
	$(BENCH)/bin/python -m pip --quiet install --no-build-isolation -r benchmarks/requirements.txt
	$(BENCH)/bin/python -m pip --quiet install .
	touch $@

.PHONY: bench
bench: $(BENCH)/.package ## Quality, speed, bytes and effort beside the peers; figures and plots in build/bench
	$(BENCH)/bin/python -m benchmarks --out build/bench

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf $(VENV) $(BENCH) build dist demo-output test-output
