# Every target sets up what it needs: `make test` and `make demo` are the only commands a new machine needs.
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 60
export KERNEL_ARGS ?=

help: ## Show this help
	@echo "make test    run every test (and lint and types)"
	@echo "make test-kernel  run the tests that need a kernel with device-mapper, in one (KERNEL_ARGS=\"-k name\")"
	@echo "make demo    watch the main job: two image files, an encrypted volume, every file back"
	@echo "make lint    ruff and mypy"
	@echo "make bench   time reports, changes, opening and encryption against stock tools (as root)"
	@echo "make bench-serve  time a volume over NBD against qemu-nbd and nbdkit"
	@echo "make fuzz    feed damaged metadata, key headers, names and requests to the parsers, FUZZ_SECONDS=60 for each target"
	@echo "make setup   only make the virtual environment and see that the system packages are there"
	@echo "make clean   remove the virtual environment and caches"

setup: ## A virtual environment with cryptlv and its test tools
	@PYTHON="$(PYTHON)" sh tools/setup.sh "$(VENV)" test

demo: ## The main job, shown
	@PYTHON="$(PYTHON)" sh tools/setup.sh "$(VENV)" demo
	@$(BIN)/python demo/demo.py

lint: setup ## Style and types
	$(BIN)/ruff check src tests demo bench tools fuzz examples
	$(BIN)/ruff format --check src tests demo bench tools fuzz examples
	$(BIN)/mypy

bench: setup ## How long reports, changes, moves and encryption take, against stock tools and bare loops (root)
	@$(BIN)/python -m bench.reports
	@$(BIN)/python -m bench.changes
	@$(BIN)/python -m bench.moves
	@$(BIN)/python -m bench.engine
	@$(BIN)/python -m bench.opening

bench-serve: setup ## How fast a volume is served over NBD, against qemu-nbd and nbdkit
	@$(BIN)/python -m bench.serve

bench-kernel: ## fio on a volume in the kernel, against cryptsetup's, in one guest
	@PYTHON="$(PYTHON)" sh tools/setup.sh "$(VENV)" bench-kernel
	@$(BIN)/python -m tests.kernel.run --disk 1024 --timeout 1800 -- $(BIN)/python -m bench.kernel

fuzz: setup ## Damaged metadata, key headers, cipher names and NBD clients, guided by coverage; what breaks something is left in .fuzz
	@mkdir -p .fuzz
	@for target in label metadata_area text cipher_spec luks1 luks2 nbd; do \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
		$(BIN)/python -m fuzz.$$target -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=.fuzz/ >.fuzz/$$target.log 2>&1 \
			|| { tail -n 40 .fuzz/$$target.log; exit 1; }; \
	done

test: lint ## Everything
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-kernel: ## What needs a real kernel, in one: Debian's, booted by QEMU without KVM
	@PYTHON="$(PYTHON)" sh tools/setup.sh "$(VENV)" kernel
	@sh tests/kernel/all.sh $(BIN)/python

clean: ## Remove what the targets made
	rm -rf "$(VENV)" .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz

.PHONY: help setup demo bench bench-serve fuzz lint test test-kernel bench-kernel clean
