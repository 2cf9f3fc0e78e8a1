/** The API key of the person who is signed in. It is kept for the tab, or longer if they ask for it. */

const NAME = "runvoy.key";
const RUNS = "runvoy.runs";

/** @param {() => Storage} storage @returns {Storage | undefined} undefined where the browser keeps nothing for this page */
function available(storage) {
  try {
    return storage();
  } catch {
    return undefined;
  }
}

const tab = available(() => sessionStorage);
const device = available(() => localStorage);

/** The key, if somebody is signed in. */
export const storedKey = () => tab?.getItem(NAME) ?? device?.getItem(NAME) ?? undefined;

/** @param {string} key @param {boolean} remember whether other tabs, and this browser after a restart, have it too */
export function keepKey(key, remember) {
  forgetKey();
  (remember ? device : tab)?.setItem(NAME, key);
}

/** Forgets the key, and with it what the person has typed: the next one at this browser must not find it. */
export function forgetKey() {
  tab?.removeItem(NAME);
  device?.removeItem(NAME);
  tab?.removeItem(RUNS);
}

/**
 * A choice of how things are shown, kept on this device.
 * @param {string} name @param {string} fallback
 */
export function choice(name, fallback) {
  const key = `runvoy.choice.${name}`;
  return {
    get: () => device?.getItem(key) ?? fallback,
    /** @param {string} value */
    set: (value) => device?.setItem(key, value),
  };
}

/**
 * Keeps the form of a run for this tab, so that it can be run again with what the API does not record: variables, secrets, git settings.
 * @param {string} id @param {Record<string, unknown>} run
 */
export function keepRun(id, run) {
  const runs = Object.entries(keptRuns()).slice(-49);
  tab?.setItem(RUNS, JSON.stringify(Object.fromEntries([...runs, [id, run]])));
}

/** @returns {Record<string, Record<string, unknown>>} */
function keptRuns() {
  try {
    return JSON.parse(tab?.getItem(RUNS) ?? "{}");
  } catch {
    return {};
  }
}

/** @param {string} id @returns {Record<string, unknown> | undefined} */
export const keptRun = (id) => keptRuns()[id];
