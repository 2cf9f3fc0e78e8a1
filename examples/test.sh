#!/usr/bin/env bash
# Sends requests and the example events to both servers of a running local system, and compares the answers with what they should be.
# Ends with 1 at the first difference.
#
# The execution id and the token in the example events are placeholders. This script replaces them with those of executions that it
# starts.
#
# Usage: examples/test.sh
#   API_KEY    the key to call with      [default: what .runvoy-local/admin-key holds]
#   API_URL    the API                   [default: http://localhost:8080/api/v1]
#   EVENTS_URL the event processor       [default: http://localhost:8081]
set -euo pipefail

examples=$(cd "$(dirname "$0")" && pwd)
api=${API_URL:-http://localhost:${RUNVOY_DEV_SERVER_PORT:-8080}/api/v1}
events=${EVENTS_URL:-http://localhost:${RUNVOY_EVENT_PROCESSOR_PORT:-8081}}
key=${API_KEY:-$(cat "$examples/../.runvoy-local/admin-key" 2>/dev/null || cat .runvoy-local/admin-key 2>/dev/null || true)}
placeholder=0123456789abcdef0123456789abcdef
checks=0

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    exit 1
}

[ -n "$key" ] || fail "no API key: start local-shim here first, or set API_KEY"

# expect NAME STATUS PATTERN CURL-ARGUMENTS…: the answer has that status and its body matches; the body is left in $body.
expect() {
    local name=$1 status=$2 pattern=$3 answer got
    shift 3
    answer=$(curl --silent --show-error --max-time 20 --write-out '\n%{http_code}' "$@") || fail "$name: no answer"
    got=${answer##*$'\n'}
    body=${answer%$'\n'*}
    [ "$got" = "$status" ] || fail "$name: status $got instead of $status: $body"
    [[ $body =~ $pattern ]] || fail "$name: the body does not match $pattern: $body"
    checks=$((checks + 1))
    printf 'ok  %s\n' "$name"
}

field() {
    printf '%s' "$body" | sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"
}

# wait_for ID STATUS: until the execution has it.
wait_for() {
    local _
    for _ in $(seq 100); do
        body=$(curl --silent --max-time 5 -H "X-API-Key: $key" "$api/executions/$1/status")
        [[ $body == *"\"status\":\"$2\""* ]] && return
        sleep 0.1
    done
    fail "execution $1 is not $2 after 10 seconds: $body"
}

start() {
    expect "start: $1" 202 '"status":"STARTING"' -X POST "$api/run" -H "X-API-Key: $key" \
        -H 'Content-Type: application/json' -d "{\"imageUri\": \"ubuntu:22.04\", \"command\": \"$1\"}"
    id=$(field execution_id)
    websocket_url=$(field websocket_url)
}

example() {
    sed "s/$placeholder/$id/g; s/the-token-of-a-websocket-url/${websocket_url##*token=}/" "$examples/$1"
}

echo "The orchestrator at $api"
expect "health" 200 '"status":"ok"' "$api/health"
expect "no key is refused" 401 '"error":"Unauthorized"' "$api/executions"
expect "a wrong key is refused" 401 'INVALID_API_KEY' -H 'X-API-Key: wrong' "$api/executions"
expect "an empty run is refused" 400 'INVALID_REQUEST' -X POST "$api/run" -H "X-API-Key: $key" -d '{}'
start 'echo hello'
wait_for "$id" SUCCEEDED
expect "its log" 200 '"message":"hello"' -H "X-API-Key: $key" "$api/executions/$id/logs"
expect "it is listed" 200 "$id" -H "X-API-Key: $key" "$api/executions"
start 'exit 3'
wait_for "$id" FAILED
expect "its exit code" 200 '"exit_code":3' -H "X-API-Key: $key" "$api/executions/$id/status"
start 'sleep 600'
wait_for "$id" RUNNING
expect "kill" 200 'Execution termination initiated' -X DELETE -H "X-API-Key: $key" "$api/executions/$id"
wait_for "$id" STOPPED
expect "killed already" 204 '^$' -X DELETE -H "X-API-Key: $key" "$api/executions/$id"

echo "The event processor at $events"
expect "health" 200 '"component":"async-processor"' "$events/health"
expect "a body that is not JSON is refused" 400 'not JSON' -X POST "$events/process" -d 'nonsense'
expect "an event of an unknown kind is refused" 500 'unknown kind' -X POST "$events/process" -d '{}'
expect "the examples work as they stand" 200 'processed' -X POST "$events/process" -d "@$examples/ecs-task-completion.json"
expect "an unknown token is refused" 200 '"statusCode":401' -X POST "$events/process" -d "@$examples/websocket-event.json"
expect "the hourly reconcile" 200 'processed' -X POST "$events/process" -d "@$examples/scheduled-reconcile.json"
start 'sleep 60'
wait_for "$id" RUNNING
running=$id
expect "lines arrive" 200 'processed' -X POST "$events/process" -d "$(sed "s/$placeholder/$id/" "$examples/cloudwatch-logs-batch.json")"
expect "a viewer connects" 200 '"statusCode":200' -X POST "$events/process" -d "$(example websocket-event.json)"
expect "the task completes" 200 'processed' -X POST "$events/process" -H 'Content-Type: application/json' \
    -d "$(example ecs-task-completion.json)"
wait_for "$running" SUCCEEDED
expect "the same event again changes nothing" 200 'processed' -X POST "$events/process" -d "$(example ecs-task-completion.json)"
wait_for "$running" SUCCEEDED

echo "$checks checks passed"
