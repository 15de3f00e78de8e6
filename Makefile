# make demo   sets everything up, trains DenseVLM on the embedded TinyScenes world, prints the before/after table
#             (FROM_SCRATCH=1 trains the tiny CLIPs too)
# make report sets everything up, runs the paper's pretraining experiments and those beyond it on TinyScenes over three seeds
#             (two and a half CPU hours, 80 minutes on two cores; goes on where it stopped): work_dirs/report/index.html
# make web    sets everything up, shows in the browser what an encoder sees (ENCODERS="A.safetensors B.safetensors", default: the
#             embedded TinyScenes CLIPs): http://127.0.0.1:7860
# make docs   sets everything up, builds the documentation as a site: site/index.html
# make test   sets everything up, lints, type-checks and runs the tests
# make test-faults  kills training runs at random moments, fills their disk, lets their numbers explode (half an hour)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# One thread a process: two processes side by side beat spinning threads on small machines.
export OMP_NUM_THREADS ?= 1

.PHONY: demo report web docs test test-slow test-faults lint clean
demo: $(VENV)/.installed
	$(BIN)/python tools/demo.py $(if $(FROM_SCRATCH),--from-scratch)

report: $(VENV)/.installed
	$(BIN)/python tools/reproduce_tiny.py

web: $(VENV)/.installed
	$(BIN)/python tools/web.py $(if $(ENCODERS),--encoder $(ENCODERS))

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not faults"

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

test-faults: $(VENV)/.installed
	$(BIN)/python -m pytest -m faults tests/faults

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -r requirements.txt
	$(BIN)/pip install --no-build-isolation -e ".[lite,dev]"
	touch $@

clean:
	rm -rf $(VENV) work_dirs data/tiny_scenes *.egg-info
