import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { ago, asCommandLine, asCurl, duration, aboutSize, quote, seconds, size } from "./format.js";

test("durations are written and read", () => {
  assert.deepEqual([0, 59.9, 61, 3600, 90_061].map(duration), ["0s", "59s", "1m 1s", "1h 0m", "25h 1m"]);
  assert.deepEqual([0.42, 0.0001, 1.26, 9.99, 3, 10.4].map(duration), ["420 ms", "1 ms", "1.2s", "9.9s", "3s", "10s"]);
  assert.deepEqual(["90", "90s", "10m", "1h30m", "1h 5s", "1d", "1d2h"].map(seconds), [90, 90, 600, 5400, 3605, 86_400, 93_600]);
  for (const bad of ["", "soon", "-1", "1.5h", "m"]) assert.equal(seconds(bad), undefined, bad);
});

test("ages and sizes", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  assert.equal(ago("2026-01-01T23:59:50Z", now), "just now");
  assert.equal(ago("2026-01-01T23:57:00Z", now), "3 minutes ago");
  assert.equal(ago("2026-01-01T00:00:00Z", now), "yesterday");
  assert.deepEqual([0, 999, 1000, 102_900_000].map(size), ["0 B", "999 B", "1.0 kB", "102.9 MB"]);
});

test("a shell reads a quoted word as it was", () => {
  for (const word of ["plain", "", "two words", "it's", "$HOME `id` \\ \"x\"", "a\nb", "-n", "é*?"]) {
    assert.equal(execFileSync("sh", ["-c", `printf %s ${quote(word)}`], { encoding: "utf8" }), word);
  }
});

test("a run is copied as commands that start the same", () => {
  const run = { command: "echo 'it works'", image: "alpine", env: { A: "1 2" }, secrets: ["db"], timeout: 60, git_repo: "https://example.com/r" };
  assert.equal(
    asCommandLine(run),
    `runvoy run --image alpine --env 'A=1 2' --secret db --timeout 60s --git-repo https://example.com/r 'echo '\\''it works'\\'''`,
  );
  assert.equal(asCommandLine({ command: "make", lock: ["a", "b"], slots: 2, on_conflict: "queue" }), "runvoy run --lock a --lock b --slots 2 --queue make");
  assert.equal(asCommandLine({ command: "make", retry: { attempts: 3, on: ["exit", "start"], backoff: 60 } }), "runvoy run --retry 3 --retry-on exit,start --retry-backoff 60s make");
  assert.equal(asCommandLine({ command: "make", after: ["e8df"], if: "ended", deadline: 60 }), "runvoy run --after e8df --if ended --deadline 60s make");
  const script = `curl() { printf '%s\\n' "$@"; }; RUNVOY_API_KEY=k; ${asCurl(run, "http://localhost:8080")}`;
  const words = execFileSync("sh", ["-c", script], { encoding: "utf8" }).trim().split("\n");
  assert.ok(words.includes("http://localhost:8080/api/v1/run") && words.includes("X-API-Key: k"));
  assert.deepEqual(JSON.parse(words.at(-1) ?? ""), run);
});

test("the characters of a run are counted as JSON has them", () => {
  const base = aboutSize({ command: "" });
  assert.equal(aboutSize({ command: "abc" }), base + 3);
  assert.equal(aboutSize({ command: 'a"\n' }), base + 5);
  assert.equal(aboutSize({ command: "\u{1f600}" }), base + 1);
  assert.ok(aboutSize({ command: "", git_repo: "https://example.com/r", env: { A: "1" } }) > base + 40);
});
