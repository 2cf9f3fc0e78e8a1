import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { parseEnv } from "./env.js";

// The command line's reader has the same cases.
for (const [text, variables] of JSON.parse(readFileSync(new URL("./env.cases.json", import.meta.url), "utf8"))) {
  test(`the text ${JSON.stringify(text)} is read as variables or left alone`, () => {
    assert.deepEqual(parseEnv(text), variables ?? undefined);
  });
}
