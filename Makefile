# Everything happens in .venv; nothing else on the machine is touched.
PYTHON ?= $(shell python3.11 -c "print('python3.11')" 2>/dev/null || echo python3)
BIN := .venv/bin
NOTEBOOK := notebooks/brain_mri_tumor_segmentation

.PHONY: help demo test check notebook clean

help:
	@echo "make demo      set up .venv and run the whole road on phantoms (minutes)"
	@echo "make test      set up what is missing and run the tests"
	@echo "make check     ruff, mypy, import contracts, notebook and text in step"
	@echo "make notebook  execute the notebook again and keep its outputs"
	@echo "make clean     remove .venv and what the demo wrote"

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

.venv/dev: .venv/train
	@echo "== installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
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
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

notebook: .venv/dev
	@echo "== executing the notebook (minutes)"
	@$(BIN)/jupytext --to ipynb --output $(NOTEBOOK).ipynb $(NOTEBOOK).py
	@$(BIN)/python -c "import nbclient, nbformat; book = nbformat.read('$(NOTEBOOK).ipynb', 4); \
		nbclient.NotebookClient(book, timeout=None, record_timing=False, coalesce_streams=True).execute(); \
		nbformat.write(book, '$(NOTEBOOK).ipynb')"

clean:
	rm -rf .venv gliomaseg-demo
