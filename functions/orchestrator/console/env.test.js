import assert from "node:assert/strict";
import { test } from "node:test";

import { parseEnv } from "./env.js";

test("a whole .env file becomes variables", () => {
  assert.deepEqual(parseEnv("A=1\n\n# a comment\nexport B = two words # and a comment\r\nC='it''s\n#not'\n".replace("''", "")), [["A", "1"], ["B", "two words"], ["C", "its\n#not"]]);
  assert.deepEqual(parseEnv('A="line\\nbreak \\"quoted\\" \\$x"\nB=\nC=a#b'), [["A", 'line\nbreak "quoted" $x'], ["B", ""], ["C", "a#b"]]);
  assert.deepEqual(parseEnv("URL=https://example.com/?a=b&c=d"), [["URL", "https://example.com/?a=b&c=d"]]);
});

test("text of another form is left alone", () => {
  for (const text of ["NAME", "", "two words", "1A=1", "A=1\nand prose"]) assert.equal(parseEnv(text), undefined, text);
});
