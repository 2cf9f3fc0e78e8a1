/** Keeps the list of executions as the server has it: its pages, what is new, and what has ended since. */

import { isEnd } from "../api.js";
import { asShown } from "../ui/status.js";

/** @typedef {import("../api.js").Execution} Execution */

export const PAGE = 50;
/** Pages that are read to join what is new with what is there. When they do not join, the list is read anew. */
const JOIN_PAGES = 10;
/** Executions that run, of which one request is to tell whether they still do. */
const OPEN = 200;
const OPEN_STATUSES = "WAITING,QUEUED,STARTING,RUNNING,TERMINATING";
/** The longest time of a request of the list that is made again and again, in milliseconds. */
const REFRESH_TIMEOUT = 10_000;

/**
 * @typedef {object} Listener
 * @property {(execution: Execution) => void} put an execution is new, or another than before
 * @property {() => void} clear the list is read anew
 */

export class ExecutionList {
  /** @type {Map<string, Execution>} */
  #known = new Map();
  /** The page that comes next; `undefined` when all are there. @type {string | undefined} */
  next;
  /** The time up to which the pages have looked. @type {string | undefined} */
  searchedSince;
  #isBusy = false;

  /**
   * @param {import("../api.js").Api} api @param {string} query of the server @param {AbortSignal} ended @param {Listener} listener
   * @param {{executions: Execution[], next: string | undefined}} [kept] a list that was left
   */
  constructor(api, query, ended, listener, kept) {
    this.api = api;
    this.query = query;
    this.ended = ended;
    this.listener = listener;
    this.next = kept ? kept.next : this.#first;
    for (const execution of kept?.executions ?? []) this.#put(execution);
  }

  get #first() {
    return `/executions?limit=${PAGE}${this.query}`;
  }

  get executions() {
    return [...this.#known.values()];
  }

  /** @param {Execution} execution */
  #put(execution) {
    const known = this.#known.get(execution.execution_id);
    if (known && JSON.stringify(known) === JSON.stringify(execution)) return;
    // An answer that was on its way when a later one came must not undo an end.
    if (known && isEnd(known.status) && !isEnd(execution.status)) return;
    this.#known.set(execution.execution_id, execution);
    this.listener.put(asShown(execution));
  }

  /** Reads the next page. Returns its executions. @returns {Promise<Execution[]>} */
  async more() {
    if (this.next === undefined) return [];
    const { data, next, searchedSince } = await this.api.page(this.next, this.ended);
    if (this.ended.aborted) return [];
    [this.next, this.searchedSince] = [next, searchedSince];
    for (const execution of data) this.#put(execution);
    return data;
  }

  /** Reads what is new and what has changed. One request at a time is on its way; while one is, this does nothing. */
  async refresh() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      const fresh = await this.#join();
      if (fresh && !this.ended.aborted) await this.#end(fresh);
    } finally {
      this.#isBusy = false;
    }
  }

  /** Reads pages until they reach those that are known. Returns their ids, or nothing when the list was read anew. */
  async #join() {
    const before = new Set(this.#known.keys());
    /** @type {Execution[]} */
    const fresh = [];
    /** @type {string | undefined} */
    let path = this.#first;
    for (let page = 0; path !== undefined; page++) {
      if (page === JOIN_PAGES) return this.#anew();
      const { data, next } = await this.#ask(path);
      if (this.ended.aborted) return undefined;
      fresh.push(...data);
      path = next;
      // An empty list has nothing to join with: its first page is all that is shown. A search that has found nothing stays where it is.
      if (before.size === 0 && data.length > 0) this.next = path;
      if (before.size === 0 || data.some((/** @type {Execution} */ one) => before.has(one.execution_id))) break;
    }
    for (const execution of fresh.reverse()) this.#put(execution);
    return new Set(fresh.map((one) => one.execution_id));
  }

  /** @returns {undefined} */
  #anew() {
    this.#known.clear();
    this.next = this.#first;
    this.listener.clear();
  }

  /** Learns of the ends of those that are on no page that was read. @param {Set<string>} fresh */
  async #end(fresh) {
    const open = this.executions.filter(({ execution_id, status }) => !isEnd(status) && !fresh.has(execution_id));
    if (open.length === 0) return;
    const { data, next } = await this.#ask(`/executions?limit=${OPEN}&status=${OPEN_STATUSES}`);
    const running = new Map(data.map((/** @type {Execution} */ one) => [one.execution_id, one]));
    const oldest = next === undefined ? "" : (data.at(-1)?.started_at ?? "");
    for (const { execution_id, started_at } of open) {
      if (this.ended.aborted) return;
      const one = running.get(execution_id);
      if (one) this.#put(one);
      else if (started_at >= oldest) this.#put((await this.#ask(`/executions/${encodeURIComponent(execution_id)}`)).data);
    }
  }

  /** @param {string} path */
  #ask(path) {
    return this.api.page(path, this.ended, { timeout: REFRESH_TIMEOUT, repeatable: false });
  }
}
