# One command each: `make demo` shows the main job, `make test` and `make check` prove it. `make help` lists them.
# Every target makes the environment first if it is absent or out of date.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PRICES ?= $(HOME)/.cache/kernelwright/prices
BIN := $(VENV)/bin
STAMP := $(VENV)/.kernelwright-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo serve test check honest mutation-test policy gpu-check bench build clean help install docs

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## Optimise examples/softmax.py and write softmax.kernel.py
	@# a machine with neither bubblewrap nor docker takes a plain process, and says so loudly
	$(BIN)/kernelwright optimize examples/softmax.py --isolation $$($(BIN)/python -m kernelwright.sandbox.isolation)

serve: $(STAMP) ## Serve the web page on this machine, http://127.0.0.1:8930
	@# a machine with neither bubblewrap nor docker takes a plain process, and says so loudly
	$(BIN)/kernelwright serve --isolation $$($(BIN)/python -m kernelwright.sandbox.isolation)

test: $(STAMP) ## Run every test (JOBS=2 processes)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: $(STAMP) ## Lint, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p kernelwright
	$(BIN)/lint-imports --no-cache

honest: $(STAMP) ## Judge every honest kernel three times, with new secret seeds each time
	PYTHONPATH=tests $(BIN)/python -m honest.run --jobs $(JOBS)

mutation-test: $(STAMP) ## Judge hundreds of kernels with one fault each; writes docs/mutation.md
	PYTHONPATH=tests $(BIN)/python -m mutation.run --jobs $(JOBS)

bench: $(STAMP) ## Run the benchmarks, but for those that need a GPU or an extra
	@for file in $(filter-out benchmarks/gpu_check.py benchmarks/landscapes.py benchmarks/search_arms.py benchmarks/search_evolve.py benchmarks/grpo_tiny.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

policy: $(STAMP) ## Price landscapes (PRICES=folder, goes on where it stopped), train the policy, write the table of strategies
	$(BIN)/python benchmarks/landscapes.py $(PRICES) --export rl/policy/landscapes.json.gz
	$(BIN)/kernelwright train policy --out agents/builtin/policy/weights.npz
	$(BIN)/python benchmarks/search.py --prices $(PRICES) --policies $(PRICES)/folds --table benchmarks/results/search.md --json benchmarks/results/search.json

gpu-check: $(STAMP) ## On a machine with a GPU: every kernel there and on the emulator, measured and modelled
	$(BIN)/python benchmarks/gpu_check.py --json gpu-check.json --samples gpu-check.jsonl

docs: $(STAMP) ## Write the generated pages of docs/ anew
	$(BIN)/python docs/generate.py

build: $(STAMP) ## Build wheel and sdist into dist/
	$(BIN)/python -m build --no-isolation

install: $(STAMP) ## Make the environment and nothing else

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "kernelwright needs Python 3.11 or later; \
	$(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Making the environment in $(VENV): torch first, then the rest; this takes a minute or two."
	@test -x $(BIN)/python -a -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) \
		|| { rm -rf $(VENV); echo "$(PYTHON) -m venv failed; on Debian: apt install python3-venv"; exit 1; }
	$(PIP) install --quiet -c constraints.txt torch numpy
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

clean: ## Remove what was built (the environment and the store stay)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
