#!/usr/bin/env bash
# Sends recorded events to a running system, in their order: those of the event processor as they are, those of the API as requests.
#
#     cargo run -p local-shim -- --record events     records
#     examples/replay.sh events                      sends, to the local system of this folder
#
# API_URL, EVENTS_URL and API_KEY name another system. A recorded event has no key, and API_KEY takes its place.
set -euo pipefail

folder=${1:?Usage: examples/replay.sh DIR}
api=${API_URL:-http://localhost:8080}
events=${EVENTS_URL:-http://localhost:8081}
key=${API_KEY:-$(cat .runvoy-local/admin-key)}
body=$(mktemp)
trap 'rm -f "$body"' EXIT

shopt -s nullglob
sent=0
failed=0
for file in "$folder"/[0-9]*-*.json; do
    case $file in
        *-event-processor.json)
            what=$(basename "$file")
            status=$(curl -sS -o "$body" -w '%{http_code}' -X POST "$events/process" -H "X-API-Key: $key" --data-binary "@$file")
            ;;
        *-orchestrator.json)
            # The method and the path on a line each, and then the body.
            { read -r method; read -r path; read -r -d '' text || true; } < <(python3 - "$file" <<'PYTHON'
import json, sys
event = json.load(open(sys.argv[1]))
query = event.get("rawQueryString") or ""
print(event["requestContext"]["http"]["method"])
print(event["rawPath"] + (f"?{query}" if query else ""))
print(event.get("body") or "", end="")
PYTHON
            )
            what="$method $path"
            status=$(curl -sS -o "$body" -w '%{http_code}' -X "$method" "$api$path" -H "X-API-Key: $key" ${text:+--data-binary "$text"})
            ;;
        *) continue ;;
    esac
    sent=$((sent + 1))
    printf '%s %s\n' "$status" "$what"
    if [ "$status" -ge 500 ]; then
        failed=$((failed + 1))
        cat "$body"
        printf '\n'
    fi
done
printf '%s events sent, %s failed\n' "$sent" "$failed"
[ "$sent" -gt 0 ] && [ "$failed" = 0 ]
