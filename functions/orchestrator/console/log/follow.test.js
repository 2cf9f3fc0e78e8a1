import assert from "node:assert/strict";
import { test } from "node:test";

import { Heartbeat } from "./follow.js";

test("a connection is asked after 20 s of silence, and lost 10 s later", () => {
  const heart = new Heartbeat(0);
  assert.equal(heart.look(19_999), "fine");
  assert.equal(heart.look(20_000), "ask");
  assert.equal(heart.look(29_999), "fine");
  assert.equal(heart.look(30_000), "lost");
});

test("any frame is a sign of life", () => {
  const heart = new Heartbeat(0);
  assert.equal(heart.look(25_000), "ask");
  heart.beat(26_000);
  assert.equal(heart.look(40_000), "fine");
  assert.equal(heart.look(46_000), "ask");
});
