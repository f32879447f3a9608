# Everything happens in a private environment, .venv; nothing is installed outside of it.
SHELL := /bin/bash
# Empty: the first of python3.11 to python3.14 that works.
PYTHON ?=
BIN := .venv/bin
comma := ,
CHECKED := $(wildcard streams processors)
# Where it is set, each process compiles all that it imports, and tests and the demo start many.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup browser lint test unit demo bench simulate chaos fuzz docs proto constraints clean

help: ## Show what there is
	@echo "make TARGET [ARGS=\"...\"]"
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1\t\2/' | expand -t 16

# uv installs in a fraction of pip's time. It does not know pip's settings (proxy, mirror), so where it fails, pip tries.
define install
$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt $(1) \
	|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(1)
endef

.venv/bin/uv:
	@python=$$(.ci/python $(PYTHON)) && echo "making .venv with $$python" && "$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

# The demo needs no test tools, so they have a stamp of their own.
.venv/runtime.stamp: pyproject.toml constraints.txt | .venv/bin/uv
	@echo "installing what retold needs"
	@$(call install,-e .)
	@touch $@

.venv/dev.stamp: .venv/runtime.stamp
	@echo "installing what its tests and its documentation need"
	@$(call install,-e ".[dev$(comma)docs]")
	@touch $@

setup: .venv/dev.stamp ## Make .venv with everything in it

browser: setup ## What the tests of the console in Debian's Chromium need, beside its package chromium
	@$(call install,-e ".[browser]")

lint: setup ## Style, types and the application's own laws
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(CHECKED)
	@$(BIN)/retold check

unit: setup ## The tests that need no broker: seconds
	@$(BIN)/pytest -q tests/unit tests/simulator $(ARGS)

test: setup ## Everything: style, types, unit tests, and the tests on the embedded Kafka, in lanes
	@$(BIN)/python -m tests.lanes $(ARGS)

demo: .venv/runtime.stamp ## The main job on real sign-ups; ARGS="--keep", "--input FILE", "--json"
	@$(BIN)/python -m ops.demo $(ARGS)

bench: setup ## Events per second beside Faust, Quix and Kafka Streams; ARGS="--quick --json"
	@$(BIN)/python -m ops.bench $(ARGS)

simulate: setup ## Workers on a Kafka in memory, with faults; ARGS="--seeds 2000 --json", "--seed 17 --trace", "--rules", "--against-kafka 300"
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.simulator $(ARGS)

chaos: setup ## Workers, brokers and networks that fail, on a real Kafka; ARGS="--seeds 20 --json", "--seed 17"
	@$(BIN)/python -m tests.chaos $(ARGS)

fuzz: setup ## Random requests to a server, made from its OpenAPI; ARGS="--seconds 180", "--seed 17"
	@$(BIN)/python -m tests.fuzz $(ARGS)

docs: setup ## The documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html is the first page; to search, open it by: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

proto: setup ## Make the messages of gRPC from streams/server/retold.proto
	@$(BIN)/python -m grpc_tools.protoc -I streams/server --python_out=streams/server/rpc --pyi_out=streams/server/rpc streams/server/retold.proto

constraints: setup ## Write the versions now in .venv to constraints.txt
	@{ head -1 constraints.txt; $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | grep -v -E '^(pip|setuptools)=='; } > .venv/new.txt
	@mv .venv/new.txt constraints.txt

clean: ## Remove .venv and what the tools leave behind
	@rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .hypothesis
