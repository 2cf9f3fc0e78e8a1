/** Calls the HTTP API. */

import { isOurs } from "./connection.js";
import { Pauses } from "./pauses.js";

const BASE = "/api/v1";
const ATTEMPTS = 4;
/** The first and the longest pause before a request is sent again, in milliseconds. */
const PAUSES = { first: 500, longest: 2000 };
/** The longest time that an answer may take, in milliseconds: a Lambda function has 30 s. */
const TIMEOUT = 35_000;
/** The time in milliseconds that a page that is looked at waits for what it reads, before it says that the server does not answer. It then waits longer. */
const READ_TIMEOUT = 10_000;
/** Answers after which the same request may succeed in a moment. */
const PASSING = [429, 502, 503, 504];

/**
 * The types that travel, as docs/openapi.json describes it. `timing` is of servers that have it.
 * @typedef {import("./api-types.js").Status} Status
 * @typedef {Omit<import("./api-types.js").ExecutionInFull, "timing"> & {timing?: Record<string, number | null> | null}} Execution
 * @typedef {import("./api-types.js").Started} Started
 * @typedef {import("./api-types.js").Image} Image
 * @typedef {import("./api-types.js").Secret} Secret
 * @typedef {import("./api-types.js").ListedUser} User
 * @typedef {import("./api-types.js").Key} Key
 * @typedef {import("./api-types.js").AuditEntry} AuditEntry
 * @typedef {import("./api-types.js").Me} Me
 * @typedef {import("./api-types.js").LogEvent} LogEvent
 * @typedef {import("./api-types.js").Logs} Logs
 * @typedef {import("./api-types.js").Schedule} Schedule
 * @typedef {import("./api-types.js").Lock} Lock
 * @typedef {import("./api-types.js").LockInFull} LockInFull
 * @typedef {import("./api-types.js").LockUse} LockUse
 * @typedef {{name: string, version: number, published_by: string, published_at: string, description?: string, created_by: string, owned_by: string[],
 *   shared_with?: string[]}} PlaybookSummary
 * @typedef {PlaybookSummary & import("./playbook-file.js").Playbook} PublishedPlaybook
 */

/** A request that was not answered with a success. `message` is the sentence for people. */
export class ApiError extends Error {
  /** @param {number} status 0 when there was no answer @param {{error?: string, code?: string, details?: string, field?: string, hint?: string}} body */
  constructor(status, body) {
    super(body.error ?? `the server answered ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.details = body.details ?? this.message;
    this.hint = body.hint ?? "";
    /** The path of the input that is wrong, such as `env.PORT`. */
    this.field = body.field ?? "";
  }

  /** Tells whether the server has not answered, so that the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || PASSING.includes(this.status);
  }
}

/** Remedies in the words of the console, by the field that is wrong and the kind of error. @type {Record<string, string>} */
const REMEDIES = {
  "image INVALID_REQUEST": "Choose one of the list, or register it under Images.",
  "secrets INVALID_REQUEST": "Choose from the list, or create it under Secrets.",
  "scope INVALID_REQUEST": "Choose from the actions of the list.",
  "email CONFLICT": "Choose another address, or see the users above.",
};

const ROUTE = /\b(GET|POST|PUT|DELETE) \/api\//;

/** The sentence for a person: what is wrong, and what to do in the console. @param {unknown} error */
export function describe(error) {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  const field = error.field.split(/[.[]/)[0] ?? "";
  const remedy = REMEDIES[`${field} ${error.code}`];
  if (remedy !== undefined) return `${error.message}. ${remedy}`;
  // A remedy that names a route is for programs.
  return ROUTE.test(error.details) ? error.message : error.details;
}

/** Tells whether an execution has no task yet. @param {Status} status */
export const isBefore = (status) => status === "WAITING" || status === "QUEUED";

export const isEnd = (/** @type {Status} */ status) => ["SUCCEEDED", "FAILED", "STOPPED"].includes(status);

/** @param {Response} response @returns {Promise<any>} */
async function parse(response) {
  const text = await response.text();
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, { error: `the server answered ${response.status} with something that is not JSON` });
  }
}

/** The path of the next page, from the header `Link` (RFC 8288). @param {Response} response */
function nextPage(response) {
  const target = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  return target?.startsWith(BASE) ? target.slice(BASE.length) : undefined;
}

export class Api {
  /**
   * @param {string | undefined} key @param {(error: ApiError) => void} [onRefused] called when the key does not work (any more)
   * @param {{heard: (response: Response) => void, lost: () => void}} [connection] hears whether the server answers
   */
  constructor(key, onRefused, connection) {
    this.key = key;
    this.onRefused = onRefused;
    this.connection = connection;
    /** Called with the id of each execution that the person starts. @type {((id: string) => void) | undefined} */
    this.onStarted = undefined;
  }

  /**
   * Sends a request. One that may be repeated without harm is repeated while the server cannot be reached or is overloaded.
   * @param {string} method @param {string} path @param {unknown} [body]
   * @param {{signal?: AbortSignal, headers?: Record<string, string>, repeatable?: boolean, timeout?: number}} [options]
   */
  async send(method, path, body, options = {}) {
    /** @type {Record<string, string>} */
    const headers = { ...options.headers };
    if (this.key) headers["X-API-Key"] = this.key;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const repeatable = options.repeatable ?? (method === "GET" || method === "PUT" || method === "DELETE");
    const content = body === undefined ? undefined : JSON.stringify(body);
    const pauses = new Pauses(PAUSES.first, PAUSES.longest);
    for (let attempt = 1; ; attempt++) {
      const mayRepeat = repeatable && attempt < ATTEMPTS;
      try {
        // A server that is only slow would never answer in time.
        const usual = method === "GET" && this.connection && attempt === 1 ? READ_TIMEOUT : TIMEOUT;
        const timeout = AbortSignal.timeout(options.timeout ?? usual);
        const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
        const response = await fetch(BASE + path, { method, headers, signal, body: content });
        const isPassing = PASSING.includes(response.status);
        if (!(mayRepeat && isPassing)) return await this.#read(response);
      } catch (error) {
        if (options.signal?.aborted) throw error;
        if (error instanceof ApiError) {
          if (error.isPassing) this.connection?.lost();
          throw error;
        }
        // The page says at once that the server does not answer, and this request goes on trying.
        this.connection?.lost();
        if (!mayRepeat) throw new ApiError(0, { error: "the server cannot be reached", details: "The server does not answer." });
      }
      await pauses.wait(options.signal);
    }
  }

  /** @param {Response} response */
  async #read(response) {
    if (response.ok && !isOurs(response)) throw new ApiError(0, { error: "another program answers in place of runvoy", details: "Another program answers in place of runvoy: a proxy, or a network that asks for a login." });
    const data = await parse(response);
    if (!PASSING.includes(response.status) && isOurs(response)) this.connection?.heard(response);
    if (response.ok) return { data, next: nextPage(response), searchedSince: response.headers.get("x-searched-since") ?? undefined, status: response.status };
    const error = new ApiError(response.status, data ?? {});
    if (response.status === 401 && isOurs(response)) this.onRefused?.(error);
    throw error;
  }

  /** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
  async get(path, signal) {
    return (await this.send("GET", path, undefined, { signal })).data;
  }

  /**
   * @param {string} path @param {AbortSignal} [signal] @param {{timeout?: number, repeatable?: boolean}} [options]
   * @returns {Promise<{data: any, next: string | undefined, searchedSince: string | undefined}>}
   */
  page(path, signal, options) {
    return this.send("GET", path, undefined, { ...options, signal });
  }

  /** @param {string} path @param {unknown} body @returns {Promise<any>} */
  async post(path, body) {
    return (await this.send("POST", path, body)).data;
  }

  /** @param {string} path @param {unknown} body @returns {Promise<any>} */
  async put(path, body) {
    return (await this.send("PUT", path, body)).data;
  }

  /** @param {string} path @returns {Promise<any>} undefined when the server answers without a body */
  async delete(path) {
    return (await this.send("DELETE", path)).data;
  }

  /**
   * Runs a command, once, however often the request has to be repeated.
   * @param {Record<string, unknown>} run @returns {Promise<Started>}
   */
  async run(run) {
    const headers = { "Idempotency-Key": randomKey() };
    const started = (await this.send("POST", "/run", run, { headers, repeatable: true })).data;
    this.onStarted?.(started.execution_id);
    return started;
  }

  /**
   * Runs a playbook, once, however often the request has to be repeated.
   * @param {string} name @param {{parameters: Record<string, unknown>, version: number}} run @returns {Promise<Started>}
   */
  async runPlaybook(name, run) {
    const headers = { "Idempotency-Key": randomKey() };
    const started = (await this.send("POST", `/playbooks/${encodeURIComponent(name)}/run`, run, { headers, repeatable: true })).data;
    this.onStarted?.(started.execution_id);
    return started;
  }
}

/** A random text. `crypto.randomUUID` exists only for pages on https and on localhost. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
