/**
 * The recordings of the room, and how to get them.
 * @module
 */

import { byID, h } from './dom.js';
import { icon } from './icons.js';
import { toast } from './toast.js';
import { clock, explain, size } from './words.js';

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
    const label = { class: 'key bare', 'aria-label': `Download ${file} of ${when}`, title: 'Download' };
    const name = nameFor(this.#room.id, recording, file);
    if (!this.#room.authorized) {
      const href = this.#room.fileAddress(recording.id, file);
      return h('a', { ...label, href, download: name }, icon('download'));
    }
    return h('button', { ...label, type: 'button', onclick: () => this.#save(recording.id, file, name) }, icon('download'));
  }

  /**
   * A link cannot carry the token, so the file is fetched: straight to disk where
   * the browser lets us, through memory elsewhere.
   * @param {string} recording
   * @param {string} file
   * @param {string} name
   */
  async #save(recording, file, name) {
    try {
      const picker = /** @type {any} */ (globalThis).showSaveFilePicker;
      const target = picker ? await picker({ suggestedName: name }) : null;
      const response = await this.#room.openFile(recording, file);
      if (target) await response.body?.pipeTo(await target.createWritable());
      else saveBlob(await response.blob(), name);
      toast({ title: 'Download finished', text: name });
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') toast(explain(error), 'error');
    }
  }
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
function saveBlob(blob, name) {
  const href = URL.createObjectURL(blob);
  h('a', { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60000);
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
