# PgDrover's tasks. `make` alone lists them.

GO      ?= go
BIN     := bin/pgdrover
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

# The SQL parser is C. On Linux the program is linked statically and runs on any distribution.
TAGS :=
ifeq ($(shell uname -s),Linux)
TAGS    := -tags netgo,osusergo
LDFLAGS += -linkmode external -extldflags "-static"
endif

PACKAGES  ?= ./...
FUZZTIME  ?= 10s
BENCH     ?=
DEMOFLAGS ?=
DRIVERS   ?=
FLAGS     ?=
SUITES    ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: ## run two shards with a replica each, Redis and the proxy, to play with (DEMOFLAGS="--shards 3")
	@scripts/demo $(DEMOFLAGS)

.PHONY: build
build: ## build bin/pgdrover, statically linked on Linux
	@scripts/install build
	CGO_ENABLED=1 $(GO) build -trimpath $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/pgdrover

.PHONY: test
test: ## install what tests need, then vet and run all of them with the race detector
	@scripts/install test
	$(GO) vet -pgo=off ./...
	$(GO) run ./internal/testlog -pgo=off -race -timeout 10m $(PACKAGES)

.PHONY: race
race: ## look for rare races and flakes: every test several times (COUNT=5)
	@scripts/install test
	$(GO) run ./internal/testlog -pgo=off -race -count $(or $(COUNT),5) -timeout 60m $(PACKAGES)

.PHONY: test-drivers
test-drivers: ## run the checks of every driver through the program and straight to PostgreSQL (DRIVERS="jdbc psycopg2")
	@scripts/install drivers
	@$(MAKE) --no-print-directory build
	@scripts/drivers $(DRIVERS)

.PHONY: test-suites
test-suites: ## run suites that others wrote straight to PostgreSQL, through the program and through PgBouncer (SUITES="regress pgx")
	@scripts/install suites
	@$(MAKE) --no-print-directory build
	@scripts/suites $(SUITES)

.PHONY: fuzz
fuzz: ## run every fuzz target for a short while (FUZZTIME=10s)
	@scripts/install build
	@scripts/fuzz $(FUZZTIME) $(PACKAGES)

.PHONY: bench
bench: ## measure beside other proxies and write docs/benchmarks.md (BENCH="select connect": these alone, into bin/bench)
	@scripts/install bench
	@$(MAKE) --no-print-directory build
	$(GO) run ./bench -out $(if $(BENCH),bin/bench,docs) $(BENCH)

.PHONY: bench-quick
bench-quick: ## the same in five minutes, into bin/bench
	@scripts/install bench
	@$(MAKE) --no-print-directory build
	$(GO) run ./bench -quick -out bin/bench $(BENCH)

.PHONY: bench-floor
bench-floor: ## point selects and large results beside bare relays in Go and in C, which know nothing of PostgreSQL, into bin/bench
	@scripts/install bench
	@$(MAKE) --no-print-directory build
	$(GO) build -trimpath -o bin/floor-go ./bench/floor
	$(or $(CC),cc) -O2 -Wall -o bin/floor-c bench/floor/c/relay.c || echo 'no C compiler: the relay in C is left out'
	$(GO) run ./bench -targets pgdrover,pgbouncer,floor-go,floor-c -out bin/bench $(or $(BENCH),select large)

.PHONY: pgo
pgo: ## profile a mix of loads into cmd/pgdrover/default.pgo, which the compiler reads
	@scripts/pgo

.PHONY: bench-go
bench-go: ## run the Go benchmarks with their allocations (BENCH=regexp)
	@scripts/install test
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem $(PACKAGES)

.PHONY: bench-compare
bench-compare: ## compare the steps of a query with the last release, or the commit before (BASE=commit); it never fails
	@scripts/bench-compare $(BASE)

.PHONY: instructions
instructions: ## count the instructions of a point select, and of a connection for one, by package and function (FLAGS="-top 10 simple")
	@scripts/install test
	$(GO) run ./bench/instructions $(FLAGS)

.PHONY: lint
lint: ## gofmt, go vet, the style tests, and staticcheck and shellcheck where installed
	@scripts/lint

.PHONY: check
check: lint build test ## all that must pass before a change is merged

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
