/** Waits between tries, longer each time, and between looks, so that a server that is down, overloaded or hangs is not asked without end. */

/** @param {number} milliseconds @param {AbortSignal} [signal] */
export const pause = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

/**
 * Looks at something again and again until the signal ends it. While one look goes on, as with a server that hangs, no other begins.
 * @param {number} milliseconds from the beginning of a look to the next @param {AbortSignal} left @param {() => Promise<unknown>} look tells itself why it fails
 * @param {Promise<unknown>} [first] a look that goes on already
 */
export function lookEvery(milliseconds, left, look, first) {
  let isLooking = false;
  /** @param {Promise<unknown>} looking */
  async function waitFor(looking) {
    isLooking = true;
    await looking.catch(() => {});
    isLooking = false;
  }
  if (first) waitFor(first);
  const timer = setInterval(() => isLooking || waitFor(look()), milliseconds);
  left.addEventListener("abort", () => clearInterval(timer));
}

export class Pauses {
  #next;

  /**
   * @param {number} first the first pause at most, in milliseconds @param {number} longest the longest
   * @param {{random?: () => number, wait?: typeof pause}} [by] chance and the clock, which a test replaces
   */
  constructor(first, longest, { random = Math.random, wait = pause } = {}) {
    this.first = this.#next = first;
    this.longest = longest;
    this.random = random;
    this.pause = wait;
  }

  /**
   * Waits, and makes the next pause twice as long. Up to a half of each is left to chance, so that those who lost the same server do not all
   * come back at once. @param {AbortSignal} [signal] ends the wait with an error
   */
  async wait(signal) {
    const milliseconds = this.#next * (0.5 + this.random() / 2);
    this.#next = Math.min(this.#next * 2, this.longest);
    await this.pause(milliseconds, signal);
  }

  /** Begins with the first pause again: the last try has succeeded. */
  reset() {
    this.#next = this.first;
  }
}
