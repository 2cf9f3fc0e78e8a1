import assert from "node:assert/strict";
import { test } from "node:test";

// The banner is an element; the rest needs no browser.
globalThis.document = /** @type {any} */ ({ createElement: () => ({ setAttribute() {}, append() {}, replaceChildren() {} }) });
const { Connection } = await import("./connection.js");

/** @param {number} time */
const answered = (time) => new Response("{}", { headers: { date: new Date(time).toUTCString(), "x-request-id": "r" } });

test("time is the server's, and stands still while the server does not answer", async (context) => {
  context.mock.timers.enable({ apis: ["Date", "setTimeout"], now: Date.parse("2026-01-01T12:05:00.500Z") });
  let answers = false;
  const connection = new Connection(async () => (answers ? answered(Date.now() - 300_000) : Promise.reject(new Error("down"))));
  connection.heard(answered(Date.parse("2026-01-01T12:00:00Z")));
  assert.equal(new Date(connection.now()).toISOString(), "2026-01-01T12:00:00.500Z");
  context.mock.timers.tick(10_000);
  assert.equal(new Date(connection.now()).toISOString(), "2026-01-01T12:00:10.500Z");
  let events = "";
  for (const name of ["lost", "back"]) connection.addEventListener(name, () => (events += `${name} `));
  connection.lost();
  connection.lost();
  const frozen = connection.now();
  context.mock.timers.tick(60_000);
  await new Promise(setImmediate);
  assert.equal(connection.now(), frozen);
  answers = true;
  await connection.try();
  assert.equal(events, "lost back ");
  assert.ok(connection.now() > frozen);
});

test("a clock that is off by less than the header can tell is taken for right", () => {
  const connection = new Connection();
  connection.heard(answered(Date.now() - 900));
  assert.ok(Math.abs(connection.now() - Date.now()) < 100);
});
