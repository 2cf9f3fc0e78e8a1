/**
 * Knows how the connection to the server is, for all of the console: says at the top of the page when the server does not answer,
 * tries until it answers again, and knows the server's time.
 */

import { element } from "./ui/dom.js";

/** The pause between two tries of a server that does not answer, and the longest time of one, in milliseconds. */
const TRY_EVERY = 3000;
const TRY_TIMEOUT = 5000;
/** A browser's clock that is off by less, in milliseconds, is taken for right: the server's time comes in whole seconds. */
const CLOCK_ERROR = 2000;

/** Tells whether runvoy's API has answered, and not a proxy or a network that asks for a login. @param {Response} response */
export const isOurs = (response) => response.headers.has("x-request-id");

export class Connection extends EventTarget {
  /** The server's time less the browser's, in milliseconds. */
  #offset = 0;
  /** When the server was last heard, in the browser's time. */
  #heard = Date.now();
  /** When the server was found not to answer, in the browser's time. */
  #lostAt = 0;
  #isTrying = false;
  isLost = false;
  element = element("div", { class: "connection", role: "status" });

  /** @param {() => Promise<Response>} [ask] sends something small to the server */
  constructor(ask = () => fetch("/api/v1/health", { signal: AbortSignal.timeout(TRY_TIMEOUT), cache: "no-store" })) {
    super();
    this.ask = ask;
  }

  /** The server has answered. @param {Response} response */
  heard(response) {
    const date = Date.parse(response.headers.get("date") ?? "");
    // The time was cut to a second, so the middle of that second is the best guess.
    if (!Number.isNaN(date)) this.#offset = date + 500 - Date.now();
    this.#heard = Date.now();
    if (!this.isLost) return;
    this.isLost = false;
    this.element.replaceChildren();
    this.dispatchEvent(new Event("back"));
  }

  /** The server has not answered. */
  lost() {
    if (this.isLost) return;
    this.isLost = true;
    this.#lostAt = Date.now();
    const time = new Date(this.#heard).toLocaleTimeString();
    this.element.replaceChildren(element("p", {}, `runvoy does not answer. This page shows what was last known at ${time}. Trying again…`));
    this.dispatchEvent(new Event("lost"));
    this.#later();
  }

  /** Milliseconds since 1970 by the server's clock. While the server does not answer, the time when that was found out. */
  now() {
    return (this.isLost ? this.#lostAt : Date.now()) + (Math.abs(this.#offset) > CLOCK_ERROR ? this.#offset : 0);
  }

  #later() {
    setTimeout(() => this.try(), TRY_EVERY);
  }

  /** Tries whether the server answers again. */
  async try() {
    if (!this.isLost || this.#isTrying) return;
    this.#isTrying = true;
    try {
      const response = await this.ask();
      if (response.status < 500 && isOurs(response)) this.heard(response);
    } catch {
      // It does not answer yet.
    }
    this.#isTrying = false;
    if (this.isLost) this.#later();
  }
}
