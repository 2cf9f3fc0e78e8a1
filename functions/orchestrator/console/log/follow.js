/**
 * Brings the lines of an execution until its end, whatever the network does.
 *
 * The server sends every line in the order of its store. After a lost connection, the viewer connects again and names its last line,
 * and the server goes on after it. A line that comes twice is known by its id.
 */

import { ApiError, isEnd } from "../api.js";
import { Pauses } from "../pauses.js";

/** @typedef {import("../api.js").LogEvent} LogEvent @typedef {import("../api.js").Logs} Logs @typedef {import("../api.js").Status} Status */

/** The first and the longest pause before another connection, in milliseconds. */
const PAUSES = { first: 200, longest: 15_000 };
const HANDSHAKE_TIMEOUT = 20_000;
/** The time that a connection may be silent before it is asked for a sign of life, and the longest time of the answer, in milliseconds. */
const SILENCE = 20_000;
const PONG_TIMEOUT = 10_000;
/** The pause between two looks at that, in milliseconds. */
const LOOK_EVERY = 1000;
/** The code with which a server closes that cannot send a message (RFC 6455, section 7.4.1). */
const FRAME_TOO_LARGE = 1009;
/** The frame that the server answers with a frame of type "pong". */
const PING = JSON.stringify({ type: "ping" });
/** The pause between two checks of a silent connection: whether the computer slept, and whether the execution has ended without a word. */
const CHECK_EVERY = 15_000;
/** The longest time that the last lines may take after the execution has ended. */
const LAST_LINES = 30_000;

/**
 * The life of a connection: when to ask for a sign of it, and when it is over. A connection that is kept while its data is dropped, as
 * behind a proxy or a computer that slept, ends without a word.
 */
export class Heartbeat {
  /** @type {number | undefined} */
  #asked;

  /** @param {number} now milliseconds */
  constructor(now) {
    this.last = now;
  }

  /** A frame has come. @param {number} now */
  beat(now) {
    this.last = now;
    this.#asked = undefined;
  }

  /** @param {number} now @returns {"fine" | "ask" | "lost"} */
  look(now) {
    if (this.#asked !== undefined) return now - this.#asked >= PONG_TIMEOUT ? "lost" : "fine";
    if (now - this.last < SILENCE) return "fine";
    this.#asked = now;
    return "ask";
  }
}

/**
 * @typedef {object} Listener
 * @property {(events: LogEvent[]) => void} lines
 * @property {(status: Status, exitCode: number | null) => void} status
 * @property {(state: "live" | "lost" | "complete") => void} connection
 */

export class Follower {
  #stop = new AbortController();
  /** Ends the present connection. */
  #end = () => {};
  /** The WebSocket's URL. Its token works for a day. @type {string | undefined} */
  #url;
  /** @type {string | undefined} */
  #lastId;
  /** The last line before a message that was too large for a frame, of the last connection that ended so. @type {string | undefined} */
  #tooLargeAfter;
  #isStuck = false;
  #pauses = new Pauses(PAUSES.first, PAUSES.longest);
  /** Ends the present pause. */
  #wake = () => {};

  /** @param {import("../api.js").Api} api @param {string} id @param {Listener} listener */
  constructor(api, id, listener) {
    this.api = api;
    this.path = `/executions/${encodeURIComponent(id)}`;
    this.listener = listener;
  }

  /**
   * Follows the execution to the end of its log.
   * @throws {ApiError} when the API refuses to show it
   */
  async run() {
    while (!this.#stop.signal.aborted) {
      try {
        if (this.#url === undefined && (await this.#ask())) break;
        if (this.#isStuck && (await this.#askForRest())) break;
        if (await this.#watch(/** @type {string} */ (this.#url))) break;
      } catch (error) {
        if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
        // The API knows whether the execution is still there, and gives a new token.
        this.#url = undefined;
      }
      if (this.#stop.signal.aborted) return;
      this.listener.connection("lost");
      await this.#wait();
    }
    if (!this.#stop.signal.aborted) this.listener.connection("complete");
  }

  stop() {
    this.#stop.abort();
    this.#wake();
    this.#end();
  }

  /** Connects anew, because the network may have changed or the computer may have slept. */
  reconnect() {
    this.#pauses.reset();
    this.#wake();
    this.#end();
  }

  async #wait() {
    const woken = new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    await Promise.race([this.#pauses.wait(), woken]);
  }

  /** Reads the log of an execution that has ended, or learns where to follow one that has not. Returns whether the log is complete. */
  async #ask(query = "") {
    /** @type {string | undefined} */
    let path = `${this.path}/logs${query}`;
    while (path) {
      const { data, next } = await this.api.page(path, this.#stop.signal);
      const logs = /** @type {Logs} */ (data);
      if (logs.websocket_url) {
        this.#url = logs.websocket_url;
        if (query) this.#take(logs.events ?? []);
        return false;
      }
      const events = logs.events ?? [];
      // The last event of a page that is not the last is a note for clients that read no `Link` header.
      this.#take(next ? events.slice(0, -1) : events);
      path = next;
    }
    return true;
  }

  /** After two connections that ended at one place because of a message that is too large for a frame: what follows, from the API. */
  #askForRest() {
    this.#isStuck = false;
    return this.#ask(`?after=${encodeURIComponent(`e:${this.#lastId ?? "0"}`)}`);
  }

  /** @param {LogEvent[]} events */
  #take(events) {
    this.#lastId = events.at(-1)?.event_id ?? this.#lastId;
    if (events.length > 0) this.listener.lines(events);
    // The server says so of the runner's last line, and of no line that a command has printed.
    const last = events.find(({ exit_code }) => exit_code !== undefined && exit_code !== null);
    if (last) this.listener.status("RUNNING", last.exit_code ?? null);
  }

  /** Follows by WebSocket. Returns whether the log is complete, after the connection has ended. @param {string} url */
  async #watch(url) {
    const after = this.#lastId ? `&last_event_id=${encodeURIComponent(this.#lastId)}` : "";
    const socket = new WebSocket(`${url}&batch=true&status=true${after}`);
    let [isOpen, isComplete, code] = [false, false, 0];
    let end = () => {};
    const ended = new Promise((resolve) => (end = () => resolve(undefined)));
    socket.onerror = end;
    socket.onclose = (event) => {
      code = event.code;
      end();
    };
    this.#end = end;
    const heart = new Heartbeat(Date.now());
    socket.onopen = () => {
      isOpen = true;
      heart.beat(Date.now());
      this.listener.connection("live");
    };
    socket.onmessage = ({ data }) => {
      heart.beat(Date.now());
      this.#pauses.reset();
      isComplete = this.#frame(JSON.parse(data)) || isComplete;
      if (isComplete) end();
    };
    const handshake = setTimeout(() => isOpen || end(), HANDSHAKE_TIMEOUT);
    const looks = setInterval(() => {
      if (!isOpen) return;
      const life = heart.look(Date.now());
      if (life === "ask") socket.send(PING);
      // The browser would wait for an answer to the closing frame, which does not come either.
      if (life === "lost") end();
    }, LOOK_EVERY);
    const checks = this.#check(end);
    await ended;
    socket.onmessage = null;
    socket.close();
    clearTimeout(handshake);
    clearInterval(looks);
    clearInterval(checks);
    if (code === FRAME_TOO_LARGE) {
      const last = this.#lastId ?? "0";
      this.#isStuck = this.#tooLargeAfter === last;
      this.#tooLargeAfter = last;
    }
    // A refused handshake looks like any other failure; a new token mends it if the old one has expired.
    if (!isOpen) this.#url = undefined;
    return isComplete;
  }

  /** Takes in a frame. Returns whether it is the last. @param {any} frame */
  #frame(frame) {
    if (frame.type === "logs") this.#take(frame.events);
    else if (frame.type === "status") {
      this.listener.status(frame.status, frame.exit_code ?? null);
      // The command has ended, and all of its lines have come. Its task may take a minute to end.
      return frame.ending !== undefined && frame.ending !== null;
    }
    else if (frame.type === "disconnect") return frame.reason === "execution_completed";
    else if (frame.type === undefined && frame.event_id !== undefined) this.#take([frame]);
    return false;
  }

  /** Ends a connection that is dead without saying so. @param {() => void} end */
  #check(end) {
    let last = Date.now();
    /** @type {number | undefined} */
    let ended;
    let isAsking = false;
    return setInterval(async () => {
      const slept = Date.now() - last > 3 * CHECK_EVERY;
      last = Date.now();
      if (slept) return end();
      // A server that hangs is asked once.
      if (isAsking) return;
      isAsking = true;
      const { status } = await this.api.get(`${this.path}/status`, this.#stop.signal).catch(() => ({ status: "" }));
      isAsking = false;
      if (!isEnd(status)) return;
      ended ??= Date.now();
      if (Date.now() - ended > LAST_LINES) end();
    }, CHECK_EVERY);
  }
}
