# Run `make` for the list. Everything works as the first command in a fresh clone.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
JS_READY := js/node_modules/.ready
TOOLS_READY := tools/node_modules/.ready
SITE := _build/html

# The programs of this environment (node and npm among them) come first.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONUTF8 := 1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup book test serve archive lighthouse lab notebooks repository bench clean
.DEFAULT_GOAL := help

help:
	@echo "make book        set up, run the notebooks, build the site, print where it is"
	@echo "make test        set up, run every check of the project"
	@echo "make serve       show the built site at a local address"
	@echo "make archive     pack the built site into a zip that is read without a network"
	@echo "make lighthouse  measure every page of the built site with Lighthouse"
	@echo "make lab         open the notebooks in JupyterLab"
	@echo "make notebooks   run the notebooks again and keep their outputs in them"
	@echo "make repository  write the repository's address everywhere: REPO=owner/name (REPO= for none)"
	@echo "make bench       run the benchmarks, print their tables"

setup: $(READY) $(TOOLS_READY) $(JS_READY)

# An environment that was made somewhere else, or is broken, is made again.
$(READY): requirements.txt pyproject.toml tools/make_venv.sh
	@PYTHON="$(PYTHON)" bash tools/make_venv.sh $(VENV)
	@touch $@

$(TOOLS_READY): tools/package.json tools/package-lock.json $(READY)
	@cd tools && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

ifneq ($(wildcard js/package-lock.json),)
$(JS_READY): js/package.json js/package-lock.json $(READY)
	@cd js && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
else
.PHONY: $(JS_READY)
$(JS_READY): $(READY)
endif

ifneq ($(shell bash tools/make_venv.sh --check $(VENV) && echo fine),fine)
.PHONY: $(READY)
endif

book: $(READY) $(TOOLS_READY)
	@$(PY) tools/build_book.py

test: setup
	@$(PY) tools/run_checks.py

serve: $(READY)
	@$(PY) tools/serve.py $(SITE)

archive: $(READY)
	@$(PY) tools/archive.py $(SITE)

lighthouse: $(READY) $(TOOLS_READY)
	@$(PY) tools/lighthouse.py

lab: $(READY)
	@$(PY) -m jupyter lab --notebook-dir=. $(if $(filter 0,$(shell id -u)),--allow-root)

notebooks: $(READY)
	@$(PY) tools/run_notebooks.py $(ONLY)

repository:
	@$(PYTHON) tools/repository.py $(if $(filter undefined,$(origin REPO)),,"$(REPO)")

bench: $(READY)
	@for script in attention_core model short_training; do echo "== $$script"; $(PY) "benchmarks/$$script.py" || exit 1; done

clean:
	rm -rf _build
