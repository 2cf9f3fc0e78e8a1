import assert from "node:assert/strict";
import { test } from "node:test";

import { Scroll } from "./scroll.js";

test("a log that fits is scrolled as any element", () => {
  const scroll = new Scroll(10_000);
  scroll.resize(5000, 500);
  assert.equal(scroll.height, 5000);
  scroll.scrolled(1234);
  assert.equal(scroll.top, 1234);
  assert.equal(scroll.moveTo(9999), 4500);
});

test("a log that does not fit is reached from end to end, and moves by pixels", () => {
  const scroll = new Scroll(10_000);
  scroll.resize(1_000_000, 500);
  assert.equal(scroll.height, 10_000);
  scroll.scrolled(100);
  assert.equal(scroll.top, 100);
  scroll.scrolled(9500);
  assert.equal(scroll.top, 999_500);
  scroll.scrolled(9400);
  assert.equal(scroll.top, 999_400);
  scroll.scrolled(4750);
  assert.equal(scroll.top, 999_500 / 2);
  scroll.scrolled(0);
  assert.equal(scroll.top, 0);
  // The scrollbar's place fits again after small movements.
  scroll.scrolled(800);
  assert.equal(scroll.top, 800);
  assert.ok(Math.abs(scroll.settle() - (800 / 999_500) * 9500) < 1e-9);
});

test("a log that grows stays where it is", () => {
  const scroll = new Scroll(10_000);
  scroll.resize(8000, 500);
  scroll.moveTo(4000);
  scroll.resize(80_000, 500);
  assert.equal(scroll.top, 4000);
  scroll.resize(300, 500);
  assert.equal(scroll.top, 0);
});
