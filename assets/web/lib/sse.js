/**
 * Server-sent events over fetch: unlike EventSource it can send an
 * Authorization header.
 * @module
 */

import { Backoff, pause } from './retry.js';
import { TuttiError } from './rest.js';

/**
 * One event as it came.
 * @typedef {object} ServerEvent
 * @property {string} id the last identifier seen, which resumes the stream
 * @property {string} type "message" where the stream names none
 * @property {string} data
 */

/** Cuts a text/event-stream into events (WHATWG HTML, section 9.2.6). */
export class EventParser {
  #rest = '';
  #first = true;
  #type = '';
  /** @type {string[]} */
  #data = [];

  /** The last identifier seen. */
  lastID = '';
  /** What the server wants waited before a new connection, in milliseconds; 0: it did not say. */
  retryMs = 0;

  /**
   * @param {string} text the next piece, cut anywhere
   * @returns {ServerEvent[]} the events that it completed
   */
  push(text) {
    let buffer = this.#rest + text;
    if (this.#first && buffer !== '') {
      this.#first = false;
      if (buffer.startsWith('\uFEFF')) buffer = buffer.slice(1);
    }
    // A final CR may be the first half of a CRLF: it waits for what follows.
    const held = buffer.endsWith('\r') ? '\r' : '';
    const lines = buffer.slice(0, buffer.length - held.length).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() + held;
    return lines.flatMap((line) => this.#line(line));
  }

  /**
   * @param {string} line
   * @returns {ServerEvent[]}
   */
  #line(line) {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.#type = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.lastID = value;
    else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
    return [];
  }

  /** @returns {ServerEvent[]} */
  #dispatch() {
    const event = { id: this.lastID, type: this.#type || 'message', data: this.#data.join('\n') };
    const empty = this.#data.length === 0;
    this.#type = '';
    this.#data = [];
    return empty ? [] : [event];
  }
}

/** A stream that is silent for so long is taken for dead and opened again. */
const IDLE_MS = 60000;

/** Keeps a stream of events open, resumes it, and backs off when it fails. */
export class EventFeed {
  #rest;
  #path;
  #on;
  #lastID = '';
  #life = new AbortController();
  #backoff = new Backoff();

  /**
   * @param {import('./rest.js').Rest} rest
   * @param {string} path
   * @param {object} on
   * @param {(event: ServerEvent) => void} on.event
   * @param {() => void} on.open each time that the stream is (again) open
   * @param {(error: unknown) => void} on.lost each time that it is not
   * @param {(error: TuttiError) => void} on.refused the server will not have us; the feed is over
   */
  constructor(rest, path, on) {
    this.#rest = rest;
    this.#path = path;
    this.#on = on;
    this.#run().catch(() => {}); // ends by close() alone
  }

  /** Ends the stream for good. */
  close() {
    this.#life.abort();
  }

  async #run() {
    const { signal } = this.#life;
    while (!signal.aborted) {
      let wait = 0;
      try {
        wait = await this.#once();
        this.#on.lost(null);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof TuttiError && [401, 403, 405, 501].includes(error.status)) {
          this.#on.refused(error);
          return;
        }
        this.#on.lost(error);
        wait = error instanceof TuttiError ? error.retryAfterMs : 0;
      }
      await pause(this.#backoff.next(wait), signal);
    }
  }

  /** @returns {Promise<number>} the wait that the server asked for, in milliseconds */
  async #once() {
    const once = new AbortController();
    const stop = () => once.abort();
    this.#life.signal.addEventListener('abort', stop);
    let idle = setTimeout(stop, IDLE_MS);
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: 'text/event-stream' };
      if (this.#lastID) headers['Last-Event-ID'] = this.#lastID;
      const response = await this.#rest.send('GET', this.#path, { headers, signal: once.signal });
      this.#on.open();
      return await this.#read(response, () => {
        clearTimeout(idle);
        idle = setTimeout(stop, IDLE_MS);
      });
    } finally {
      clearTimeout(idle);
      this.#life.signal.removeEventListener('abort', stop);
      once.abort();
    }
  }

  /**
   * @param {Response} response
   * @param {() => void} alive
   * @returns {Promise<number>}
   */
  async #read(response, alive) {
    const parser = new EventParser();
    parser.lastID = this.#lastID;
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const chunk = await reader?.read();
      if (!chunk || chunk.done) return parser.retryMs;
      alive();
      this.#backoff.reset();
      for (const event of parser.push(chunk.value)) {
        this.#lastID = event.id;
        this.#on.event(event);
      }
    }
  }
}
