/**
 * Where a log is scrolled to. Browsers limit the height of an element, so a log with more rows than fit is shown in a shorter one.
 * Then small movements move the log by as many pixels, as everywhere, and large ones (the scrollbar is dragged) in proportion.
 */

/** The greatest height that all browsers draw correctly, in pixels. */
const MAX_HEIGHT = 15_000_000;

export class Scroll {
  #viewport = 0;
  #total = 0;
  #scrollTop = 0;
  /** Pixels of the log above the viewport. */
  top = 0;

  /** @param {number} [maxHeight] */
  constructor(maxHeight = MAX_HEIGHT) {
    this.maxHeight = maxHeight;
  }

  /** @param {number} total height of the whole log @param {number} viewport height of what is in view */
  resize(total, viewport) {
    this.#total = total;
    this.#viewport = viewport;
    this.top = Math.min(this.top, this.end);
  }

  /** Where the log is scrolled to when its end is in view. */
  get end() {
    return Math.max(0, this.#total - this.#viewport);
  }

  /** Where the element was last known to be scrolled to. */
  get settled() {
    return this.#scrollTop;
  }

  /** The height of the element. */
  get height() {
    return Math.min(this.#total, this.maxHeight);
  }

  get #scrollEnd() {
    return Math.max(0, this.height - this.#viewport);
  }

  get isShortened() {
    return this.#total > this.maxHeight;
  }

  /** The element has been scrolled. @param {number} scrollTop */
  scrolled(scrollTop) {
    const moved = scrollTop - this.#scrollTop;
    this.#scrollTop = scrollTop;
    if (!this.isShortened) this.top = scrollTop;
    else if (scrollTop <= 0) this.top = 0;
    else if (scrollTop >= this.#scrollEnd - 1) this.top = this.end;
    else if (Math.abs(moved) <= 2 * this.#viewport) this.top += moved;
    else this.top = (scrollTop / this.#scrollEnd) * this.end;
    this.top = Math.min(Math.max(0, this.top), this.end);
  }

  /** Moves the log. Returns where the element has to be scrolled to. @param {number} top */
  moveTo(top) {
    this.top = Math.min(Math.max(0, top), this.end);
    return this.settle();
  }

  /** Where the element has to be scrolled to, so that the scrollbar is in the place of `top` again. */
  settle() {
    this.#scrollTop = this.isShortened ? (this.top / this.end) * this.#scrollEnd : this.top;
    return this.#scrollTop;
  }
}
