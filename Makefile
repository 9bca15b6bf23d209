# Build, test and check kith. `make` prints what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO   ?= go
# The packages to work on.
PKGS ?= ./...
# What `make lint` and `make bench-compare` compare with; empty compares with nothing.
BASE ?= main
# Pattern of benchmarks, and how often each runs.
BENCH ?= .
COUNT ?= 1
# How long each fuzz target runs.
FUZZTIME ?= 30s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Tools are pinned by tools/go.mod, apart from our own dependencies. The first use builds one, the next ones find it built.
TOOL := $(GO) tool -modfile=tools/go.mod
# The same, from the folder of the protocol.
BUF := cd proto && $(GO) tool -modfile=../tools/go.mod buf

.PHONY: help
help: ## Print this help.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/kith.
	$(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/kith ./cmd/kith

.PHONY: demo
demo: build ## Build, then show everything on generated shop data.
	bin/kith demo

.PHONY: test
test: test-plain test-race test-clients ## Run all tests, then all but the long ones with the race detector, then those of the clients.

# `make vet` looks at all packages with all analyzers, so that the tests need not look at some again, with and without the race detector.
# Those that take longest begin first: else one of them has the processors for itself at the end, of which it uses half.
.PHONY: test-plain
test-plain:
	$(GO) test -vet=off -shuffle=on -timeout=10m $(if $(filter ./...,$(PKGS)),./server ./cmd/kith ./scripts/drill) $(PKGS)
	$(GO) test -vet=off -tags=portable -shuffle=on ./similarity ./model/factors

.PHONY: test-race
test-race:
	$(call RACE,-short -timeout=15m)

.PHONY: test-clients
test-clients: ## Run the tests of the clients in Python and TypeScript, as far as their packages can be had.
	GO='$(GO)' clients/run test

.PHONY: drill
drill: ## Break a cluster of real processes for five minutes, and check what it promised.
	$(GO) run ./scripts/drill

.PHONY: race
race: ## Run all tests with the race detector, the long ones too.
	$(call RACE,-timeout=30m)

# $(call RACE,FLAGS) runs tests with the race detector: first those of packages without servers, several at a time, then those with servers, one package at a time,
# or they miss their elections while the tests of others have the processors. That holds for compilers too, so that all is compiled before, the tests as well, with
# all processors. The detector does not see into assembly, so the loops in Go run with it too. It makes everything some five times slower. At the end of
# each package it waits for what goroutines that are left may do: a tenth of a second, not a whole one. After a failure the rest runs all the same.
define RACE
	@failed=0; \
	race() { echo "== with the race detector, $$1"; shift; GORACE=atexit_sleep_ms=100 $(GO) test -vet=off -race $(1) "$$@" || failed=1; }; \
	servers=$$($(SERVERS)); \
	others=$$($(GO) list $(PKGS) | grep -vxF "$$servers" || true); \
	$(GO) list -race -test -export $(PKGS) > /dev/null || failed=1; \
	[ -z "$$others" ] || race "no servers" -shuffle=on $$others; \
	[ -z "$$servers" ] || race "servers" -shuffle=on -p=1 $$servers; \
	race "loops in Go" -tags=portable ./similarity ./model/factors; \
	exit $$failed
endef

# Lists the packages whose tests have servers in them: what raft or gossip is linked into, which is some more than start a cluster, and the drill, whose servers are processes.
SERVERS = $(GO) list -test -f '{{$$p := .ForTest}}{{if eq $$p "github.com/kith-io/kith/scripts/drill"}}{{println $$p}}{{end}}{{range .Deps}}{{if eq . "github.com/hashicorp/raft" "github.com/hashicorp/memberlist"}}{{println $$p}}{{end}}{{end}}' $(PKGS) | sed '/^$$/d' | sort -u

.PHONY: cover
cover: ## Write bin/cover.html: which statements the tests run.
	@mkdir -p bin
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out $(PKGS)
	sed -i '/\.pb\.go:/d' bin/cover.out
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	$(GO) tool cover -func=bin/cover.out | tail -n 1

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (30s).
	@grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file target; do \
		target=$${target#func }; dir=$$(dirname "$$file"); \
		echo "== $$target in $$dir for $(FUZZTIME)"; \
		$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) "$$dir"; \
	done

.PHONY: bench
bench: ## Run the benchmarks that match BENCH in PKGS, COUNT times.
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) -timeout=60m $(PKGS)

.PHONY: bench-compare
bench-compare: ## Run the benchmarks here and at BASE (main), 10 times each, and compare.
	@base=$$(mktemp -d); trap 'git worktree remove --force "$$base/tree"; rm -rf "$$base"' EXIT; \
	git worktree add --quiet --detach "$$base/tree" '$(BASE)'; \
	mkdir -p bin; \
	echo "== $(BASE)"; (cd "$$base/tree" && $(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -count=10 -timeout=60m $(PKGS)) > bin/bench-base.txt; \
	echo "== here"; $(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -count=10 -timeout=60m $(PKGS) > bin/bench-here.txt; \
	$(TOOL) benchstat '$(BASE)=bin/bench-base.txt' here=bin/bench-here.txt

.PHONY: lint
lint: check-format vet check-lint check-proto check-generate check-modules ## Run all checks but the tests.

.PHONY: check-format
check-format:
	$(TOOL) golangci-lint fmt --diff

.PHONY: vet
vet:
	$(GO) vet $(PKGS)

.PHONY: check-lint
check-lint:
	$(TOOL) golangci-lint run $(PKGS)

# A server must understand the logs and the callers of earlier ones, so a field is never changed, only added or reserved.
.PHONY: check-proto
check-proto:
	$(BUF) lint
	@if [ -n '$(BASE)' ] && git rev-parse --quiet --verify '$(BASE)^{commit}' > /dev/null; then \
		echo "buf breaking against $(BASE)"; $(BUF) breaking --against '../.git#ref=$(BASE),subdir=proto'; \
	else \
		echo "no commit $(BASE) to compare the protocol with"; \
	fi

.PHONY: check-generate
check-generate: ## Check that the generated code is what make generate makes.
	@made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	mkdir "$$made/proto"; \
	(cd proto && $(GO) tool -modfile=../tools/go.mod buf generate -o "$$made/proto"); \
	diff -r --exclude='*.proto' "$$made/proto/kith" proto/kith && diff "$$made/api/reference/openapi.json" api/reference/openapi.json || \
		{ echo 'generated code differs: run make generate' >&2; exit 1; }

.PHONY: check-modules
check-modules:
	$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: vuln
vuln: ## Look up known holes in what we depend on, and in Go. Needs a proxy of Go modules.
	cd / && db=$$($(GO) mod download -json golang.org/x/vulndb@latest | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
		cd $(CURDIR) && GOTOOLCHAIN=$$($(GO) mod edit -json | sed -n 's/^\t"Toolchain": "\(.*\)",$$/\1/p') $(TOOL) govulncheck -db "file://$$db/data/osv" $(PKGS)

.PHONY: fmt
fmt: ## Format the Go files.
	$(TOOL) golangci-lint fmt

.PHONY: proto
proto: ## Check the .proto files and generate code from them.
	$(BUF) format -w
	$(BUF) lint
	$(MAKE) generate

.PHONY: generate
generate: ## Make the generated code.
	rm -f proto/kith/v1/*.pb.go
	$(BUF) generate

.PHONY: generate-clients
generate-clients: ## Make the generated code of the clients in Python and TypeScript.
	clients/run generate

.PHONY: tidy
tidy: ## Bring go.mod and go.sum up to date.
	$(GO) mod tidy

.PHONY: clean
clean: ## Remove what was built and measured.
	rm -rf bin dist

.PHONY: ci
ci: ## Do what CI does.
	.ci/run
