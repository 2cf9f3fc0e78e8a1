#!/usr/bin/env bash
# Invokes the functions with the example events through the tools that Lambda developers use, on the emulated AWS of a
# local-shim that this script starts, and checks what they answer. Fails when anything is wrong.
#
# Usage: examples/invoke.sh cargo-lambda    (needs cargo-lambda)
#        examples/invoke.sh sam             (needs the SAM CLI and Docker, and `sam build` for this machine's architecture)
set -euo pipefail

cd "$(dirname "$0")/.."
tool=${1:-}
api_port=18090 events_port=18091 aws_port=14567 watch_port=19000
directory=$(mktemp -d)
started=()
finish() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$directory"
}
trap finish EXIT

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    [ ! -s "$directory/log" ] || tail -20 "$directory/log" >&2
    exit 1
}

# expect NAME PATTERN COMMAND…: its output matches.
expect() {
    local name=$1 pattern=$2 answer
    shift 2
    answer=$("$@" 2>"$directory/log") || fail "$name: no answer: $answer"
    [[ $answer =~ $pattern ]] || fail "$name: the answer does not match $pattern: $answer"
    printf 'ok  %s\n' "$name"
}

# Each example as it stands, and what its function answers: the ids are nobody's.
each_example() {
    expect "a task's end" '^null$' "$@" examples/ecs-task-completion.json
    expect "lines" '^null$' "$@" examples/cloudwatch-logs-batch.json
    expect "the hourly reconcile" '^null$' "$@" examples/scheduled-reconcile.json
    expect "a viewer with an unknown token" '"statusCode": ?401' "$@" examples/websocket-event.json
    expect "an admin" '"claim_path": ?"/api/v1/claim/' "$@" examples/create-admin.json
}

shim() {
    cargo build -q -p local-shim
    RUNVOY_DEV_SERVER_PORT=$api_port RUNVOY_EVENT_PROCESSOR_PORT=$events_port \
        cargo run -q -p local-shim -- --runner process --aws-port "$aws_port" --data-dir "$directory/data" \
        >"$directory/out" 2>"$directory/shim.log" &
    started+=($!)
    local _
    for _ in $(seq 100); do
        grep -q ready "$directory/out" && return
        sleep 0.1
    done
    cp "$directory/shim.log" "$directory/log"; fail "local-shim did not start"
}

cargo_lambda() {
    cargo lambda watch --ignore-changes --invoke-address 127.0.0.1 --invoke-port "$watch_port" \
        --env-file "$directory/data/functions.env" >"$directory/watch" 2>&1 &
    started+=($!)
    local url=http://127.0.0.1:$watch_port/lambda-url/orchestrator/api/v1 _
    for _ in $(seq 300); do
        # The first request builds the function.
        curl --silent --fail --max-time 300 "$url/health" >/dev/null && break
        sleep 1
    done
    API_KEY=$(cat "$directory/data/admin-key") API_URL=$url EVENTS_URL=http://localhost:$events_port \
        examples/test.sh
    each_example cargo lambda invoke --invoke-address 127.0.0.1 --invoke-port "$watch_port" event-processor --data-file
}

# forward ADDRESS PORT…: hands on what comes there to the same ports of the loopback address.
forward() {
    python3 - "$@" <<'PYTHON' &
import asyncio, sys

async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

def to(port):
    async def connected(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)
    return connected

async def main(address, *ports):
    servers = [await asyncio.start_server(to(int(port)), address, int(port)) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))

asyncio.run(main(*sys.argv[1:]))
PYTHON
    started+=($!)
}

sam_local() {
    # The functions' variables, as a container reaches this machine; SAM takes only those that the template names.
    python3 - "$directory/data/functions.env" "$directory/variables.json" <<'PYTHON'
import json, sys
lines = [line.rstrip("\n").replace("://localhost:", "://host.docker.internal:") for line in open(sys.argv[1])]
json.dump({"Parameters": dict(line.split("=", 1) for line in lines)}, open(sys.argv[2], "w"))
PYTHON
    # Docker Desktop takes containers to the loopback address by itself. Elsewhere they get as far as their bridge, an address
    # of this machine.
    local bridge
    bridge=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
    forward "$bridge" "$aws_port" "$api_port" 2>"$directory/forward.log"
    sed "s|^\( *\)RUNVOY_LOG_LEVEL:|\1AWS_ENDPOINT_URL: ''\n&|" .aws-sam/build/template.yaml >.aws-sam/build/local.yaml
    export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0
    local architecture=arm64
    [ "$(uname -m)" != x86_64 ] || architecture=x86_64
    sam_invoke() {
        sam local invoke --parameter-overrides "Architecture=$architecture" --template .aws-sam/build/local.yaml --env-vars "$directory/variables.json" --skip-pull-image \
            --add-host host.docker.internal:host-gateway EventProcessorFunction --event "$1"
    }
    each_example sam_invoke
}

case $tool in
cargo-lambda) shim && cargo_lambda ;;
sam) shim && sam_local ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
