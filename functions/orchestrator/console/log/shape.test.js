import assert from "node:assert/strict";
import { test } from "node:test";
import { Shape } from "./shape.js";
import { LogStore } from "./store.js";

let id = 0;
const event = (message) => ({ event_id: String(++id).padStart(8, "0"), timestamp: id, message });

function log(lines) {
  const store = new LogStore();
  const shape = new Shape(store);
  const put = (messages) => {
    const events = messages.map(event);
    shape.grow(store.add(events), events);
  };
  const add = (...messages) => put(messages);
  put(lines);
  const shown = (columns = Infinity) => shape.window(0, 1000, columns).runs.flatMap(([from, to]) => [...store.lines(from, to)].map(({ text }) => text));
  return { store, shape, add, shown };
}

test("a log without sections is shown as it is", () => {
  const { shape, shown } = log(["a", "b"]);
  assert.deepEqual(shown(), ["a", "b"]);
  assert.equal(shape.rows(Infinity), 2);
});

test("sections are open until they end, and are folded and unfolded, one within another", () => {
  const { shape, add, shown } = log(["before", "::group::outer", "one", "##[group]inner"]);
  assert.equal(shown().length, 4);
  add("two", "##[endgroup]", "::endgroup::", "after");
  assert.deepEqual(shown(), ["before", "::group::outer", "after"]);
  assert.equal(shape.rows(Infinity), 3);
  assert.equal(shape.rowOf(7, Infinity), 2);
  assert.equal(shape.rowOf(4, Infinity), 1, "a hidden line is where its section begins");
  shape.toggle(1);
  assert.deepEqual(shown(), ["before", "::group::outer", "one", "##[group]inner", "::endgroup::", "after"]);
  assert.ok(shape.reveal(4));
  assert.equal(shown().length, 8);
  shape.toggle(1);
  assert.equal(shown().length, 3);
});

test("the lines of runvoy with which a log begins are a section, and its last line is none", () => {
  const { shown, add } = log(["### runvoy sidecar: a", "### runvoy runner: b"]);
  assert.equal(shown().length, 2);
  add("hello", "### runvoy runner: command ended, exit code => 0");
  assert.deepEqual(shown(), ["### runvoy sidecar: a", "hello", "### runvoy runner: command ended, exit code => 0"]);
});

test("only matching lines are shown, with the rows that they take, as more of them come", () => {
  const { shape, shown, add } = log(["xxxxxxxxxx", "y", "xx", "y"]);
  const matching = [0, 0, 2];
  shape.only(() => matching);
  assert.deepEqual(shown(), ["xxxxxxxxxx", "xx"]);
  assert.equal(shape.rows(4), 4);
  assert.equal(shape.rowOf(2, 4), 3);
  add("y", "xxxxx");
  matching.push(5);
  assert.deepEqual(shown(4), ["xxxxxxxxxx", "xx", "xxxxx"]);
  assert.equal(shape.rows(4), 6);
  shape.only();
  assert.equal(shown().length, 6);
});

test("a late line of a section is folded with it", () => {
  const { store, shape, shown } = log(["::group::s", "a", "::endgroup::", "z"]);
  const late = { event_id: "late", timestamp: id - 2, message: "late" };
  shape.grow(store.add([late]), [late]);
  assert.deepEqual(shown(), ["::group::s", "z"]);
  assert.equal(shape.rows(Infinity), 2);
});

test("many sections are folded in a long log", () => {
  const lines = Array.from({ length: 200_000 }, (_, at) => (at % 100 === 0 ? `::group::${at}` : at % 100 === 99 ? "::endgroup::" : "line"));
  const { shape, shown } = log(lines);
  assert.equal(shape.rows(80), 2000);
  assert.equal(shown(80).length, 1000);
});
