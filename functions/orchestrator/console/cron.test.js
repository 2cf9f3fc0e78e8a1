import assert from "node:assert/strict";
import { test } from "node:test";
import { cronWords, rateWords } from "./cron.js";

test("a cron expression is said in words", () => {
  for (const [cron, words] of /** @type {[string, string][]} */ ([
    ["* * * * *", "Every minute"],
    ["*/15 * * * *", "Every 15 minutes"],
    ["*/15 8-18 * * 1-5", "Every 15 minutes in the hours 08 to 18, on Monday to Friday"],
    ["30 2 * * *", "At 02:30"],
    ["30 2 * * 1-5", "At 02:30, on Monday to Friday"],
    ["0 9,17 * * 6,0", "At 09:00 and 17:00, on Saturday and Sunday"],
    ["0 9 * * 5-7", "At 09:00, on Friday to Sunday"],
    ["0 9 * * 0-0", "At 09:00, on Sunday"],
    ["0 9 ? * 2-6 *", "At 09:00, on Monday to Friday"],
    ["5 * * * *", "At minute 5 of every hour"],
    ["0 0 1 1 *", "At 00:00, on the 1st, in January"],
    ["0 18 L * *", "At 18:00, on the last day of the month"],
    ["0 18 15W * *", "At 18:00, on the weekday nearest to the 15th"],
    ["0 18 * * 5L", "At 18:00, on the last Friday of the month"],
    ["0 18 ? * 6L 2027-2028", "At 18:00, on the last Friday of the month, in 2027 and 2028"],
    ["0 8 * * MON#1", "At 08:00, on the first Monday of the month"],
    ["cron(0 8 ? * 2#1 *)", "At 08:00, on the first Monday of the month"],
    ["0 0 2,3,4,22 * *", "At 00:00, on the 2nd to 4th and 22nd"],
    ["@weekly", "At 00:00, on Sunday"],
  ])) assert.equal(cronWords(cron), words, cron);
});

test("what cannot be read, or AWS cannot express, has no words", () => {
  for (const cron of ["", "* * *", "60 * * * *", "0 24 * * *", "0 0 13 * 5", "0 0 ? * ? *", "0 0 1 * MON *", "0 0 * * MON#6", "x * * * *", "5-1 * * * *"]) {
    assert.equal(cronWords(cron), undefined, cron);
  }
});

test("a rate is said in words", () => {
  assert.equal(rateWords("5 minutes"), "Now, and then every 5 minutes");
  assert.equal(rateWords("rate(1 day)"), "Now, and then every day");
  assert.equal(rateWords("0 days"), undefined);
});
