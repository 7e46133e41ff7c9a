# Needs sh, make and Go; what is missing is fetched as Go modules only. Linting
# builds its tools from fixtures/tools, and race needs a C compiler.

GO ?= go
FUZZTIME ?= 20s

# Where git can tell, the build information states tag and commit, which is the
# version that satchel shows. -buildvcs=auto alone fails in a repository that
# belongs to someone else.
BUILDVCS := $(shell git rev-parse --verify --quiet HEAD >/dev/null 2>&1 && echo auto || echo false)
BUILD := CGO_ENABLED=0 $(GO) build -trimpath

.DEFAULT_GOAL := build
.PHONY: build test race faults lint vuln demo bench fuzz repro cross golden clean help

build: ## build bin/satchel
	$(BUILD) -buildvcs=$(BUILDVCS) -o bin/satchel ./cmd/satchel

test: ## run all tests
	$(GO) test ./...

# The packages in which something is concurrent; the others are pure, and package
# bundle but for what writes. -short leaves out what runs other programs, in which
# no race would be seen, and of the command line the journeys are enough.
CONCURRENT := ./fixtures ./oci ./oci/layers ./oci/layout ./oci/registry ./oci/release/signature ./transfer ./verify

race: ## run the tests of what is concurrent with the race detector
	CGO_ENABLED=1 $(GO) test -race -short $(CONCURRENT)
	CGO_ENABLED=1 $(GO) test -race -short -run 'TestRoundTrip|TestWrite|TestReframe|TestPartial$$|TestStandingLarge' ./bundle
	CGO_ENABLED=1 $(GO) test -race -short -run 'TestScripts/(journey|continue|partial|unpack)$$|TestInterrupt|TestUnpackSpan|TestTwoPacks' ./cmd/satchel

# make test tries a sample of this.
faults: ## let everything go wrong that can, at every place
	SATCHEL_FAULTS=all $(GO) test -count=1 -timeout 60m -v -run '^(TestFaults|TestKill)$$' ./transfer ./cmd/satchel

lint: bin/staticcheck ## check format, go vet, staticcheck
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	bin/staticcheck ./...

vuln: bin/govulncheck ## look up known vulnerabilities; needs the internet
	bin/govulncheck ./...

bin/staticcheck: fixtures/tools/go.mod fixtures/tools/go.sum
	$(GO) build -C fixtures/tools -o ../../$@ honnef.co/go/tools/cmd/staticcheck

bin/govulncheck: fixtures/tools/go.mod fixtures/tools/go.sum
	$(GO) build -C fixtures/tools -o ../../$@ golang.org/x/vuln/cmd/govulncheck

demo: ## pack, verify and unpack on this machine
	$(GO) run ./cmd/demo

bench: ## run the benchmarks; TMPDIR=/dev/shm takes the disk out of them
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./cmd/satchel

fuzz: ## run each fuzz test for FUZZTIME
	@packages=$$($(GO) list ./...) || exit 1; \
	for package in $$packages; do \
		listed=$$($(GO) test -list '^Fuzz' "$$package") || { echo "$$listed"; exit 1; }; \
		for name in $$listed; do \
			case $$name in Fuzz*) ;; *) continue ;; esac; \
			echo "$$package $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" || exit 1; \
		done; \
	done

# The second build is of a copy in another directory, with an empty build cache.
repro: ## build twice and compare the bytes
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; trap 'exit 1' HUP INT TERM; \
	mkdir "$$dir/copy"; \
	for entry in *; do [ "$$entry" = bin ] || cp -R "$$entry" "$$dir/copy/"; done; \
	$(BUILD) -buildvcs=false -o "$$dir/first" ./cmd/satchel; \
	(cd "$$dir/copy" && GOCACHE="$$dir/cache" $(BUILD) -buildvcs=false -o "$$dir/second" ./cmd/satchel); \
	cmp "$$dir/first" "$$dir/second"; \
	echo "two builds have the same bytes"

cross: ## build for windows and darwin
	GOOS=windows GOARCH=amd64 $(BUILD) -buildvcs=false -o /dev/null ./cmd/satchel
	GOOS=darwin GOARCH=arm64 $(BUILD) -buildvcs=false -o /dev/null ./cmd/satchel
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) vet ./oci ./bundle ./verify
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./oci ./bundle ./verify

golden: ## write the expected files of tests anew; look at the difference
	@find . -name '*_test.go' -exec grep -l 'flag\.Bool("update"' {} + | while read -r file; do \
		$(GO) test "$${file%/*}" -update || exit 1; \
	done

clean: ## remove what was built
	rm -rf bin

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile
