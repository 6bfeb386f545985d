/**
 * The recordings of the room, and how to get them.
 * @module
 */

import { byID, h } from './dom.js';
import { icon } from './icons.js';
import { clock, size } from './words.js';

/** @typedef {import('../tutti.js').Recording} Recording */

/** @type {Record<string, string>} */
const STATES = {
  starting: 'Starting…',
  active: 'Recording now',
  paused: 'Paused',
  ending: 'Being finished…',
  failed: 'Failed',
};

/** The list of recordings of one room. */
export class RecordingsView {
  #room;

  /** @param {import('../tutti.js').Room} room */
  constructor(room) {
    this.#room = room;
    this.show([]);
  }

  /** @param {Recording[]} recordings */
  show(recordings) {
    const newest = [...recordings].sort((a, b) => b.started_at.localeCompare(a.started_at));
    byID('recordings-list').replaceChildren(...newest.map((r) => this.#row(r)));
    byID('recordings-empty').hidden = newest.length > 0;
  }

  /** @param {Recording} recording */
  #row(recording) {
    const started = new Date(recording.started_at);
    const when = started.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
    const facts = STATES[recording.state] ?? `${clock(recording.duration_s)} · ${size(recording.bytes)}`;
    const files = STATES[recording.state] ? [] : recording.files ?? [];
    return h('li', { 'data-state': recording.state },
      h('span', { class: 'reel', 'aria-hidden': 'true' }, icon('record')),
      h('span', { class: 'who' }, h('span', { class: 'name' }, when), h('span', { class: 'doing' }, facts)),
      ...files.map((file) => this.#download(recording, file.name, when)));
  }

  /**
   * @param {Recording} recording
   * @param {string} file
   * @param {string} when
   */
  #download(recording, file, when) {
    const name = nameFor(this.#room.id, recording, file);
    return h('button', {
      class: 'key bare', type: 'button', title: 'Download', 'aria-label': `Download ${file} of ${when}`,
      onclick: () => h('a', { href: this.#room.fileLink(recording.id, file), download: name }).click(),
    }, icon('download'));
  }
}

/**
 * @param {string} room
 * @param {Recording} recording
 * @param {string} file
 * @returns {string} such as demo-2026-11-22-1857.webm
 */
export function nameFor(room, recording, file) {
  const when = recording.started_at.slice(0, 16).replace('T', '-').replaceAll(':', '');
  const dot = file.lastIndexOf('.');
  return `${room}-${when}${dot < 0 ? '' : file.slice(dot)}`;
}
