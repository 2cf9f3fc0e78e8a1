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

# Run both functions under cargo-lambda, built anew at each change, on the AWS of `just run-local --aws-port 4566`.
watch *ARGUMENTS:
    @test -f .runvoy-local/functions.env || { echo "First, in another terminal: just run-local --aws-port 4566" >&2; exit 1; }
    cargo lambda watch --env-file .runvoy-local/functions.env --invoke-address 127.0.0.1 {{ ARGUMENTS }}

# Invoke the functions with every example event, under cargo-lambda.
lambda-examples:
    ./examples/invoke.sh cargo-lambda

# Invoke the functions with every example event, built by SAM for this machine and run in Docker by `sam local invoke`.
sam-examples:
    sam build --parameter-overrides Architecture={{ if arch() == "x86_64" { "x86_64" } else { "arm64" } }}
    ./examples/invoke.sh sam

# Measure the system, release build: start, runs, requests, lines, memory.
bench *ARGUMENTS:
    cargo bench -p local-shim --bench system -- {{ ARGUMENTS }}

# Measure how the functions' own binaries start, release build.
bench-lambda:
    cargo build --release -p orchestrator -p event-processor
    cargo bench -p local-shim --bench lambda

# Simulate deliveries, faults and viewers for many seeds, release build: `just simulate 0..10000`, or one: `just simulate 17`.
simulate SEEDS="0..10000":
    SEEDS={{ quote(trim_start_match(SEEDS, "SEEDS=")) }} cargo test --release -p local-shim --test simulation for_all_seeds -- --nocapture

# Run commands in Docker in the tests, with an engine of their own.
test-docker:
    .ci/with-docker cargo test -p local-shim --test system docker -- --ignored

# Build both functions and deploy them with all they need. Asks before it changes anything.
deploy *ARGUMENTS:
    sam build
    sam deploy {{ ARGUMENTS }}

# After a deploy: make an admin, and print where the key is claimed (once, within 15 minutes).
create-admin EMAIL STACK="runvoy":
    #!/usr/bin/env bash
    set -euo pipefail
    output() {
        aws cloudformation describe-stacks --stack-name {{ quote(STACK) }} --output text \
            --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
    }
    answer=$(mktemp)
    trap 'rm -f "$answer"' EXIT
    event=$(python3 -c 'import json, sys; print(json.dumps({"source": "runvoy", "detail-type": "Create Admin", "detail": {"email": sys.argv[1]}}))' {{ quote(EMAIL) }})
    failed=$(aws lambda invoke --function-name "$(output EventProcessor)" --cli-binary-format raw-in-base64-out \
        --payload "$event" --query FunctionError --output text "$answer")
    if [ "$failed" != None ]; then
        cat "$answer" >&2
        exit 1
    fi
    url=$(output ApiUrl)
    python3 -c 'import json, sys; print(sys.argv[1].rstrip("/") + json.load(open(sys.argv[2]))["claim_path"])' "$url" "$answer"

# Write the API's description anew, from the handlers.
openapi:
    cargo run -q -p orchestrator --example openapi > target/openapi.json
    mv target/openapi.json docs/openapi.json
