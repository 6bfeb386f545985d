/**
 * A planned move of a room to another node, as one client goes along: it is
 * there before it leaves here.
 * @module
 */

import { pause } from './retry.js';

/** @typedef {import('./session.js').Session} Session */

/** What a server may ask for at most, in milliseconds: it keeps the old half for seconds only. */
const LONGEST_MS = 10000;

/** One move, from the event that tells it until the new session is to be played. */
export class Move {
  #joinWithinMs;
  #leaveAfterMs;
  #random;
  /** @type {Set<() => void>} */
  #wakes = new Set();
  #failed = new AbortController();
  /** @type {Session | null} */
  #session = null;

  /**
   * @param {{join_within_ms?: number, leave_after_ms?: number}} [asked] as the event says
   * @param {() => number} [random] answers [0, 1)
   */
  constructor(asked = {}, random = Math.random) {
    this.#joinWithinMs = bounded(asked.join_within_ms);
    this.#leaveAfterMs = bounded(asked.leave_after_ms);
    this.#random = random;
  }

  /** The session on the new node, once media can flow there. */
  get session() { return this.#session; }

  /**
   * Opens the new session at a random time within the first window and answers
   * it when it is to be played: when it is connected and everybody has had the time
   * to be there. It is closed where that fails.
   * @param {(signal: AbortSignal) => Promise<Session>} open
   * @param {AbortSignal} signal ends it
   * @returns {Promise<Session>}
   */
  async run(open, signal) {
    const either = AbortSignal.any([signal, this.#failed.signal]);
    const due = pause(this.#leaveAfterMs, either, this.#hurry);
    due.catch(() => {}); // waited for below, where it gets that far
    await pause(this.#random() * this.#joinWithinMs, either, this.#hurry);
    this.#session = await open(either);
    try {
      await due;
    } catch (error) {
      this.#session.close();
      throw error;
    }
    return this.#session;
  }

  /** The old session is no more: nothing is waited for but the new one. */
  hurry() {
    for (const wake of [...this.#wakes]) wake();
  }

  /**
   * The new session is no more.
   * @param {unknown} why
   */
  fail(why) {
    this.#failed.abort(why);
  }

  #hurry = (/** @type {() => void} */ wake) => {
    this.#wakes.add(wake);
    return () => { this.#wakes.delete(wake); };
  };
}

/** @param {unknown} ms */
function bounded(ms) {
  const n = Number(ms);
  return n > 0 ? Math.min(n, LONGEST_MS) : 0;
}
