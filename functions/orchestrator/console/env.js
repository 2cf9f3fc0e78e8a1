/** Reads variables from text in the form of an `.env` file. */

const LINE = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=[ \t]*/;

/**
 * The variables of a text such as `A=1`, line by line: with comments, `export`, and values in single or double quotes, which may go over
 * lines. Undefined when the text is not of that form.
 * @param {string} text @returns {[name: string, value: string][] | undefined}
 */
export function parseEnv(text) {
  /** @type {[string, string][]} */
  const variables = [];
  let rest = text.replaceAll("\r\n", "\n");
  while (rest.trim() !== "") {
    const comment = /^\s*(?:#[^\n]*)?(?:\n|$)/.exec(rest);
    if (comment && comment[0] !== "") {
      rest = rest.slice(comment[0].length);
      continue;
    }
    const start = LINE.exec(rest);
    if (!start) return undefined;
    rest = rest.slice(start[0].length);
    const [value, length] = readValue(rest);
    variables.push([start[1] ?? "", value]);
    rest = rest.slice(length);
  }
  return variables.length > 0 ? variables : undefined;
}

/** A value, and how many characters it takes with the rest of its line. @param {string} text @returns {[value: string, length: number]} */
function readValue(text) {
  const quoted = /^(?:'([^']*)'|"((?:[^"\\]|\\[^])*)")[ \t]*(?:#[^\n]*)?(?:\n|$)/.exec(text);
  if (quoted) {
    const escaped = quoted[2]?.replace(/\\(n|t|r|["\\$`])/g, (_, one) => ({ n: "\n", t: "\t", r: "\r" })[/** @type {string} */ (one)] ?? one);
    return [escaped ?? quoted[1] ?? "", quoted[0].length];
  }
  const line = /^[^\n]*/.exec(text)?.[0] ?? "";
  return [line.replace(/(^|\s)#.*$/, "").trim(), line.length + 1];
}
