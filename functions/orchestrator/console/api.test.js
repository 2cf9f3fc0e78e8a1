import assert from "node:assert/strict";
import { test } from "node:test";

import { Api } from "./api.js";

test("a server that is slow is said not to answer, and is given more time", async (context) => {
  /** @type {number[]} */
  const limits = [];
  context.mock.method(AbortSignal, "timeout", (/** @type {number} */ limit) => {
    limits.push(limit);
    return new AbortController().signal;
  });
  let calls = 0;
  context.mock.method(globalThis, "fetch", async () => {
    if (++calls === 1) throw new DOMException("too slow", "TimeoutError");
    return new Response("[1]", { headers: { "x-request-id": "r" } });
  });
  const heard = /** @type {string[]} */ ([]);
  const api = new Api("key", undefined, { heard: () => heard.push("heard"), lost: () => heard.push("lost") });
  assert.deepEqual(await api.get("/images"), [1]);
  assert.deepEqual(limits, [10_000, 35_000]);
  assert.deepEqual(heard, ["lost", "heard"]);
});
