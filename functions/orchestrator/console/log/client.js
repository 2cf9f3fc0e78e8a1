/** Starts the worker that holds a log, and ends it when it no longer answers, as some regular expressions make it. */

/** @typedef {import("./worker.js").Answer} Answer @typedef {import("./worker.js").Request} Request */

/** The pause between two requests for a sign of life of the worker while a regular expression is searched, in milliseconds. */
const ASK_EVERY = 500;
/** The longest time that the worker may be without one, in milliseconds. Matching a batch of lines takes a hundredth of that. */
const ANSWER_TIMEOUT = 5000;

const WORKER = new URL("worker.js", import.meta.url).href;

/**
 * Browsers with Trusted Types start only scripts that a policy names: here the worker, and nothing else.
 * @type {{createScriptURL: (url: string) => string} | undefined}
 */
const scripts = /** @type {any} */ (window).trustedTypes?.createPolicy("runvoy", {
  createScriptURL: (/** @type {string} */ url) => (url === WORKER ? url : ""),
});

/**
 * Counts how long something that is asked at regular times has not answered. Only times that pass as expected count: a computer
 * that slept, or a tab that the browser held back, has not waited.
 */
export class Watch {
  #waited = 0;
  #last = 0;

  /** @param {number} every milliseconds between two questions @param {number} limit milliseconds */
  constructor(every, limit) {
    this.every = every;
    this.limit = limit;
  }

  answered() {
    this.#waited = 0;
  }

  /** To be called with each question. Returns whether the answer is overdue. @param {number} now milliseconds */
  ask(now) {
    const passed = now - this.#last;
    this.#last = now;
    this.#waited = passed > 3 * this.every ? 0 : this.#waited + passed;
    return this.#waited >= this.limit;
  }
}

/**
 * @typedef {object} Listener
 * @property {(answer: Answer) => void} take
 * @property {() => void} failed called when the worker does not start
 * @property {() => void} restarted called when a search has made the worker useless, and another one receives the log
 */

export class LogWorker {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #watch = new Watch(ASK_EVERY, ANSWER_TIMEOUT);

  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    this.worker = this.#start();
  }

  #start() {
    const worker = new Worker(scripts?.createScriptURL(WORKER) ?? WORKER, { type: "module" });
    worker.onmessage = ({ data }) => {
      this.#watch.answered();
      if (data.type !== "alive") this.listener.take(data);
    };
    worker.onerror = () => this.listener.failed();
    return worker;
  }

  /** @param {Request} request */
  ask(request) {
    if (request.type === "find") this.#guard(request.query?.isRegExp ?? false);
    this.worker.postMessage(request);
  }

  /** Watches as long as lines are matched with a regular expression: those that are there, in view, and to come. @param {boolean} isOn */
  #guard(isOn) {
    clearInterval(this.#timer);
    if (!isOn) return;
    this.#watch = new Watch(ASK_EVERY, ANSWER_TIMEOUT);
    this.#timer = setInterval(() => {
      if (this.#watch.ask(performance.now())) this.#restart();
      else this.worker.postMessage({ type: "live?" });
    }, ASK_EVERY);
  }

  #restart() {
    this.end();
    this.worker = this.#start();
    this.listener.restarted();
  }

  end() {
    clearInterval(this.#timer);
    this.worker.terminate();
  }
}
