# The targets require only Python 3.10 or later and make, unless `make help` names other programs. They create
# environments in folders that Git ignores.

PYTHON ?= python3
UV := .tools/bin/uv

# Environments for the newest Airflow and for the oldest supported version. requirements/ pins their packages.
AIRFLOW3 := .venv
AIRFLOW2 := .venv-airflow2
UI := .venv-ui
CELERY := .venv-celery
# Airflow 2.11 runs on Python 3.10 to 3.12.
PYTHON_OF_AIRFLOW2 ?= >=3.10,<3.13
BENCH := .venv-benchmarks
# `make fuzz` requires Linux, and a version of Python for which atheris has wheels.
FUZZ := .venv-fuzz
PYTHON_OF_FUZZ ?= >=3.11,<3.14
SECONDS ?= 60

# Let Python cache compiled modules, because each test process imports all of Airflow.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-airflow2 test-versions test-system test-system-airflow2 test-system-celery test-system-postgres \
	test-ui test-pages test-pythons package chaos chaos-celery load-events token-kills token-kills-airflow2 lint docs docs-links fault-table diagrams fuzz format bench simulation constraints clean

help:
	@echo "make demo           run a DAG with a local Stitch and a real Airflow"
	@echo "make test           run all tests on the newest Airflow 3"
	@echo "make test-airflow2  run the same tests on Airflow 2.11"
	@echo "make test-versions  run all tests on both versions of Airflow, one after the other"
	@echo "make test-system    test an Airflow of several processes while they are killed"
	@echo "make test-system-airflow2  run the same tests on Airflow 2.11"
	@echo "make test-system-celery  run the same tests with a CeleryExecutor (needs PostgreSQL and Redis)"
	@echo "make test-system-postgres  run the same tests with a LocalExecutor (needs PostgreSQL)"
	@echo "make test-ui        test Airflow's pages in a browser, and update screenshots (needs Chromium)"
	@echo "make test-pages     run every command of the documentation in a new clone and a new environment"
	@echo "make test-pythons   run all tests on Python 3.10, 3.12 and 3.13, as far as they are installed"
	@echo "make package        build the package in dist/, and check it"
	@echo "make chaos RUNS=100  run jobs while processes are killed and connections cut, and print the outcomes (SEED=0)"
	@echo "make chaos-celery   do the same with a CeleryExecutor (needs PostgreSQL and Redis)"
	@echo "make load-events    load streams while triggerers are killed and a token is rejected (SEED=0, REJECTED=600)"
	@echo "make token-kills RUNS=200  kill tasks at each step of creating an account, and check that no token is lost"
	@echo "make token-kills-airflow2  do the same on Airflow 2.11"
	@echo "make lint           run ruff, mypy --strict, import-linter and the check of the prose"
	@echo "make docs           build the documentation in docs/_build/html; a warning is an error"
	@echo "make docs-links     check the external links of the documentation (needs the internet)"
	@echo "make fault-table    try each fault of each request, and write docs/reference/failure-modes.md"
	@echo "make diagrams       draw the documentation's pictures of the code and of a job"
	@echo "make fuzz           search for responses that crash the client, for a minute (or SECONDS=600)"
	@echo "make format         format the code with ruff"
	@echo "make bench          compare this provider with others, and draw the plots of the documentation"
	@echo "make simulation     simulate days of an account, and draw how late a waiting task detects the end of a phase"
	@echo "make simulation SOURCES=100 DAYS=7 SEED=7  the same for other accounts, without a plot"
	@echo "make constraints    pin the newest packages in requirements/"
	@echo "make clean          remove environments and caches"

demo: $(AIRFLOW3)/.installed
	@$(AIRFLOW3)/bin/python -m demo

test: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m pytest -n 4 --dist worksteal

test-airflow2: $(AIRFLOW2)/.installed
	$(AIRFLOW2)/bin/python -m pytest -n 4 --dist worksteal --hypothesis-profile=smoke

test-versions:
	$(MAKE) test
	$(MAKE) test-airflow2

test-system: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m pytest tests/system

test-system-airflow2: $(AIRFLOW2)/.installed
	$(AIRFLOW2)/bin/python -m pytest tests/system

test-system-postgres: $(CELERY)/.installed
	$(CELERY)/bin/python -m tests.system.servers --postgres-only $(CELERY)/bin/python -m pytest tests/system

test-system-celery: $(CELERY)/.installed
	$(CELERY)/bin/python -m tests.system.servers $(CELERY)/bin/python -m pytest tests/system

test-ui: $(UI)/.installed
	$(UI)/bin/python -m pytest tests/ui

chaos: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m tests.system.chaos --runs $(or $(RUNS),100) --seed $(or $(SEED),0)

chaos-celery: $(CELERY)/.installed
	$(CELERY)/bin/python -m tests.system.servers \
		$(CELERY)/bin/python -m tests.system.chaos --runs $(or $(RUNS),100) --seed $(or $(SEED),0)

load-events: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m tests.system.load_events --triggerers 1 --seed $(or $(SEED),0) \
		--rejected-seconds $(or $(REJECTED),600)
	$(AIRFLOW3)/bin/python -m tests.system.load_events --triggerers 2 --seed $(or $(SEED),0)

token-kills: $(AIRFLOW3)/.installed
	STITCH_TEST_TOKEN_RUNS=$(or $(RUNS),200) STITCH_TEST_TOKEN_SEED=$(or $(SEED),0) \
		$(AIRFLOW3)/bin/python -m pytest tests/system/test_tokens.py

token-kills-airflow2: $(AIRFLOW2)/.installed
	STITCH_TEST_TOKEN_RUNS=$(or $(RUNS),200) STITCH_TEST_TOKEN_SEED=$(or $(SEED),0) \
		$(AIRFLOW2)/bin/python -m pytest tests/system/test_tokens.py

test-pages: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m pytest tests/fresh

test-pythons: $(UV)
	$(PYTHON) -m tools.pythons $(or $(VERSIONS),3.10 3.12 3.13) -- $(or $(TESTS),tests)

package: $(AIRFLOW3)/.installed
	rm -rf dist
	$(UV) build --quiet --out-dir dist
	$(AIRFLOW3)/bin/twine check --strict dist/*.whl dist/*.tar.gz
	$(AIRFLOW3)/bin/python -m tools.package_check

lint: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/ruff check .
	$(AIRFLOW3)/bin/ruff format --check .
	$(AIRFLOW3)/bin/mypy
	$(AIRFLOW3)/bin/lint-imports
	$(AIRFLOW3)/bin/python -m tools.prose_check

docs: $(AIRFLOW3)/.installed
	$(SPHINX) -b html docs docs/_build/html

docs-links: $(AIRFLOW3)/.installed
	$(SPHINX) -b linkcheck docs docs/_build/links

fault-table: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m tools.fault_table

diagrams: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/python -m tools.layers
	$(AIRFLOW3)/bin/python -m tools.timeline

fuzz: $(FUZZ)/.installed
	$(FUZZ)/bin/python -m tests.fuzz --seconds $(SECONDS)

SPHINX = $(AIRFLOW3)/bin/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env -d docs/_build/doctrees

format: $(AIRFLOW3)/.installed
	$(AIRFLOW3)/bin/ruff check --fix .
	$(AIRFLOW3)/bin/ruff format .

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks parse_cost extraction_log waiting --plots docs/images

simulation: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks simulation \
		$(if $(SOURCES)$(DAYS)$(SEED),,--plots docs/images) \
		$(if $(SOURCES),--sources $(SOURCES)) $(DAYS:%=--days %) $(SEED:%=--seed %)

constraints: $(UV)
	$(UV) pip compile --quiet --upgrade $(COMPILE) --group lint --group docs --group ui --group celery --group benchmarks requirements/airflow3.in -o requirements/airflow3.txt
	$(UV) pip compile --quiet --upgrade $(COMPILE) requirements/airflow2.in -o requirements/airflow2.txt

COMPILE := --universal --python-version 3.10 --no-annotate --no-header \
	pyproject.toml --extra emulator --group test

clean:
	rm -rf dist .venv-python* .tools $(AIRFLOW3) $(AIRFLOW2) $(UI) $(CELERY) $(BENCH) $(FUZZ) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

$(AIRFLOW3)/.installed: pyproject.toml requirements/airflow3.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(AIRFLOW3)
	$(UV) pip install --quiet --python $(AIRFLOW3)/bin/python -c requirements/airflow3.txt -e ".[emulator]" --group test --group lint --group docs
	touch $@

$(AIRFLOW2)/.installed: pyproject.toml requirements/airflow2.txt | $(UV)
	$(UV) venv --quiet --clear --python "$(PYTHON_OF_AIRFLOW2)" $(AIRFLOW2)
	$(UV) pip install --quiet --python $(AIRFLOW2)/bin/python -c requirements/airflow2.txt -e ".[emulator]" --group test
	touch $@

$(UI)/.installed: pyproject.toml requirements/airflow3.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(UI)
	$(UV) pip install --quiet --python $(UI)/bin/python -c requirements/airflow3.txt -e ".[emulator]" --group test --group ui
	touch $@

$(CELERY)/.installed: pyproject.toml requirements/airflow3.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(CELERY)
	$(UV) pip install --quiet --python $(CELERY)/bin/python -c requirements/airflow3.txt -e ".[emulator]" --group test --group celery
	touch $@

$(BENCH)/.installed: pyproject.toml requirements/airflow3.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(BENCH)
	$(UV) pip install --quiet --python $(BENCH)/bin/python -c requirements/airflow3.txt -e ".[emulator]" --group benchmarks
	touch $@

$(FUZZ)/.installed: pyproject.toml requirements/airflow3.txt | $(UV)
	$(UV) venv --quiet --clear --python "$(PYTHON_OF_FUZZ)" $(FUZZ)
	$(UV) pip install --quiet --python $(FUZZ)/bin/python -c requirements/airflow3.txt -e . --group test --group fuzz
	touch $@
