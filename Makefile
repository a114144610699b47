# `make` lists the targets. Nothing has to be installed first but Python 3.11 or newer.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif
IN_VENV := .venv/bin/python

# What reproduce-lra, plan, data and status take: make reproduce-lra PRESET=lra TASKS=image,text SEEDS=0..4
PRESET ?=
TASKS ?=
BACKBONES ?=
ATTENTIONS ?=
SEEDS ?=
DATA ?=
SOURCE ?=
JOBS ?=
LAUNCHER ?=
ARGS ?=
MEASURE ?=
DEVICE ?=
SECTIONS ?= transforms,layers,steps,pipeline
RUN ?=

# What report takes: make report RECORDS=results/reference WANDB=entity/project
RECORDS ?= results/records
WANDB ?=

# Recipes read these from the environment, as "$SEEDS": neither make nor the shell runs anything that is in a value.
OPTIONS := PYTHON IN_VENV PRESET TASKS BACKBONES ATTENTIONS SEEDS DATA SOURCE JOBS LAUNCHER ARGS MEASURE DEVICE \
	SECTIONS RUN RECORDS WANDB
$(foreach name,$(OPTIONS),$(eval override $(name) := $$(value $(name))))
export $(OPTIONS)

# Makes the words of ARGS "$@"; quotes hold a word together.
SPLIT_ARGS = set -f; IFS="$$(printf '\t')"; words=$$(printf %s "$$ARGS" | xargs printf '%s\t' 2>/dev/null) || \
	{ echo "error: ARGS=$$ARGS: a quote is open; expected words as the shell takes them" >&2; exit 2; }; set -- $$words

.DEFAULT_GOAL := help
.PHONY: help setup sweeps reproduce-lra plan status data tables reference report report-picture wavelets \
	dashboard wandb-sync benchmark lint format test test-slow test-slurm clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
	@echo "  options of reproduce-lra, plan, data and status: PRESET=quick|small|lra|paper TASKS=image,text BACKBONES=vanilla,wise_fixed"
	@echo "  ATTENTIONS=softmax SEEDS=0..4 DATA=/folder/of/archives SOURCE=auto|release|generated|standin JOBS=2 ARGS='key=value'"
	@echo "  of reproduce-lra: LAUNCHER=submitit_slurm|submitit_local|joblib sends the whole grid there"
	@echo "  plan: MEASURE=1 measures all, 0 nothing, by default what has no record; DEVICE='what records call it'"

setup: .venv/ready ## create .venv and install the pinned dependencies

.venv/ready: pyproject.toml constraints.txt
	@test -n "$$PYTHON" || { echo "error: no Python 3.11 or newer found; install one, or say make PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv with $$PYTHON (about a minute, and 1.5 GB; more where torch comes with CUDA)"
	@"$$PYTHON" -m venv .venv || { echo "error: $$PYTHON -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lra]'
	@touch $@

.venv/ready-dev: .venv/ready
	@.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv/ready-report: .venv/ready
	@.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	@touch $@

sweeps: setup ## install what sweeps take beyond the basic launcher: joblib, submitit, Optuna
	@.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sweeps]'

reproduce-lra: setup ## prepare data, train what is missing of the grid, write and print the table
	@$(SPLIT_ARGS); "$$IN_VENV" scripts/reproduce.py --preset "$$PRESET" --tasks "$$TASKS" --backbones "$$BACKBONES" \
		--attentions "$$ATTENTIONS" --seeds "$$SEEDS" --data "$$DATA" --source "$$SOURCE" --jobs "$$JOBS" --launcher "$$LAUNCHER" "$$@"

plan: setup ## print the jobs of a grid and the hours they would take, before anything is spent
	@$(SPLIT_ARGS); "$$IN_VENV" scripts/plan.py --preset "$$PRESET" --tasks "$$TASKS" --backbones "$$BACKBONES" \
		--attentions "$$ATTENTIONS" --seeds "$$SEEDS" --jobs "$$JOBS" --measure "$$MEASURE" --device "$$DEVICE" "$$@"

status: setup ## show the grid: done, running, failed, missing
	@"$$IN_VENV" scripts/status.py --preset "$$PRESET" --tasks "$$TASKS" --backbones "$$BACKBONES" \
		--attentions "$$ATTENTIONS" --seeds "$$SEEDS"

data: setup ## prepare the data of TASKS and say what they are
	@"$$IN_VENV" scripts/prepare_data.py --preset "$$PRESET" --tasks "$$TASKS" --source "$$SOURCE" --archives "$$DATA"

tables: setup ## build results/TABLE.md, .csv and .tex from results/records
	@"$$IN_VENV" scripts/tables.py

reference: setup ## keep this machine's records as the project's own, and put their table into README.md
	@"$$IN_VENV" scripts/tables.py --adopt

report: .venv/ready-report ## build results/report/index.html, one page that opens without network
	@$(SPLIT_ARGS); "$$IN_VENV" scripts/report.py --records "$$RECORDS" --wandb "$$WANDB" "$$@"

report-picture: .venv/ready-report ## take docs/report.png of the report of results/reference (needs Chromium)
	@"$$IN_VENV" scripts/report.py --records results/reference --screenshot docs/report.png

wavelets: setup ## draw what the wavelets of a run learned: make wavelets RUN=results/runs/...
	@"$$IN_VENV" scripts/plot_wavelets.py $${RUN:+"$$RUN"}

.venv/ready-dashboard: .venv/ready
	@.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dashboard]'
	@touch $@

dashboard: .venv/ready-dashboard ## build the W&B workspace and report: ARGS='--dry-run FILE' only writes them down
	@$(SPLIT_ARGS); "$$IN_VENV" scripts/dashboard.py "$$@"

wandb-sync: setup ## upload the W&B runs that wait on this machine
	@$(SPLIT_ARGS); "$$IN_VENV" scripts/wandb_sync.py "$$@"

.venv/ready-benchmark: .venv/ready
	@.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmark]'
	@touch $@

benchmark: .venv/ready-benchmark ## measure transforms, layers, steps and pipeline; SECTIONS=transforms ARGS=--quick for less
	@$(SPLIT_ARGS); KINETO_LOG_LEVEL=6 "$$IN_VENV" scripts/benchmark.py --sections "$$SECTIONS" "$$@"

lint: .venv/ready-dev ## check style (ruff), types (mypy), who imports whom (import-linter) and the Dockerfile (hadolint)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@if [ -x .venv/bin/hadolint ]; then .venv/bin/hadolint Dockerfile; fi

format: .venv/ready-dev ## format the code
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

test: .venv/ready-dev ## run the tests (under 5 minutes on two cores, no network)
	@"$$IN_VENV" -m pytest -q -n 2

test-slow: .venv/ready-dev ## run the slow tests as well
	@"$$IN_VENV" -m pytest -q -n 2 -m "slow or not slow"

test-slurm: .venv/ready-dev ## run the tests against a Slurm of one node that they start (root; slurm-wlm and munge)
	@"$$IN_VENV" -m pytest -q -rs -m slow tests/slurm

clean: ## remove the virtual environment and caches; data, runs and records stay
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache build src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
