/**
 * Who is in the room, and who speaks.
 * @module
 */

import { byID, h, paintAvatar } from './dom.js';
import { icon } from './icons.js';

/** What counts as silence and as loud in the level of a person, in dBov. */
const QUIET_DBOV = -60;
const LOUD_DBOV = -15;

/** @typedef {import('../tutti.js').Participant} Participant */

/** The list of people of one room. */
export class PeopleView {
  #room;
  #speaker = '';
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {import('../tutti.js').Room} room
   * @param {AbortSignal} signal ends everything
   */
  constructor(room, signal) {
    this.#room = room;
    byID('people-list').replaceChildren();
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ f) =>
      room.addEventListener(type, (/** @type {any} */ event) => f(event.detail), { signal });
    on('participants', ({ participants }) => this.#show(participants));
    on('speaker', ({ participant }) => {
      this.#speaker = participant?.id ?? '';
      this.#show(room.participants);
    });
    on('muted', () => this.#show(room.participants));
  }

  /** @param {Participant[]} participants */
  #show(participants) {
    const present = participants.filter((p) => p.state !== 'left').sort(byPresence);
    const ids = new Set(present.map((p) => p.id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    present.forEach((p, at) => this.#place(p, at));
    byID('people-count').textContent = String(present.length);
    byID('people-empty').hidden = present.length > 0;
  }

  /**
   * @param {Participant} person
   * @param {number} at
   */
  #place(person, at) {
    const list = byID('people-list');
    let row = this.#rows.get(person.id);
    if (!row) {
      row = newRow();
      this.#rows.set(person.id, row);
    }
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
    this.#paint(row, person);
  }

  /**
   * @param {HTMLElement} row
   * @param {Participant} person
   */
  #paint(row, person) {
    const own = person.id === this.#room.participant;
    const name = nameOf(person);
    const muted = own ? this.#room.muted('audio') : person.audio?.muted ?? true;
    const dark = own ? this.#room.muted('video') : person.video?.muted ?? true;
    const speaks = !muted && (person.audio?.speaking || person.id === this.#speaker);
    const avatar = /** @type {HTMLElement} */ (row.querySelector('.avatar'));
    paintAvatar(avatar, name);
    row.classList.toggle('speaking', Boolean(speaks));
    row.style.setProperty('--level', String(muted ? 0 : levelOf(person.audio?.level_dbov)));
    part(row, '.name').textContent = name;
    part(row, '.you').hidden = !own;
    part(row, '.doing').textContent = doing(person, Boolean(speaks));
    part(row, '.no-mic').hidden = person.role === 'viewer' || !muted;
    part(row, '.lamps').hidden = !person.audio;
    part(row, '.no-camera').hidden = person.role === 'viewer' || !dark;
  }
}

/**
 * Whoever gives no name is listed by the server under the beginning of an
 * identifier, which tells people nothing.
 * @param {Participant} person
 * @returns {string}
 */
export function nameOf(person) {
  if (person.name && !person.id.startsWith(person.name)) return person.name;
  return person.role === 'viewer' ? 'A viewer' : 'Somebody';
}

/** @returns {HTMLElement} */
function newRow() {
  const mute = h('span', { class: 'no-mic', title: 'Microphone off' }, icon('mic-off'));
  const dark = h('span', { class: 'no-camera', title: 'Camera off' }, icon('camera-off'));
  mute.append(h('span', { class: 'unseen' }, 'Microphone off'));
  dark.append(h('span', { class: 'unseen' }, 'Camera off'));
  return h('li', {},
    h('span', { class: 'avatar', 'aria-hidden': 'true' }),
    h('span', { class: 'who' },
      h('span', { class: 'line' }, h('span', { class: 'name' }), h('span', { class: 'you' }, 'you')),
      h('span', { class: 'doing' })),
    dark, mute,
    h('span', { class: 'lamps', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')));
}

/**
 * @param {Element} row
 * @param {string} selector
 * @returns {HTMLElement}
 */
function part(row, selector) {
  return /** @type {HTMLElement} */ (row.querySelector(selector));
}

/**
 * @param {Participant} person
 * @param {boolean} speaks
 */
function doing(person, speaks) {
  if (speaks) return 'Speaking';
  if (person.state === 'joining') return 'Coming in…';
  if (person.role === 'viewer') return 'Watching';
  if (person.role === 'publisher') return 'Sending only';
  return '';
}

/**
 * @param {number | undefined} dbov
 * @returns {number} 0 to 1
 */
export function levelOf(dbov) {
  if (dbov === undefined || dbov === null) return 0;
  return Math.min(1, Math.max(0, (dbov - QUIET_DBOV) / (LOUD_DBOV - QUIET_DBOV)));
}

/**
 * Viewers last, everybody else in order of coming, so that the list stays calm.
 * @param {Participant} a
 * @param {Participant} b
 */
function byPresence(a, b) {
  const viewers = Number(a.role === 'viewer') - Number(b.role === 'viewer');
  return viewers || a.joined_at.localeCompare(b.joined_at) || a.id.localeCompare(b.id);
}
