import assert from "node:assert/strict";
import { test } from "node:test";

import { fileOf } from "./playbook-file.js";

test("a playbook is written as its file", () => {
  const playbook = {
    name: "restart", version: 3, description: "Restarts it: now", secrets: ["token"], timeout: 90, env: { A: "1.10", B: "null" },
    parameters: [{ name: "SERVICE", type: "choice", allowed: ["web", "a: b"] }], commands: ["echo \"$SERVICE\"", "if true; then\n  echo\nfi\n"],
  };
  assert.equal(fileOf(/** @type {any} */ (playbook)), `description: "Restarts it: now"
secrets:
  - token
timeout: 90
parameters:
  - name: SERVICE
    type: choice
    allowed:
      - web
      - "a: b"
env:
  A: "1.10"
  B: "null"
commands:
  - "echo \\"$SERVICE\\""
  - |
    if true; then
      echo
    fi
`);
});
