import assert from "node:assert/strict";
import { test } from "node:test";

import { lookEvery, Pauses, pause } from "./pauses.js";

/** The pauses that are made of these numbers of chance. */
function made(/** @type {number} */ chance) {
  /** @type {number[]} */
  const waited = [];
  const pauses = new Pauses(200, 1000, { random: () => chance, wait: async (milliseconds) => void waited.push(milliseconds) });
  return { pauses, waited };
}

test("each pause is twice as long as the one before, up to the longest", async () => {
  const { pauses, waited } = made(1);
  for (let at = 0; at < 5; at++) await pauses.wait();
  assert.deepEqual(waited, [200, 400, 800, 1000, 1000]);
  pauses.reset();
  await pauses.wait();
  assert.equal(waited.at(-1), 200);
});

test("chance takes a half of a pause at most", async () => {
  const { pauses, waited } = made(0);
  await pauses.wait();
  await pauses.wait();
  assert.deepEqual(waited, [100, 200]);
});

test("a signal ends a pause with its reason", async () => {
  const stop = new AbortController();
  const waiting = pause(60_000, stop.signal);
  stop.abort(new Error("left"));
  await assert.rejects(waiting, /left/);
  await assert.rejects(pause(1, stop.signal), /left/);
});

test("a look that does not end is the only one, and the next begins when it has ended", async () => {
  const left = new AbortController();
  let begun = 0;
  let end = () => {};
  /** @type {Promise<void>} */
  const again = new Promise((resolve) => lookEvery(1, left.signal, () => {
    begun += 1;
    if (begun === 2) resolve();
    return new Promise((_, reject) => (end = () => reject(new Error("no answer"))));
  }));
  await pause(50);
  assert.equal(begun, 1);
  end();
  await again;
  left.abort();
});
