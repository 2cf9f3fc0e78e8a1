# What a developer does here. `just` alone lists it.

default:
    @just --list

# Build what `run-local` runs.
build-local:
    cargo build -p local-shim

# Run the whole system: the API on port 8080, the event processor on 8081.
run-local *ARGUMENTS:
    cargo run -p local-shim -- {{ ARGUMENTS }}

# Run all tests.
test:
    cargo test --workspace

# Check format, lints, examples and template.
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    cfn-lint template.yaml

# Walk both servers of a running system with the example events.
test-examples:
    ./examples/test.sh

# Measure the system, release build: start, runs, requests, lines, memory.
bench *ARGUMENTS:
    cargo bench -p local-shim --bench system -- {{ ARGUMENTS }}

# Write the API's description anew, from the handlers.
openapi:
    cargo run -q -p orchestrator --example openapi > docs/openapi.json
