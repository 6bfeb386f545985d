/**
 * What can be asked of a room whether or not one is in it.
 * @module
 */

import { Rest } from './rest.js';

/** @typedef {import('../types.js').Layout} Layout */
/** @typedef {import('../types.js').Participant} Participant */
/** @typedef {import('../types.js').Recording} Recording */

/** The resources below /v1/rooms/{room}. All calls throw TuttiError. */
export class RoomResources extends EventTarget {
  #room;
  #token;

  /** Requests with the room's token; for the classes built on this one. */
  rest;

  /**
   * @param {string} room
   * @param {string} token
   * @param {string} url
   */
  constructor(room, token, url) {
    super();
    this.#room = room;
    this.#token = token;
    this.rest = new Rest(url, token);
  }

  /** Identifier of the room. */
  get id() { return this.#room; }

  /** Whether a token is sent. */
  get authorized() { return this.#token !== ''; }

  /**
   * The path of a resource of the room.
   * @param {string[]} parts
   */
  at(...parts) {
    return ['/v1/rooms', ...[this.#room, ...parts].map(encodeURIComponent)].join('/');
  }

  /**
   * Who is there now.
   * @returns {Promise<Participant[]>}
   */
  listParticipants() { return this.rest.list(this.at('participants'), 'participants'); }

  /** @returns {Promise<Layout>} */
  getLayout() { return this.rest.json('GET', this.at('layout')); }

  /**
   * Changes the layout for everybody.
   * @param {Layout | string} layout its name alone will do
   * @returns {Promise<Layout>}
   */
  setLayout(layout) {
    return this.rest.json('PUT', this.at('layout'), typeof layout === 'string' ? { name: layout } : layout);
  }

  /**
   * Starts a recording; answers when its first frame has been taken.
   * @param {{format?: string, audio_only?: boolean}} [options]
   * @returns {Promise<Recording>}
   */
  startRecording(options = {}) {
    return this.rest.json('POST', this.at('recordings'), { format: 'webm', ...options });
  }

  /**
   * Ends a recording; answers when its file is complete.
   * @param {string} recording
   * @returns {Promise<Recording>}
   */
  stopRecording(recording) { return this.rest.merge(this.at('recordings', recording), { state: 'ending' }); }

  /** @returns {Promise<Recording[]>} */
  listRecordings() { return this.rest.list(this.at('recordings'), 'recordings'); }

  /**
   * Removes a finished recording and its files.
   * @param {string} recording
   */
  async deleteRecording(recording) { await this.rest.send('DELETE', this.at('recordings', recording)); }

  /**
   * A link to download a recorded file by. A link cannot carry a header, so the
   * token stands in it: make it when it is used, and do not show it.
   * @param {string} recording
   * @param {string} file
   */
  fileLink(recording, file) {
    const link = new URL(this.rest.address(this.at('recordings', recording, 'files', file)));
    if (this.#token) link.searchParams.set('access_token', this.#token);
    return link.href;
  }
}
