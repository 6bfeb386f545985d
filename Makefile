# make help tells what there is. Everything is safe to repeat.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Go is found also where it was only unpacked.
export PATH := $(PATH):/usr/local/go/bin

# Whether git can tell the commit: in a tarball, or in a checkout of another user,
# it cannot.
VCS = $(shell git status --porcelain >/dev/null 2>&1 && echo true || echo false)

# How long each fuzz target runs in make test.
FUZZTIME ?= 10s
# How long make test may take for the Go tests of one package.
TIMEOUT  ?= 10m

# Whenever the process wakes, the monitor thread of Go's scheduler wakes too and
# polls every 20 us for a while: a tenth of what a small room costs. With a
# schedtrace period it sleeps up to 10 ms instead. Nothing here needs it sooner,
# as no goroutine is in C for long: the video encoder has a thread of its own.
# It does so also in an idle process, for half a percent of a core, and writes a
# line "SCHED ..." on standard error every 24 days. A plain go build works as
# well and uses that tenth more.
LDFLAGS ?= -X runtime.godebugDefault=schedtrace=2147483647

GO_FILES = $(shell find . -name '*.go' -not -path './.cache/*' -not -path '*/node_modules/*')

.PHONY: help
help: ## What there is to make
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.PHONY: build
build: packages ## Build bin/tutti
	go build -buildvcs=$(VCS) -ldflags '$(LDFLAGS)' -o bin/tutti ./cmd/tutti

.PHONY: run
run: build ## Start a server with four synthetic people in a room; HTTP=:8080 UDP=:7882 PEOPLE=4 change it
	@exec .ci/demo

.PHONY: cluster
cluster: build ## Start a router and three nodes with people in three rooms; HTTP=8080 UDP=7882 STORE=2379 NODES=3 ROOMS=3 PEOPLE=2
	@exec .ci/cluster

.PHONY: test
test: test-packages vet unit js e2e fuzz ## Run all checks and tests; FUZZTIME=10s for each fuzz target
	@echo "all tests passed"

.PHONY: vet
vet: packages ## Only go vet, gofumpt and staticcheck
	go vet ./...
	@unformatted=$$(go tool gofumpt -l $(GO_FILES)); \
	if [ -n "$$unformatted" ]; then echo "not as gofumpt writes it:"; echo "$$unformatted"; exit 1; fi
	go tool staticcheck ./...

.PHONY: unit
unit: test-packages ## Only the Go tests without browsers, with the race detector
	go test -race -timeout $(TIMEOUT) $$(go list ./... | grep -v '/internal/e2e$$')

# By themselves, as browsers want all of a small machine.
.PHONY: e2e
e2e: test-packages ## Only the tests with real browsers
	go test -race -timeout $(TIMEOUT) ./cmd/internal/e2e

.PHONY: fuzz
fuzz: packages ## Only the fuzz targets
	@.ci/fuzz $(FUZZTIME)

.PHONY: js
js: test-packages ## Only the tests of the web page's modules
	@files=$$(find assets/web -name '*.test.js' -o -name '*.test.mjs' | sort); \
	if [ -n "$$files" ]; then node --test $$files; fi

.PHONY: bench
bench: bench-packages build ## Measure, and print the figures of bench/results
	go run -ldflags '$(LDFLAGS)' ./bench $(BENCH)

.PHONY: packages test-packages bench-packages
packages:
	@command -v go >/dev/null || { echo "Go is not installed: see https://go.dev/dl/"; exit 1; }
	@.ci/packages build
test-packages: packages
	@.ci/packages build test
	@.ci/wrtc
bench-packages: packages
	@.ci/packages build test bench

.PHONY: clean
clean: ## Remove what was built; recordings in data stay
	rm -rf bin .cache
