# `make` lists the targets. What needs another program says so.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
RUN := $(VENV)/bin/python
# Which Python: what `make PYTHON=python3.14` says, else what the virtual environment has, else 3.13,
# which Azure runs, where it is found, else python3.
PYTHON ?= $(shell for each in $(RUN) python3.13 $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.13.*/bin/python3.13) python3; do \
  "$$each" -c "" 2>/dev/null && echo "$$each" && break; done)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
READY := $(VENV)/.ready-$(VERSION)
# What runs beside something else is printed when it is done, whole. (make before 4.0 cannot.)
WHOLE := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
PARALLEL := --numprocesses auto --maxprocesses 4
export PYTHONDONTWRITEBYTECODE :=

# Vulnerabilities that were looked at and do not reach us, each with the reason: CONTRIBUTING.md#dependencies.
KNOWN :=

PAGE_FILES := $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -name schema.d.ts)

.PHONY: help setup web chromium browser tour start cloud test check unit e2e test-dates test-dates-all faketime bench bench-long package build-package e2e-package fuzz audit openapi lock format clean checkov az-check

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 14

setup: $(READY) local/node_modules/.ready web/node_modules/.ready ## Install everything, here and only here

$(READY): requirements-dev.txt
	@case "$(VERSION)" in 3.11|3.12|3.13|3.14) ;; \
	  "") echo "Python 3.11 to 3.14 is needed, and $(or $(PYTHON),python3) does not run. Name one: make setup PYTHON=python3.13"; exit 1;; \
	  *) echo "Python 3.11 to 3.14 is needed, and $(PYTHON) is $(VERSION). Name one: make setup PYTHON=python3.13"; exit 1;; esac
	@test "$$($(RUN) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$(VERSION)" || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV) >/dev/null; } || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: sudo apt-get install python$(VERSION)-venv"; exit 1; }
	@rm -f $(VENV)/.ready*
	@echo "Installing some 130 Python packages for Python $(VERSION) ..."
	@sed -n '/^uv==/,/# via/p' requirements-dev.txt > $(VENV)/uv.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@index=$$($(RUN) -m pip config list | sed -n "s/^.*\.index-url='\(.*\)'/\1/p" | tail -n 1); \
	  export VIRTUAL_ENV=$(VENV) $${index:+UV_DEFAULT_INDEX="$$index"}; set -- $(VENV)/bin/uv pip sync --require-hashes requirements-dev.txt; \
	  if [ -t 2 ]; then "$$@"; else "$$@" 2>&1 | sed '/^ [-+~] /d'; fi
	@touch $@

local/node_modules/.ready: local/package-lock.json
	@node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { echo "Node 20 or newer is needed."; exit 1; }
	@echo "Installing Azurite, some 370 npm packages ..."
	@npm ci --prefix local --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

infra/kql/node_modules/.ready: infra/kql/package-lock.json local/node_modules/.ready
	@echo "Installing Microsoft's language service for KQL, one npm package of 31 MB ..."
	@npm ci --prefix infra/kql --no-audit --no-fund --no-update-notifier --loglevel=error && touch $@ || \
	  echo "It cannot be installed: the queries of alerts, workbook and documents are not shown to Microsoft's parser."

web: web/dist/index.html ## Build the booking page

web/node_modules/.ready: web/package-lock.json local/node_modules/.ready
	@echo "Installing what builds the booking page, some 180 npm packages ..."
	@npm ci --prefix web --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/.ready functions/openapi.json $(PAGE_FILES)
	@echo "Building the booking page ..."
	@npm run --silent --prefix web build

start: setup web ## Start the local cloud and the app, and say where to look
	@exec $(RUN) -m local start $(ARGS)

cloud: setup ## Start the local cloud alone
	@exec $(RUN) -m local cloud $(ARGS)

test: setup ## Run all that CI runs
	@$(MAKE) build-package
	@echo "Running the checks, and the tests without the whole app. Each prints when it is done: some minutes ..."
	@BUILT_PACKAGE=build/package $(MAKE) -j3 $(WHOLE) check checkov unit
	@echo "Running the whole app's tests, and the booking page's in Chromium: some minutes more ..."
	@BUILT_PACKAGE=build/package $(MAKE) -j3 $(WHOLE) e2e-package e2e browser E2E_ARGS="$(foreach each,$(PACKAGED),--ignore tests/e2e/test_$(each).py)"

check: setup ## Format, lint, types, imports, OpenAPI, workflows, licences
	@$(VENV)/bin/ruff format --check --quiet . || { echo "Run: make format"; exit 1; }
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(VENV)/bin/zizmor --offline --quiet --no-progress --persona auditor .github
	@$(VENV)/bin/jactionlint --no-online --profile pedantic --strict-exit --shellcheck= --pyflakes= .github/workflows/*.yml .github/dependabot.yml
	@$(RUN) -m functions._openapi | diff -q - functions/openapi.json >/dev/null || { echo "functions/openapi.json is old. Run: make openapi"; exit 1; }
	@$(RUN) -m deployment.licences
	@npm run --silent --prefix web check

unit: setup infra/kql/node_modules/.ready ## Tests without the whole app: unit, edge, contract, simulators, infrastructure
	@$(RUN) -m pytest -q $(PARALLEL) --dist loadfile tests --ignore tests/e2e --ignore tests/browser $(UNIT_ARGS) $(ARGS)

e2e: setup ## Tests of the whole app over HTTP, from the sources
	@$(RUN) -m pytest -q $(PARALLEL) tests/e2e $(E2E_ARGS) $(ARGS)

browser: setup web chromium ## Tests of the booking page in a real Chromium
	@$(RUN) -m pytest -q tests/browser

test-dates: setup web chromium faketime ## Tests as if it were another day, on a few days
	@$(RUN) -m tests.on_dates

test-dates-all: setup web chromium faketime ## The same on every day and in every time zone that is known to be hard (hours)
	@$(RUN) -m tests.on_dates --all $(ARGS)

faketime:
	@ls /usr/lib/*/faketime/libfaketime.so.1 /usr/lib/faketime/libfaketime.so.1 >/dev/null 2>&1 || { \
	  [ "$$(id -u)" = 0 ] || { echo "libfaketime is needed. Run: sudo apt-get install faketime"; exit 1; }; \
	  echo "Installing libfaketime ..."; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq faketime >/dev/null; }

tour: setup web chromium ## Take the pictures of docs/tour.md anew
	@UPDATE_TOUR=1 $(RUN) -m pytest -q tests/browser

chromium:
	@command -v chromium >/dev/null || test -n "$${CHROMIUM:-}" || { \
	  [ "$$(id -u)" = 0 ] || { echo "Chromium is needed. Run: sudo apt-get install chromium"; exit 1; }; \
	  echo "Installing Chromium ..."; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }

package: setup ## Build dist/mentor-calendar.zip and its bill of materials, print figures
	@$(RUN) -m deployment $(ARGS)

build-package: setup
	@$(RUN) -m deployment --interpreter $(RUN) --out build/package --unpack build/package/app

# What shows that the package has all that it needs; the others are the same from the sources. Every night all run against it.
PACKAGED := access alerts calls cold_start counts headers idempotency limits main_job organizations recovery series telemetry webhooks

e2e-package: setup $(if $(BUILT_PACKAGE),,build-package) ## Tests of the whole app over HTTP, against the unpacked package alone (TESTS=tests/e2e: all)
	@APP_DIR=build/package/app $(RUN) -m pytest -q $(PARALLEL) $(or $(TESTS),$(foreach each,$(PACKAGED),tests/e2e/test_$(each).py))

fuzz: setup ## Fuzz the whole app from its OpenAPI document, long and with a new seed (FUZZ_SECONDS, FUZZ_SEED)
	@seed=$${FUZZ_SEED:-$$RANDOM}; echo "The seed is $$seed. To repeat it: make fuzz FUZZ_SEED=$$seed"; \
	  FUZZ_SECONDS=$${FUZZ_SECONDS:-1200} FUZZ_SEED=$$seed $(RUN) -m pytest -q --numprocesses 3 tests/e2e/test_fuzz.py $(ARGS)

audit: setup ## Look for known vulnerabilities in the dependencies (asks the registries)
	@status=0; \
	  $(VENV)/bin/pip-audit --requirement requirements.txt --requirement requirements-dev.txt --disable-pip --require-hashes --strict \
	    --progress-spinner off $(KNOWN:%=--ignore-vuln %) $(ARGS) || status=1; \
	  npm audit --prefix web --package-lock-only --omit dev || status=1; \
	  for tools in web local infra/kql .github/page-deployment; do npm audit --prefix "$$tools" --package-lock-only --audit-level high || status=1; done; \
	  exit $$status

bench: setup ## Print figures and ratios
	@$(RUN) -m benchmarks

bench-long: setup ## Print figures that take many minutes: load, hostile bodies, renewals, faults, races, chaos, trouble
	@for each in webhook hostile_bodies renewals fault_matrix races chaos trouble; do echo "== $$each"; $(RUN) -m benchmarks.$$each; done

openapi: setup ## Write functions/openapi.json from the models
	@$(RUN) -m functions._openapi > build-openapi.tmp && mv build-openapi.tmp functions/openapi.json

lock: setup ## Pin the requirements with hashes
	@for name in requirements requirements-dev; do \
	  $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes $$name.in -o $$name.txt; done

format: setup ## Format and mend what can be mended
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format --quiet .

clean: ## Remove what was built and installed
	@rm -rf $(VENV) local/node_modules infra/kql/node_modules web/node_modules web/dist .local build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

checkov: build/checkov/.ready ## Check the templates against checkov's rules (in a place of its own)
	@BC_SKIP_MAPPING=true LOG_LEVEL=ERROR build/checkov/bin/checkov --directory infra --skip-path entra --framework bicep --compact --quiet --skip-download 2>build/checkov/log >build/checkov/said; status=$$?; tail -n 20 build/checkov/said; \
	  ! grep -q "Parsing errors: [1-9]" build/checkov/said || { echo "checkov cannot read a template, and so checks none of it."; status=1; }; exit $$status

build/checkov/.ready: $(READY) # checkov pins half of PyPI, so it cannot live beside the app
	@$(VENV)/bin/uv venv --quiet --clear --python $(RUN) build/checkov && $(VENV)/bin/uv pip install --quiet --python build/checkov checkov==3.3.30 && touch $@

az-check: ## Show the docs' az commands to the real CLI's parser (large, slow)
	@test -x build/azure-cli/bin/python || { $(PYTHON) -m venv build/azure-cli && build/azure-cli/bin/pip install --quiet azure-cli==2.91.0; }
	@build/azure-cli/bin/python infra/check_az.py
