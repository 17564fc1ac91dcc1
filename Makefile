# demo and test are the README's two commands; everything they make is below build/.
PYTHON ?= python3
TRACE ?=
DATA ?= ../shared/data
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help demo test check docs bench release clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: ## set up everything and run the main job (TRACE=DIR: on your own history)
	$(PYTHON) tests/demo.py demo --trace '$(TRACE)'

test: ## set up everything and pass all tests
	$(PYTHON) tests/checks.py

check: ## only the checks that need no virtual machine
	$(PYTHON) tests/checks.py style types lint package sanity units contract docs operator

docs: ## build the documentation as a site: build/site/html
	$(PYTHON) tests/docsite.py

bench: ## run one benchmark: NAME=forecast [DATA=DIR] [ARGS=--json]
	$(PYTHON) tests/bench.py '$(NAME)' '$(DATA)' $(ARGS)

release: ## build the collection's archive and check it: build/release
	$(PYTHON) tests/release.py

clean: ## remove what demo, test and bench made, virtual machines and networks included
	$(PYTHON) tests/demo.py clean
