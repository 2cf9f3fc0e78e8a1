/**
 * Keeps the API key of the person who is signed in, for as long as the browser has a tab of the console, or longer if they ask for it.
 * A tab that opens asks the others for the key, so that it is never stored longer than a tab lives.
 */

const NAME = "runvoy.key";
const RUNS = "runvoy.runs";
const DRAFT = "runvoy.draft";

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

/** The time in milliseconds that a tab waits for the key of others before it shows the page on which one signs in. */
const OTHERS_TIMEOUT = 200;

const others = "BroadcastChannel" in globalThis ? new BroadcastChannel("runvoy.session") : undefined;

/** Asks the other tabs for the key. @returns {Promise<string | undefined>} */
export function keyOfOthers() {
  if (!others) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const end = (/** @type {string | undefined} */ key) => {
      clearTimeout(timer);
      others.removeEventListener("message", listen);
      resolve(key);
    };
    const listen = (/** @type {MessageEvent} */ { data }) => data?.type === "key" && end(data.key);
    const timer = setTimeout(() => end(undefined), OTHERS_TIMEOUT);
    others.addEventListener("message", listen);
    others.postMessage({ type: "who" });
  });
}

/**
 * Tells the other tabs of the key, and hears what they tell.
 * @param {(change: "in" | "out") => void} changed called when another tab has signed in or out
 */
export function shareSession(changed) {
  others?.addEventListener("message", ({ data }) => {
    const key = storedKey();
    if (data?.type === "who" && key !== undefined) others.postMessage({ type: "key", key });
    // A key that was asked for may come after the time for it, when the computer is busy.
    if ((data?.type === "in" || data?.type === "key") && key === undefined) {
      tab?.setItem(NAME, data.key);
      changed("in");
    }
    if (data?.type === "out" && key !== undefined) {
      forgetKey();
      changed("out");
    }
  });
}

/** @param {string} key */
export const tellSignedIn = (key) => others?.postMessage({ type: "in", key });

export const tellSignedOut = () => others?.postMessage({ type: "out" });

/** Keeps the key that another tab has handed over, for this tab. @param {string} key */
export const adoptKey = (key) => tab?.setItem(NAME, key);

/** Forgets the key, and with it what the person has typed: the next one at this browser must not find it. */
export function forgetKey() {
  tab?.removeItem(NAME);
  device?.removeItem(NAME);
  for (const name of [RUNS, DRAFT]) tab?.removeItem(name);
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

/** The names of the playbooks that a person likes, kept on this device. @param {string} person @returns {Set<string>} */
export function favourites(person) {
  try {
    return new Set(JSON.parse(device?.getItem(`runvoy.favourites.${person}`) ?? "[]"));
  } catch {
    return new Set();
  }
}

/** @param {string} person @param {Set<string>} names */
export const setFavourite = (person, names) => device?.setItem(`runvoy.favourites.${person}`, JSON.stringify([...names]));

/** The form of a run that has not been sent, kept for this tab. @param {Record<string, unknown> | undefined} run */
export function keepDraft(run) {
  if (run === undefined) tab?.removeItem(DRAFT);
  else tab?.setItem(DRAFT, JSON.stringify(run));
}

/** @returns {Record<string, unknown> | undefined} */
export function keptDraft() {
  try {
    return JSON.parse(tab?.getItem(DRAFT) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
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
