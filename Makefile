# Everything this project needs is set up in .venv and build/; Debian packages are added when missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?=
JOBS ?= $(shell nproc)
export EXSHADOW_SIM_SEEDS ?= 300
export EXSHADOW_KILLS ?= 20

BIN := .venv/bin
STAMPS := build/stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CTEST := ctest --output-on-failure --no-tests=error --timeout 900 --parallel $(JOBS)
# Directories are listed too: they change when a file is added or removed.
SOURCES := CMakeLists.txt pyproject.toml LICENSE $(shell find cmake cpp python -name __pycache__ -prune -o -print)
CPP_FILES = $(shell find cpp tests bench -name '*.cpp' -o -name '*.h')

.PHONY: help setup demo test test-cpp test-asan test-python test-wine build-mingw test-asan-python lint lint-quick tidy format bench soak fuzz wheel clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMPS)/packages: scripts/packages.sh
	scripts/packages.sh
	mkdir -p $(@D) && touch $@

$(STAMPS)/venv: pyproject.toml scripts/venv.sh scripts/requirements.py $(STAMPS)/packages
	scripts/venv.sh $(PYTHON)
	touch $@

# The stamp carries the time before the build, so that an edit made during it is not lost.
$(STAMPS)/installed: $(SOURCES) $(STAMPS)/venv
	touch $@.begin
	$(PIP) install --no-build-isolation --no-deps --force-reinstall .
	mv $@.begin $@

setup: $(STAMPS)/installed  ## install packages, make .venv, build and install exshadow into it

demo: $(STAMPS)/installed  ## run the main job on a made-up server
	$(BIN)/exshadow demo

test: lint-quick test-cpp test-asan test-wine test-python  ## the quick lint and all tests; what CI runs

test-cpp: build/release/build.ninja  ## C++ tests, release build
	cmake --build build/release --parallel $(JOBS)
	$(CTEST) --test-dir build/release

test-asan: export EXSHADOW_SIM_SEEDS := 100
test-asan: build/asan/build.ninja  ## C++ tests with AddressSanitizer and UndefinedBehaviorSanitizer
	cmake --build build/asan --parallel $(JOBS)
	UBSAN_OPTIONS=print_stacktrace=1 $(CTEST) --test-dir build/asan

# Three workers, on two cores as well: much of the time is waiting, for processes, disks and time limits. A file is
# never on two of them. Files go out in the order of pyproject.toml's testpaths, those with the longest tests first, so
# that no worker waits for another.
test-python: $(STAMPS)/installed  ## Python tests and house rules
	scripts/private_mounts.sh $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

build-mingw: build/mingw/build.ninja  ## exshadow-vss.exe for 64-bit Windows, with its tests, in build/mingw
	cmake --build build/mingw --parallel $(JOBS)

test-wine: build-mingw $(STAMPS)/installed  ## tests of the Windows part under Wine
	EXSHADOW_WINE=required $(BIN)/python -m pytest -n 2 --dist loadfile tests/wine

build/mingw/build.ninja: $(STAMPS)/packages
	cmake -S . -B $(@D) -G Ninja -DCMAKE_TOOLCHAIN_FILE=cmake/mingw-toolchain.cmake -DEXSHADOW_TESTS=ON \
	    -DEXSHADOW_BINDINGS=OFF
build/release/build.ninja: $(STAMPS)/packages
	cmake -S . -B $(@D) -G Ninja -DEXSHADOW_TESTS=ON -DEXSHADOW_BINDINGS=OFF
build/asan/build.ninja: $(STAMPS)/packages
	cmake -S . -B $(@D) -G Ninja -DEXSHADOW_TESTS=ON -DEXSHADOW_BINDINGS=OFF -DEXSHADOW_SANITIZE=ON

test-asan-python: $(STAMPS)/venv  ## Python tests against an extension built with the sanitizers
	rm -rf build/asan-python
	$(PIP) install --no-build-isolation --no-deps --target build/asan-python \
	    --config-settings=cmake.define.EXSHADOW_SANITIZE=ON --config-settings='build-dir=build/asan-{wheel_tag}' .
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/asan-python \
	    $(BIN)/python -m pytest -p no:cacheprovider --timeout=600 tests/python

lint: lint-quick tidy  ## formatting, ruff, mypy and clang-tidy

lint-quick: $(STAMPS)/venv
	@echo clang-format && clang-format --dry-run -Werror $(CPP_FILES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tidy: build/release/build.ninja
	cmake build/release >/dev/null
	run-clang-tidy -quiet -j $(JOBS) -p build/release '/(cpp|tests)/'

format: $(STAMPS)/venv  ## put all sources into the house format
	@echo clang-format && clang-format -i $(CPP_FILES)
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

bench: $(STAMPS)/installed  ## benchmarks; numbers also go to build/bench.json
	$(BIN)/python -m pytest bench --timeout=3600 --benchmark-json=build/bench.json

soak: EXSHADOW_KILLS := 200
soak: build/release/build.ninja $(STAMPS)/installed  ## 10,000 simulated histories, 200 kills, every mutation found, long interop
	cmake --build build/release --parallel $(JOBS) --target sim_test
	build/release/tests/sim_test --test-case='*mutation*' --count | grep -v 'filters: 0$$'
	build/release/tests/sim_test --test-case='*mutation*'
	EXSHADOW_SIM_SEEDS=10000 build/release/tests/sim_test --test-case-exclude='*mutation*'
	scripts/private_mounts.sh $(BIN)/python -m pytest -m 'soak or kill' --timeout=7200 tests/python tests/interop

FUZZ_SECONDS ?= 600
FUZZERS := nbd_handshake nbd_transmission vss_backup_document vss_writer_metadata ese_files
build/fuzz/build.ninja: $(STAMPS)/packages
	cmake -S . -B $(@D) -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DEXSHADOW_FUZZ=ON -DEXSHADOW_TESTS=ON \
	    -DEXSHADOW_BINDINGS=OFF

fuzz: build/fuzz/build.ninja  ## every fuzz target for FUZZ_SECONDS (600) each
	cmake --build build/fuzz --parallel $(JOBS) --target $(FUZZERS:%=fuzz_%)
	for target in $(FUZZERS); do \
	    mkdir -p build/fuzz/corpus/$$target; \
	    build/fuzz/tests/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 \
	        build/fuzz/corpus/$$target tests/fuzz/corpus/$$target; \
	done

wheel: $(STAMPS)/installed  ## manylinux wheel in dist/, tried in a fresh environment
	scripts/wheel.sh

clean:  ## remove everything that was built or installed here
	rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
