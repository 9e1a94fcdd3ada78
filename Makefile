# The commands of Pointsman. `make demo` and `make test` are all that a newcomer needs. Both do their own set-up: `demo` wants
# Rust with rustup and a C compiler, `test` Python 3, redis-server, docker-registry, promtool and chromium besides; what else the tests run is
# fetched into target/, see tests/tools.

CARGO ?= cargo
WASM := wasm32-wasip2
# Where the tests put what they fetch, as cargo has it.
TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools
# The test programs of tests/ that need cargo alone, and those that run what other registries have.
ALONE := --test harness --test e2e --test process --test chaos
FETCHED := --test sdk --test authors --test browser --test packages
# What is built for the sandbox.
GUESTS := -p pointsman-guest -p pointsman-approach -p affinity -p canary -p cheapest -p failover -p least_busy -p least_latency -p round_robin -p rules -p weighted \
	-p asker -p clerk -p grabby -p misbehave -p needy -p stranger \
	-p bon -p cepo -p cot_reflection -p deepthink -p genselect -p leap -p majority_voting -p mcts -p memory -p moa -p plansearch -p pvg -p re2 -p rstar -p rto -p self_consistency
# The worked examples of strategies/examples, which stand outside of the workspace.
EXAMPLES := budgets night_shift office_hours tenants tokens_per_minute

.PHONY: help setup wasm tools demo run dist release image components components-check test test-build guard guard-build guard-record lint audit bench bench-quick bench-parts fuzz soak

help:
	@echo "make demo   start the proxy with embedded providers: no account, no network"
	@echo "make run    start the proxy with your proxy_config.yaml (or CONFIG=FILE)"
	@echo "make test   run every test; fetches what it needs into target/ (needs python3, redis-server, docker-registry, promtool, chromium, buildah, bubblewrap, PyPI and npm)"
	@echo "make dist   packages in target/dist: wheel, npm, archive, chart, checksums, a bill of materials (docs/install.md)"
	@echo "make release  the same of a program that is laid out by a profile of itself: two builds and a minute of load (needs llvm-tools, taskset)"
	@echo "make image  the container image, from what make dist has built (needs docker, podman or buildah)"
	@echo "make components  build host/components anew, after a change of wit/, an SDK, strategies/ or approaches/"
	@echo "make guard  instructions of fixed scenarios against tests/guard/counts.toml (needs valgrind)"
	@echo "make guard-record  writes that file anew, after a change that is meant to cost what it costs"
	@echo "make lint   format, clippy, docs, licences, unused dependencies"
	@echo "make audit  known vulnerabilities of dependencies (needs the RustSec database)"
	@echo "make bench  the proxy beside nginx, haproxy, envoy and other gateways, twenty minutes (bench-quick: two minutes; bench-parts: Criterion)"
	@echo "make soak   faults, reloads and SOAK_CLIENTS (500) clients for SOAK_SECONDS (1200)"
	@echo "make fuzz   fuzz every parser of foreign bytes, FUZZ_SECONDS (600) each"

setup:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust with rustup, https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "cc is missing: install a C compiler (apt-get install gcc libc6-dev)"; exit 1; }

# What builds components. rust-toolchain.toml names the target, but not every rustup installs what it names. Whether it is
# there shows in the toolchain: `rustup target list` repeats what was once installed.
HAS_WASM = test -d "$$(rustc --print target-libdir --target $(WASM))"
wasm: setup
	@$(HAS_WASM) || command -v rustup >/dev/null || { echo "rustup is missing: https://rustup.rs"; exit 1; }
	@$(HAS_WASM) || rustup target add $(WASM)
	@$(HAS_WASM) || { echo "rustup did not install it: rustup target remove $(WASM), then add it again"; exit 1; }

tools: wasm
	tests/tools get $(TOOLS)

# Compiled as quickly as it can be, rather than to run as fast as it can.
demo: setup
	$(CARGO) run --profile demo --locked -p pointsman -- demo

run: setup
	$(CARGO) run --release --locked -p pointsman -- serve $(if $(CONFIG),--config $(CONFIG))

# The packages. On Linux the program is a static one, which is built for musl.
DIST_TARGET ?= $(if $(filter Linux,$(shell uname -s)),$(shell uname -m)-unknown-linux-musl,$(shell rustc -vV | sed -n 's/^host: //p'))
DIST := $(or $(CARGO_TARGET_DIR),target)/dist
# Another profile of Cargo's than what is given out, to try the steps in less time: guard, or demo.
RELEASE_PROFILE ?= release
export RELEASE_PROFILE
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(DIST_TARGET)/$(RELEASE_PROFILE)/pointsman

dist: BUILDER := packaging/build
release: BUILDER := packaging/profiled
dist release: setup
	tests/tools get $(TOOLS) maturin
	$(BUILDER) $(DIST_TARGET)
	packaging/precompile $(BUILT)
	for what in archive wheel npm npm-launcher chart sbom; do \
		PATH="$(TOOLS)/bin:$$PATH" packaging/pack $$what --binary $(BUILT) --target $(DIST_TARGET) --out $(DIST) || exit 1; done
	packaging/pack sums --out $(DIST)

CONTAINERS = $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))
IMAGE ?= pointsman
# podman and buildah make images of OCI's form by themselves, which have no health check.
image:
	@test -x $(BUILT) || { echo "there is no $(BUILT): make dist first"; exit 1; }
	@test -n "$(CONTAINERS)" || { echo "docker, podman and buildah are missing; one of them makes images"; exit 1; }
	rm -rf $(DIST)-image && mkdir -p $(DIST)-image/nothing
	packaging/pack root --binary $(BUILT) --out $(DIST)-image/root-of-image
	$(CONTAINERS) build $(if $(filter docker,$(CONTAINERS)),,--format docker) --file packaging/container/Containerfile --build-context root=$(DIST)-image --tag $(IMAGE) $(DIST)-image/nothing

# The components in the binary are committed, so that nobody needs the target for the sandbox, or minutes, to build it. The
# build script of the host makes them, and is run here by itself.
MADE := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/components
define make_components
	mkdir -p $(MADE)/build/tool/out
	rustc --edition 2024 --crate-name components -o $(MADE)/tool host/build.rs
	CARGO=$(CARGO) CARGO_MANIFEST_DIR=$(CURDIR)/host OUT_DIR=$(MADE)/build/tool/out POINTSMAN_RENEW_COMPONENTS=$(1) $(MADE)/tool >$(MADE)/log || { cat $(MADE)/log; exit 1; }
endef

components: wasm
	$(call make_components,$(CURDIR)/host/components)

components-check: wasm
	$(call make_components,$(MADE)/fresh)
	@diff -rq host/components $(MADE)/fresh || { echo "host/components are not what their sources give: make components, and commit them"; exit 1; }

# First what needs cargo alone. One selection of packages throughout, or features would differ and much be built again.
TESTED := --workspace --exclude pointsman-fuzz --locked
test-build: wasm
	$(CARGO) test $(TESTED) --lib --bins $(ALONE) --no-run

test: wasm
	@tests/tools plan $(TOOLS)
	$(CARGO) test $(TESTED) --lib --bins $(ALONE)
	$(CARGO) test $(TESTED) --doc
	for example in $(EXAMPLES); do \
		$(CARGO) test --locked --manifest-path strategies/examples/$$example/Cargo.toml --target-dir target/examples || exit 1; done
	tests/tools get $(TOOLS)
	$(CARGO) test $(TESTED) $(FETCHED)

# What is on record are the instructions of one platform; elsewhere there is nothing to compare with.
guard-build: setup
ifeq ($(shell uname -sm),Linux x86_64)
	$(CARGO) build --profile guard --locked -p pointsman
	$(CARGO) build --profile guard --locked -p guard
endif

guard guard-record: guard-build
ifeq ($(shell uname -sm),Linux x86_64)
	@command -v valgrind >/dev/null || { echo "valgrind is missing: install the package valgrind (apt-get install valgrind)"; exit 1; }
	$(CARGO) run --profile guard --locked -p guard -- $(if $(filter guard,$@),check,record)
else
	@echo "guard: nothing is counted here, since the counts on record are those of Linux on x86-64"
endif

lint: wasm components-check
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	@command -v cargo-machete >/dev/null || { echo "cargo-machete is missing: cargo install --locked cargo-machete"; exit 1; }
	$(CARGO) fmt --all --check
	for example in $(EXAMPLES); do $(CARGO) fmt --check --manifest-path strategies/examples/$$example/Cargo.toml || exit 1; done
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --locked --target $(WASM) $(GUESTS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked
	$(CARGO) deny --workspace check --hide-inclusion-graph bans licenses sources
	$(CARGO) machete

audit:
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	$(CARGO) deny --workspace check advisories

# One package after the other: together they would share features, and the proxy not be what is shipped.
BENCH_FLAGS ?=

bench bench-quick: setup
	$(CARGO) build --release --locked -p pointsman
	packaging/precompile target/release/pointsman
	$(CARGO) build --release --locked -p pointsman-bench
	target/release/pointsman-bench run $(if $(filter bench-quick,$@),--quick) $(BENCH_FLAGS)

bench-parts: setup
	$(CARGO) bench --locked -p pointsman

# The tests with their own settings, the proxy as it is shipped.
soak: wasm
	$(CARGO) build --release --locked -p pointsman
	POINTSMAN_BINARY=$(CURDIR)/target/release/pointsman \
		$(CARGO) test $(TESTED) --test chaos -- --ignored --nocapture --test-threads 1

# The pinned compiler, because the strategies need its target for the sandbox: RUSTC_BOOTSTRAP lets it instrument. No
# sanitizer but coverage: what is ours has no unsafe code, and the runs are three times as many. Committed seeds are
# copied, what is found beyond them stays in fuzz/found, what crashes in fuzz/artifacts.
FUZZ_TARGETS ?= request_body sse config component traceparent websocket http1
FUZZ_SECONDS ?= 600
FUZZ := RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_STRIP=none cargo fuzz

fuzz: setup
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: cargo install --locked cargo-fuzz"; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/found/$$target && cp fuzz/corpus/$$target/* fuzz/found/$$target/ || exit 1; \
		case $$target in config) for file in tests/config/*.yaml tests/config/valid/*.yaml; do \
			cp $$file fuzz/found/config/$$(echo $$file | tr / -) || exit 1; done;; esac; \
		dictionary=fuzz/dictionaries/$$target.dict; \
		$(FUZZ) run -s none $$target fuzz/found/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
			-print_final_stats=1 $$(test ! -f $$dictionary || echo -dict=$$dictionary) || exit 1; \
	done
