/**
 * When to try again, and whether at all. No clock and no network in here.
 * @module
 */

/**
 * Exponential back-off with jitter: each delay is drawn from the upper half of
 * a window that doubles, so that a thousand clients of one restarted server do
 * not come back in step. The first one may have a window of its own, from all of
 * which it is drawn.
 */
export class Backoff {
  #attempt = 0;
  #first;
  #base;
  #cap;
  #random;

  /**
   * @param {object} [options]
   * @param {number} [options.firstMs] the window of the first delay, in milliseconds; 0: none of its own
   * @param {number} [options.baseMs] the window that doubles, in milliseconds
   * @param {number} [options.capMs] the widest window, in milliseconds
   * @param {() => number} [options.random] answers [0, 1)
   */
  constructor({ firstMs = 0, baseMs = 500, capMs = 15000, random = Math.random } = {}) {
    this.#first = firstMs;
    this.#base = baseMs;
    this.#cap = capMs;
    this.#random = random;
  }

  /** How many delays were drawn since the last reset. */
  get attempts() {
    return this.#attempt;
  }

  /**
   * The next delay, in milliseconds. What the server asked for is a lower bound:
   * the jitter comes on top of it.
   * @param {number} [retryAfterMs] from the Retry-After header; 0 for none
   * @returns {number}
   */
  next(retryAfterMs = 0) {
    const doubled = this.#attempt - (this.#first > 0 ? 1 : 0);
    const window = Math.min(this.#cap, this.#base * 2 ** doubled);
    this.#attempt += 1;
    const delay = doubled < 0 ? this.#first * this.#random() : window * (0.5 + this.#random() / 2);
    return retryAfterMs > 0 ? retryAfterMs + delay : delay;
  }

  /** Starts again from the first window: something worked. */
  reset() {
    this.#attempt = 0;
  }
}

/** How long a room that is gone or full is waited for after a lost session. */
export const PATIENCE_MS = 30000;

/**
 * Whether a failed attempt to get back into a room is worth another one. A
 * server that cannot be reached or is overloaded always is; a refusal never is,
 * except that a room may be gone or full for a moment, while its node restarts
 * or the seat of the lost session has not been cleared.
 * @param {{status?: number}} error
 * @param {number} elapsedMs since the session was lost
 * @returns {boolean}
 */
export function worthRetrying(error, elapsedMs) {
  const status = error.status ?? 0;
  if (status === 0 || status >= 500 || status === 408 || status === 425 || status === 429) {
    return status !== 501;
  }
  return [404, 409, 410, 421].includes(status) && elapsedMs < PATIENCE_MS;
}

/**
 * Waits, but not longer than until signal aborts or somebody calls the function
 * that hurry is given.
 * @param {number} ms
 * @param {AbortSignal} signal rejects with its reason
 * @param {(wake: () => void) => (() => void)} [hurry] subscribes, answers how to unsubscribe
 * @returns {Promise<void>}
 */
export function pause(ms, signal, hurry) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    let settled = false;
    /** @type {(() => void) | undefined} */
    let unsubscribe;
    const settle = (/** @type {() => void} */ then) => {
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      unsubscribe?.();
      then();
    };
    const stop = () => settle(() => reject(signal.reason));
    const timer = setTimeout(() => settle(resolve), ms);
    signal.addEventListener('abort', stop);
    unsubscribe = hurry?.(() => settle(resolve));
    if (settled) unsubscribe?.(); // it was woken while it subscribed
  });
}
