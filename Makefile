# Everything happens in .venv; nothing else on the machine is touched.
PYTHON ?= $(shell python3.11 -c "print('python3.11')" 2>/dev/null || echo python3)
BIN := .venv/bin
NOTEBOOK := notebooks/brain_mri_tumor_segmentation

# Studies: DATA names the data set; CROSSED and CROSSED_T1 the tuned cross-validations of both bundled recipes.
DATA ?= lgg
CROSSED ?= crossed
CROSSED_T1 ?= crossed-t1
# RUNS: trainings on the folds of one split.
RUNS ?= quick-0 quick-1
STUDIES := ensemble error_kinds as_volumes card_tables leakage fit_input_checks measures_cost scribbles

.PHONY: help demo test check fuzz notebook docs sbom vulnerabilities clean $(STUDIES:%=study-%)

help:
	@echo "make demo      set up .venv and run the whole workflow on phantoms (minutes)"
	@echo "make test      install missing packages and run the tests"
	@echo "make check     ruff, mypy, import contracts, check that notebook and text agree"
	@echo "make fuzz      read 100,000 damaged files; SEED=7 chooses others (half an hour)"
	@echo "make notebook  execute the notebook again and keep its outputs"
	@echo "make docs      build the site (guide, API reference, results, decisions) into build/site"
	@echo "make sbom      list all installed packages as CycloneDX into build/sbom.json"
	@echo "make vulnerabilities  check the pinned packages for known vulnerabilities (needs a network)"
	@echo "make study-ensemble ...  recompute published numbers: $(STUDIES:%=study-%)"
	@echo "make clean     remove .venv and the output of the demo"

.venv/created:
	@echo "== creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "gliomaseg needs Python 3.11 to 3.13: make PYTHON=/path/to/python3.11 ..."; exit 2; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/train: .venv/created pyproject.toml constraints.txt
	@echo "== installing gliomaseg[train] (torch is large: minutes on a slow network)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train]"
	@touch $@

# `dev` has all of `train`: one installation is faster than two.
.venv/dev: .venv/created pyproject.toml constraints.txt
	@echo "== installing gliomaseg and what its tests need (torch is large: minutes on a slow network)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch .venv/train $@

.venv/docs: .venv/dev
	@echo "== installing the site generator"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	@touch $@

.venv/security: .venv/dev
	@echo "== installing the tools for the list of packages and their vulnerabilities"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[security]"
	@touch $@

demo: .venv/train
	@echo "== running the demo into gliomaseg-demo/"
	@$(BIN)/gliomaseg demo --out gliomaseg-demo --overwrite

check: .venv/dev
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== mypy --strict"
	@$(BIN)/mypy
	@echo "== import contracts"
	@$(BIN)/lint-imports --no-cache

# Two workers of one thread each, a file at a time: its fixtures are made once.
test: .venv/dev
	@echo "== tests (minutes)"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

fuzz: .venv/dev
	@OMP_NUM_THREADS=1 $(BIN)/python fuzz/run.py 100000 $(SEED)

notebook: .venv/dev
	@echo "== executing the notebook (minutes)"
	@$(BIN)/jupytext --to ipynb --output $(NOTEBOOK).ipynb $(NOTEBOOK).py
	@$(BIN)/python -c "import nbclient, nbformat; book = nbformat.read('$(NOTEBOOK).ipynb', 4); \
		nbclient.NotebookClient(book, timeout=None, record_timing=False, coalesce_streams=True).execute(); \
		nbformat.write(book, '$(NOTEBOOK).ipynb')"

sbom: .venv/security
	@mkdir -p build
	@$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-file build/sbom.json

vulnerabilities: .venv/security
	@$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

study-ensemble: .venv/dev
	$(BIN)/python studies/ensemble.py $(CROSSED) $(CROSSED_T1) --data $(DATA) --out both

study-error_kinds study-as_volumes: study-%: .venv/dev
	$(BIN)/python studies/$*.py $(CROSSED) $(CROSSED_T1) --data $(DATA)

study-card_tables: .venv/dev
	$(BIN)/python studies/card_tables.py $(CROSSED) --data $(DATA)

study-scribbles: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python studies/scribbles.py $(RUNS) --data $(DATA) --out scribbles

study-leakage: .venv/dev
	$(BIN)/python studies/leakage.py --data $(DATA) --out leakage

study-fit_input_checks study-measures_cost: study-%: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python studies/$*.py --data $(DATA)

# Warnings are errors. The API reference is made from the docstrings.
docs: .venv/docs
	@echo "== building the site into build/site"
	@rm -rf docs/reference
	@$(BIN)/sphinx-build -q -W --keep-going -c docs . build/site
	@echo "open build/site/index.html"

clean:
	rm -rf .venv gliomaseg-demo
