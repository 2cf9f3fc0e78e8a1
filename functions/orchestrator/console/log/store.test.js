import assert from "node:assert/strict";
import { test } from "node:test";

import { LogStore } from "./store.js";

/** @param {number} number */
const event = (number, message = `line ${number}`) => ({ event_id: String(number).padStart(56, "0"), timestamp: 1000 + Math.floor(number / 3), message });
/** @param {LogStore} store */
const texts = (store) => [...store.lines()].map(({ text }) => text);

/** A generator of numbers that are the same for the same seed (xorshift). @param {number} seed */
function random(seed) {
  return (/** @type {number} */ below) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % below;
  };
}

test("lines in any order, and repeated, come out once and in order", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const below = random(seed);
    const count = 1 + below(6000);
    const batches = [];
    for (let at = 0; at < count; ) {
      const length = 1 + below(400);
      const batch = Array.from({ length: Math.min(length, count - at) }, (_, offset) => event(at + offset));
      batches.push(batch);
      if (below(3) === 0) batches.push(batch);
      at += length;
    }
    for (let swap = 0; swap < batches.length / 3; swap++) {
      const [one, other] = [below(batches.length), below(batches.length)];
      [batches[one], batches[other]] = [batches[other], batches[one]];
    }
    const store = new LogStore();
    for (const batch of batches) store.add(/** @type {any} */ (batch));
    assert.deepEqual(texts(store), Array.from({ length: count }, (_, number) => `line ${number}`), `seed ${seed}`);
    assert.equal(store.length, count);
  }
});

test("an added batch says from which line on others have moved", () => {
  const store = new LogStore();
  assert.equal(store.add([event(0), event(1), event(5)]), undefined);
  assert.equal(store.add([event(1)]), undefined);
  assert.equal(store.add([event(6), event(3), event(4)]), 2);
});

test("ids of any form are kept, as is every character of a line", () => {
  const ids = ["7", "7-0001", "8a", "00012345678", "😀", ""];
  const store = new LogStore();
  const events = Array.from({ length: 5000 }, (_, number) => ({
    event_id: `${String(number).padStart(6, "0")}${ids[number % ids.length]}`, timestamp: number, message: ["é", "\u{1f600}", "", "\r\x1b[31m"][number % 4] ?? "",
  }));
  store.add(events);
  store.add(events);
  assert.deepEqual(texts(store), events.map(({ message }) => message));
});

test("rows and lines are found from each other, wrapped or not", () => {
  const store = new LogStore();
  store.add(Array.from({ length: 5000 }, (_, number) => event(number, "x".repeat((number * 7) % 95))));
  for (const columns of [Infinity, 80, 10, 7]) {
    let row = 0;
    for (const { number, text } of store.lines()) {
      if (number % 97 === 0) {
        assert.equal(store.rowOf(number, columns), row);
        assert.deepEqual(store.lineAt(row, columns), { number, start: row });
      }
      row += columns === Infinity ? 1 : Math.max(1, Math.ceil(text.length / columns));
    }
    assert.equal(store.rows(columns), row);
    assert.equal(store.lineAt(row, columns).number, 5000);
  }
});

test("the file has every line as it was printed, or as it is seen", async () => {
  const store = new LogStore();
  store.add([event(1, "\x1b[1mbold\x1b[0m"), event(2, "10%\r99%"), event(3, "")]);
  assert.equal(await store.file(false).text(), "\x1b[1mbold\x1b[0m\n10%\r99%\n\n");
  assert.equal(await store.file(true).text(), "bold\n99%\n\n");
});

test("a line of runvoy's own does not colour those behind it", () => {
  const store = new LogStore();
  store.add([event(1, "### runvoy runner: command => # \x1b[31m"), event(2, "plain"), event(3, "\x1b[32mgreen"), event(4, "### runvoy runner: \x1b[0m"), event(5, "green, too")]);
  assert.deepEqual([1, 3, 4].map((at) => store.styleAt(at)), [undefined, { foreground: "2" }, { foreground: "2" }]);
});

test("a line begins in the style that the lines before it have set, also after a late one", () => {
  const store = new LogStore();
  const number = 6000;
  store.add(Array.from({ length: number }, (_, at) => event(2 * at, at === 10 ? "\x1b[31mred" : at === 5000 ? "\x1b[0mplain" : "text")));
  assert.equal(store.styleAt(10), undefined);
  for (const at of [11, 3000, 5000]) assert.deepEqual(store.styleAt(at), { foreground: "1" }, String(at));
  assert.equal(store.styleAt(5001), undefined);
  store.add([event(41, "\x1b[32mgreen, and late")]);
  assert.deepEqual(store.styleAt(21), { foreground: "1" });
  for (const at of [22, 3000, 5001]) assert.deepEqual(store.styleAt(at), { foreground: "2" }, String(at));
  assert.equal(store.styleAt(5002), undefined);
  store.add([event(2 * number, "more")]);
  assert.equal(store.styleAt(number + 1), undefined);
});

test("rows that the browser has drawn count, until the columns are others", () => {
  const store = new LogStore();
  store.add(Array.from({ length: 3000 }, (_, at) => event(at, "x".repeat(100))));
  assert.equal(store.rows(80), 6000);
  assert.ok(store.measure([[2500, 5], [1, 1]], 80));
  assert.equal(store.rows(80), 6002);
  assert.equal(store.rowOf(2501, 80), 5004);
  assert.deepEqual(store.lineAt(5003, 80), { number: 2500, start: 4999 });
  assert.ok(!store.measure([[2500, 5]], 80));
  assert.equal(store.rows(50), 6000);
});
