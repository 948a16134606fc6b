# Each target sets up what it needs; on a complete set-up that costs less than a second.
#   make setup TRAJGEN_PYTHON=/path/to/python3.13           the Python to build on
#   make setup TRAJGEN_HARBOR_PYTHON=/path/to/python3.13    the Python for Harbor

.DEFAULT_GOAL := help
.PHONY: help setup demo ui ui-demo test test-faults test-deploy check engine up down browser postgres screenshots locks clean-env
export TRAJGEN_PYTHON TRAJGEN_HARBOR_PYTHON

ENV_DIR := $(or $(TRAJGEN_ENV_DIR),artifacts/env)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## check this machine and build the environments: trajgen, LiteLLM, Harbor
	@scripts/bootstrap

demo: ## roll out the demo tasks in the local sandbox, from manifest to training data
	@scripts/bootstrap --sandbox
	@exec .venv/bin/trajgen demo

ui: setup ## serve the Dagster UI of artifacts/
	@exec .venv/bin/trajgen ui

ui-demo: setup ## serve the Dagster UI of the demo
	@exec .venv/bin/trajgen demo --ui

# Whole files go to one of two processes, because the tests of a file share what is slow to start. They keep their order:
# the long ones, end to end, come first, and the short ones fill up the end.
test: ## run the tests, two files at a time; ARGS="tests/unit -q" chooses, one at a time
	@scripts/bootstrap --tests
	@exec .venv/bin/python -m pytest $(or $(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)

test-faults: ## the long tests: kill and stop every process at every named point; takes about an hour and a half
	@scripts/bootstrap --tests
	@exec .venv/bin/python -m pytest -m faults $(ARGS)

test-deploy: ## build the images of deploy/compose and bring the stack up, with a real engine; takes about ten minutes
	@scripts/bootstrap --tests
	@exec .venv/bin/python -m pytest -m deploy $(ARGS)

check: setup ## lint, format, types, direction of imports, definitions
	@exec scripts/check

engine: ## start a Docker engine and make the base image of the bundled tasks (as root, on Debian and its kin)
	@python3 -E scripts/docker_engine.py ensure
	@python3 -E scripts/docker_engine.py base-image

up: ## bring up the deployment of deploy/compose: Postgres, web UI behind a login, each run in a container of its own
	@exec python3 -E scripts/deployment.py up

down: ## take it down and leave its data; ARGS=--images removes its images, too
	@exec python3 -E scripts/deployment.py down $(ARGS)

browser: ## install Chromium for the tests of the web UI (as root, or with sudo)
	@python3 -E scripts/chromium.py

postgres: ## install Postgres for the tests of the ledger on a server (as root, or with sudo)
	@python3 -E scripts/postgres.py

screenshots: setup browser ## take the pictures of docs/images anew
	@TRAJGEN_SCREENSHOTS=docs/images .venv/bin/python -m pytest tests/e2e/browser -q

locks: ## renew locks/*.txt; ARGS=--upgrade takes the newest versions
	@exec scripts/lock $(ARGS)

clean-env: ## remove every environment; jobs, data and ledger stay
	rm -rf .venv .uv $(ENV_DIR)/store $(ENV_DIR)/runtimes $(ENV_DIR)/harbor-uv $(ENV_DIR)/litellm-venv $(ENV_DIR)/llamafactory-uv
