import assert from "node:assert/strict";
import { test } from "node:test";

import { Find, occurrences, pattern } from "./find.js";
import { LogStore } from "./store.js";

/** @param {Partial<import("./find.js").Query>} query */
const compiled = (query) => pattern({ text: "", isRegExp: false, isCaseSensitive: false, ...query });

test("text, case and regular expressions", () => {
  const found = (/** @type {Partial<import("./find.js").Query>} */ query, /** @type {string} */ text) =>
    occurrences(compiled(query), text).map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(found({ text: "a.b" }, "a.b axb A.B"), ["a.b", "A.B"]);
  assert.deepEqual(found({ text: "a.b", isCaseSensitive: true }, "a.b A.B"), ["a.b"]);
  assert.deepEqual(found({ text: "a.b", isRegExp: true }, "a.b axb"), ["a.b", "axb"]);
  assert.deepEqual(found({ text: "x*", isRegExp: true }, "axxb"), ["xx"]);
  assert.deepEqual(found({ text: "[({\\^$.|?*+" }, "a[({\\^$.|?*+b"), ["[({\\^$.|?*+"]);
  assert.throws(() => compiled({ text: "(", isRegExp: true }), SyntaxError);
});

test("occurrences are counted in lines as they are seen, also in those that come later", () => {
  const store = new LogStore();
  const add = (/** @type {number} */ number, /** @type {string} */ message) => store.add([{ event_id: String(number).padStart(4, "0"), timestamp: number, message }]);
  add(10, "one one");
  add(20, "o\x1b[31mn\x1b[0me");
  add(30, "none\rsome");
  const find = new Find(store, compiled({ text: "one" }));
  find.step(1000);
  assert.ok(find.isComplete);
  assert.equal(find.count, 3);
  assert.deepEqual([find.at(0), find.at(1), find.at(2), find.at(3)], [{ line: 0, nth: 0 }, { line: 0, nth: 1 }, { line: 1, nth: 0 }, undefined]);
  add(40, "one more");
  assert.ok(!find.isComplete);
  find.step(1000);
  assert.equal(find.count, 4);
  // A late line moves those behind it.
  const changed = add(15, "one late");
  find.forget(/** @type {number} */ (changed));
  find.step(1000);
  assert.equal(find.count, 5);
  assert.deepEqual(find.at(2), { line: 1, nth: 0 });
  assert.equal(find.firstFrom(2), 3);
});
