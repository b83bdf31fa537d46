# `make demo` and `make test` set up a virtual environment and do everything on a fresh machine.
VENV := .venv
PYTHON := $(VENV)/bin/python
BUNDLE := $(PYTHON) -m monai.bundle run

.PHONY: demo test test-label test-flare web test-web docs-check lint format clean

$(VENV)/installed: requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet "torch==2.13.0"
	$(PYTHON) -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(PYTHON) -m pip install --quiet -r requirements-dev.txt
	touch $@

# Both stages on generated phantoms, evaluation on phantoms set apart
demo: $(VENV)/installed
	rm -rf eval/demo
	$(BUNDLE) training --config_file "['configs/train.yaml','configs/demo.yaml']"
	$(BUNDLE) evaluating --config_file "['configs/evaluate.yaml','configs/demo.yaml']"
	@echo
	@echo "Pictures of this run:"
	@ls eval/demo/report.html eval/demo/overlays.png eval/demo/stage1/rank_pattern.png eval/demo/stage1/curves.png \
		eval/demo/stage2/curves.png
	@echo "Figures: eval/demo/metrics.csv, eval/demo/summary.json; weights: eval/demo/models/"

test: $(VENV)/installed-dev lint
	$(PYTHON) -m pytest -q

# MONAI Label needs older packages: it has a virtual environment of its own
.venv-label/installed: requirements-label.txt
	python3 -m venv .venv-label
	.venv-label/bin/python -m pip install --quiet "torch==2.13.0"
	.venv-label/bin/python -m pip install --quiet -r requirements-label.txt
	touch $@

# Where there is Node.js, the page is tried in headless Chromium, too
test-label: .venv-label/installed $(if $(shell command -v npm),docs/demo/node_modules/installed)
	.venv-label/bin/python -m pytest -q tests/monai_label

# NVFLARE, too, wants versions of its own
.venv-flare/installed: requirements.txt requirements-flare.txt
	python3 -m venv .venv-flare
	.venv-flare/bin/python -m pip install --quiet "torch==2.13.0"
	.venv-flare/bin/python -m pip install --quiet -r requirements-flare.txt
	touch $@

test-flare: .venv-flare/installed
	.venv-flare/bin/python -m pytest -q tests/flare

docs/demo/node_modules/installed: docs/demo/package.json docs/demo/package-lock.json
	cd docs/demo && npm ci
	touch $@

# The page that segments in the browser, at http://localhost:8080/; another port: make web PORT=8081
PORT := 8080
web: docs/demo/node_modules/installed
	cd docs/demo && npm run --silent prepare-models && npm run --silent build -- --logLevel error
	cd docs/demo && npm run --silent start -- --port $(PORT)

# In headless Chromium, against what the Python side gives
test-web: docs/demo/node_modules/installed $(VENV)/installed
	cd docs/demo && PYTHON="$(abspath $(PYTHON))" npm test

# The commands of README.md as they stand, in a fresh clone; other pages: PAGES="docs/how_it_works.md"
docs-check: $(VENV)/installed
	$(PYTHON) tests/docs_check.py $(PAGES)

lint: $(VENV)/installed-dev
	$(PYTHON) -m black --check --quiet scripts tests
	$(PYTHON) -m isort --check-only --quiet scripts tests
	$(PYTHON) -m flake8 scripts tests

format: $(VENV)/installed-dev
	$(PYTHON) -m isort --quiet scripts tests
	$(PYTHON) -m black --quiet scripts tests

clean:
	rm -rf $(VENV) .venv-label .venv-flare eval docs/demo/node_modules docs/demo/dist docs/demo/models
