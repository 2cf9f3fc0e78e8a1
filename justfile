# The tasks of a developer. `just` alone lists them.

# The architecture of a deployment: `just architecture=x86_64 deploy`.
architecture := "arm64"

default:
    @just --list

# Build what `run-local` runs.
build-local:
    cargo build --locked -p local-shim

# Run the whole system: the API on port 8080, the event processor on 8081, the emulated AWS on 8082.
run-local *ARGUMENTS:
    cargo run --locked -p local-shim -- {{ ARGUMENTS }}

# Build the command line, release build, into target/release/runvoy. With the target installed, a static one for Linux:
# `just build-cli x86_64-unknown-linux-musl`.
build-cli TARGET="":
    cargo build --locked --release -p runvoy {{ if TARGET == "" { "" } else { "--target " + TARGET } }}

# Make an archive of the command line in target/: the program, its manual pages, and completions for shells.
dist-cli TARGET="":
    .ci/dist-cli {{ TARGET }}

# Run all tests.
test:
    cargo test --locked --workspace

# Check format, lints, documentation, template and scripts.
lint: lint-rust lint-template

# Check format, lints and documentation of the Rust code.
lint-rust:
    cargo fmt --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# Check the template with cfn-lint.
lint-template:
    cfn-lint template.yaml

# Check licences, advisories and duplicates of the dependencies. Without a network, advisories are left out.
deny:
    .ci/run deny

# Send the example events and requests to both servers of a running system.
test-examples:
    ./examples/test.sh

# Make a tour of the local system, or of a deployed stack: `just smoke`, `just smoke runvoy`. The first thing to run in an account.
smoke STACK="":
    python3 examples/smoke.py {{ if STACK == "" { "" } else { "--stack " + quote(STACK) } }}

# Run both functions under cargo-lambda, on the emulated AWS of `just run-local`. Each change is built. Listens on loopback only.
watch *ARGUMENTS:
    cargo lambda watch --invoke-address ::1 {{ ARGUMENTS }}

# Measure the system, optimized build: start, runs, requests, lines, memory.
bench *ARGUMENTS:
    cargo bench --locked --profile local -p local-shim --bench system -- {{ ARGUMENTS }}

# Measure live logs under load beside the goals, optimized build: many viewers, many watched runs, a long log. Another build of the local
# system: `just bench-load --program PATH`; some of it: `just bench-load --only viewers`.
bench-load *ARGUMENTS:
    ulimit -n 8192 && cargo bench --locked --profile local -p local-shim --bench load -- {{ ARGUMENTS }}

# Measure the console with a log of a million lines, in Chromium, optimized build.
bench-console:
    .ci/console bench

# Measure how the functions' own programs start, and what each memory size of Lambda gives, release build. The sizes need the right to
# make control groups.
bench-lambda *ARGUMENTS:
    cargo build --locked --release -p orchestrator -p event-processor
    cargo bench --locked --profile local -p local-shim --bench lambda -- {{ ARGUMENTS }}

# Simulate deliveries, faults and viewers for many seeds, optimized build: `just simulate 0..10000`, or one seed: `just simulate 17`.
simulate SEEDS="0..10000":
    SEEDS={{ quote(trim_start_match(SEEDS, "SEEDS=")) }} cargo test --locked --profile local -p local-shim --test simulation for_all_seeds -- --nocapture

# Measure what a busy account costs on virtual time, optimized build: 1,000 runs that print 10 million lines, each tenth with a viewer.
bench-scale SCALE="1000,10000,10":
    SCALE={{ quote(SCALE) }} cargo test --locked --profile local -p local-shim --test simulation a_thousand_runs -- --nocapture

# Test the console: types, modules, and its pages in Chromium. With arguments, only the pages: `just test-console -k secrets`.
test-console *ARGUMENTS:
    .ci/console {{ if ARGUMENTS == "" { "" } else { "test " + ARGUMENTS } }}

# Run the tests that need a Docker engine, with an engine of their own.
test-docker:
    .ci/with-docker cargo test --locked -p local-shim --test system docker -- --ignored

# Build both functions and deploy them with all that they need. Asks before it changes anything.
deploy *ARGUMENTS:
    sam build --parameter-overrides Architecture={{ architecture }}
    sam deploy --parameter-overrides Architecture={{ architecture }} {{ ARGUMENTS }}

# Create an admin of a deployed stack, and print the link by which the key is claimed, once and within 15 minutes.
create-admin EMAIL STACK="runvoy":
    @STACK={{ quote(STACK) }} deploy/stack.sh create-admin {{ quote(EMAIL) }}

# Send the events of a deployed stack again that failed for good.
retry-failed STACK="runvoy":
    STACK={{ quote(STACK) }} deploy/stack.sh retry-failed

# Stop the running tasks of a deployed stack, and delete it. Asks first, and says what stays.
undeploy STACK="runvoy":
    STACK={{ quote(STACK) }} deploy/stack.sh remove

# Put what `deploy/stack.sh install` deploys into target/deploy: the functions' programs, built by `sam build`, and the template.
package-stack:
    .ci/package-stack

# Write the API's description from the handlers, and from it the console's types and limits.
openapi:
    cargo run --locked -q --example openapi > target/openapi.json
    mv target/openapi.json docs/openapi.json
    .ci/console-types

# Prepare a release: set the version, date the changelog, and print the commands that publish it. See docs/RELEASING.md.
release VERSION:
    .ci/release {{ quote(VERSION) }}
