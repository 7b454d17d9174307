# tastefeed: `make nightly` builds everything from a fresh checkout; `make help` lists all commands.
PYTHON ?= python3.11
LAKE ?= lake
# the midnight that ends the last bundled day; events posted later belong to later nights
AS_OF ?= 2017-03-01
# folder of public data sets for `make bench` and `make bench-full`; their terms forbid including them here
DATA ?= ../shared/data
TRIALS ?= 20
# items of the synthetic releases of `make bench-serving`, and the minutes of its soak
SIZES ?= 100000 10000 1000000
SOAK ?= 10
# port of `make airflow`
PORT ?= 8080
# examples of each of the six fuzzing tests
FUZZ_EXAMPLES ?= 16000
# methods of `make bench`
QUICK := most_popular,item_knn,ials,two_tower
# ablations of the two-tower, one run each; in single precision, 21 minutes suffice for all epochs of a training
VARIANTS := gowalla:encoder=svd gowalla:encoder=ease gowalla:bag.item_init=random ml-1m:encoder=svd ml-1m:encoder=ridge \
  ml-1m:sequence.item_init=random ml-1m:sequence.relative_positions=false ml-1m:minutes=21 \
  ml-1m:minutes=21+sequence.dropout=0
ALONE = $(BIN)/tastefeed bench retrieval --data $(DATA) --methods two_tower --trials 0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# refused phrases are in docs/vocabulary/phrases.txt; codespell finds refused words
PHRASES := grep -rnIiE --include='*.py' --include='*.md' --include='*.ipynb' --include='*.toml' --include=Makefile \
  --exclude-dir='.[a-z]*' --exclude-dir=vocabulary --exclude-dir='lake*' --exclude-dir=bench-out --exclude-dir=build --exclude-dir=benchmarks-small --exclude='benchmarks.md' --exclude='benchmarks-ranking.md'

export TASTEFEED_LAKE = $(LAKE)

.PHONY: help demo nightly serve test coverage check chaos walkthrough fuzz contract audit backtest bench bench-full bench-serving airflow mlflow notebooks lock clean clean-lake

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml
	@command -v java >/dev/null || { echo "Spark needs Java 17 or 21: install one (Debian: apt-get install openjdk-17-jre-headless)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "building $(VENV) from requirements.lock …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable client
	@# compile all modules now, on every core: with PYTHONDONTWRITEBYTECODE set, every process would compile torch again;
	@# some packages have templates that do not compile
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

demo: $(READY)  ## run the night of the bundled data if there is no release yet, serve its feed and open the page
	@$(BIN)/tastefeed demo --lake $(LAKE)

nightly: $(READY)  ## ingest the bundled data and run the night of its last day
	@$(BIN)/tastefeed import --lake $(LAKE) --events data/deskdrop/events.parquet --items data/deskdrop/items.parquet --users data/deskdrop/users.parquet
	@$(BIN)/tastefeed nightly --lake $(LAKE) --as-of $(AS_OF)

serve: $(READY)  ## serve the current release on 127.0.0.1:8000
	@$(BIN)/tastefeed serve --lake $(LAKE)

backtest: $(READY)  ## evaluate the night at eight past weekly cutoffs
	@$(BIN)/tastefeed backtest --weeks 8 --lake $(LAKE)

bench: $(READY)  ## run a small version of each benchmark (minutes); writes docs/benchmarks-small
	@rm -rf bench-out/small
	@$(BIN)/tastefeed bench retrieval --data data --dataset deskdrop --methods $(QUICK) --trials 3 \
	  --set two_tower.encoder=ridge --out bench-out/small/deskdrop
	@TASTEFEED_SEED=8 $(BIN)/tastefeed bench retrieval --data data --dataset deskdrop --methods two_tower --trials 0 \
	  --set two_tower.encoder=ridge --out bench-out/small/deskdrop-seed-8
	@test -d $(DATA) || echo "skipped the rest: $(DATA) does not exist; set DATA to the folder of public data sets"
	@test ! -d $(DATA) || $(BIN)/tastefeed bench retrieval --data $(DATA) --dataset ml-1m --methods $(QUICK) --trials 1 \
	  --set two_tower.encoder=ridge --out bench-out/small/ml-1m
	@test ! -d $(DATA) || $(BIN)/tastefeed bench ranking --data $(DATA) --dataset ml-100k --trials 3 --out bench-out/small/ranking-ml-100k
	@$(BIN)/tastefeed bench report bench-out/small/* --out docs/benchmarks-small
	@test ! -d $(LAKE)/releases || ! command -v h2load >/dev/null || \
	  $(BIN)/tastefeed bench serving --lake $(LAKE) --out bench-out/serving-lake

bench-serving: $(READY)  ## measure a server on synthetic releases and the lake, then a soak (20 minutes; the first time 10 more to build the releases); writes docs/benchmarks-serving.md
	@for items in $(SIZES); do $(BIN)/tastefeed bench serving --items $$items --out bench-out/serving-$$items || exit 1; done
	@test ! -d $(LAKE)/releases || $(BIN)/tastefeed bench serving --lake $(LAKE) --out bench-out/serving-lake
	@$(BIN)/tastefeed bench soak --minutes $(SOAK) --out bench-out/soak
	@$(BIN)/tastefeed bench report $(SIZES:%=bench-out/serving-%) $$(ls -d bench-out/serving-lake 2>/dev/null) bench-out/soak --out docs

bench-full: $(READY)  ## run all benchmarks on public data (hours); writes docs/benchmarks.md and docs/benchmarks-ranking.md
	@test -d $(DATA) || echo "skipped: $(DATA) does not exist; set DATA to the folder of public data sets"
	@for set in gowalla ml-1m citeulike-t amazon-beauty; do test ! -d $(DATA)/$$set || \
	  $(BIN)/tastefeed bench retrieval --data $(DATA) --dataset $$set --trials $(TRIALS) --out bench-out/$$set || exit 1; done
	@for one in $(VARIANTS); do set=$${one%%:*}; settings=$${one#*:}; test ! -d $(DATA)/$$set || \
	  $(ALONE) --dataset $$set --set two_tower.$$(echo $$settings | sed 's/+/ --set two_tower./g') \
	  --out bench-out/$$set-$$(echo $$settings | sed -E 's/(encoder|minutes)=//g; s/[=+]/-/g') || exit 1; done
	@for set in gowalla ml-1m; do test ! -d $(DATA)/$$set || TASTEFEED_SEED=8 $(ALONE) --dataset $$set --out bench-out/$$set-seed-8 || exit 1; done
	@for set in ml-100k ml-1m; do test ! -d $(DATA)/$$set || \
	  $(BIN)/tastefeed bench ranking --data $(DATA) --dataset $$set --trials $(TRIALS) --out bench-out/ranking-$$set || exit 1; done
	@test ! -d $(DATA) || $(BIN)/tastefeed bench report $$(ls -d bench-out/gowalla* bench-out/ml-1m* bench-out/citeulike-t* bench-out/amazon-beauty* bench-out/ranking-* 2>/dev/null) --out docs

test: $(READY)  ## run the whole test suite
	@# databases and releases sync at every commit: temporary files in memory make the suite faster, if there is enough;
	@# without compiled modules each of hundreds of processes would compile ours again
	@free=$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 {print $$4}'); \
	if [ -z "$$TMPDIR" ] && [ "$${free:-0}" -gt 8000000 ]; then \
	  TMPDIR=$$(mktemp -d /dev/shm/tastefeed.XXXXXX); export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT; fi; \
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(PYTEST)

coverage: PYTEST = --cov --cov-report=term:skip-covered --cov-fail-under=95
coverage: test  ## run the whole test suite, and require that it covers 95 % of the lines (a third slower)

contract: $(READY)  ## send 5,000 requests that are generated from the OpenAPI document: no 5xx, no undocumented answer
	@CONTRACT_EXAMPLES=5000 $(BIN)/python -m pytest tests/serving/http/test_contract.py --no-cov -q -s --timeout 3600

audit: $(READY)  ## compare the locked packages with known vulnerabilities; needs the internet
	@rm -rf .venv-audit && $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit
	@.venv-audit/bin/pip-audit --no-deps --disable-pip --requirement requirements.lock; status=$$?; rm -rf .venv-audit; exit $$status

chaos: $(READY)  ## kill a night thirty times and check that it recovers
	@CHAOS_KILLS=30 $(BIN)/python -m pytest tests/pipeline/test_chaos.py tests/pipeline/test_stopped_night.py tests/cli/test_stopped_commands.py --timeout 3600 -s

walkthrough: $(READY)  ## run the backfill of docs/airflow.md with real servers (a quarter of an hour)
	@WALKTHROUGH=1 $(BIN)/python -m pytest tests/pipeline/test_airflow_walkthrough.py --no-cov -s

fuzz: $(READY)  ## send thousands of mutated files and requests: no traceback, no 5xx, no row lost or counted twice
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz --numprocesses 2 --dist loadfile --timeout 3600 --hypothesis-show-statistics

check: $(READY)  ## run the linter, type checker, import rules, spelling and vocabulary
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/codespell && ! $(PHRASES) -f docs/vocabulary/phrases.txt .

airflow: $(READY)  ## start Airflow for the lake on 127.0.0.1:8080, or on PORT=…
	@$(BIN)/tastefeed airflow --lake $(LAKE) --port $(PORT)

mlflow: $(READY)  ## start MLflow's web page for the runs of the lake
	@MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --backend-store-uri sqlite:///$(abspath $(LAKE))/mlflow.db --artifacts-destination $(abspath $(LAKE))/mlartifacts

notebooks: $(READY)  ## execute the notebooks on the lake and store their outputs
	@TASTEFEED_LAKE=$(abspath $(LAKE)) $(BIN)/python -m tests.notebooks.notebooks && $(BIN)/ruff format --quiet notebooks

lock: ## resolve pyproject.toml again into requirements.lock
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet '.[dev]'
	@.venv-lock/bin/pip freeze --all --exclude tastefeed --exclude pip | sed -E 's/\+cpu$$//' > requirements.lock
	@rm -rf .venv-lock

clean:  ## remove the environment; the lake stays
	@rm -rf $(VENV)

clean-lake:  ## remove the lake with its releases, runs and opt-outs, after a question
	@test -e "$(LAKE)" || { echo "$(LAKE): no such lake"; exit 1; }
	@printf 'remove %s with its releases, runs and opt-outs for ever? Type yes: ' "$(LAKE)"; read -r answer; \
	if [ "$$answer" = yes ]; then rm -rf "$(LAKE)" && echo "removed"; else echo "kept"; fi
