/**
 * One node as a card. It is made once and changed after, so that what is open
 * stays open.
 * @module
 */

import { h } from './dom.js';
import { icon } from './icons.js';
import { count, doing, loadOf, stateWord } from './nodewords.js';

/** @typedef {import('./nodewords.js').NodeInfo} NodeInfo */

/**
 * @typedef {object} RoomInfo
 * @property {string} id
 * @property {string} [tenant]
 * @property {string} [kind]
 * @property {string} [purpose]
 * @property {number} participants
 */

/** The most rooms that a card lists. */
const MOST_ROOMS = 100;

/** The card of a node. */
export class NodeCard {
  #state = h('span', { class: 'node-state' });
  #about = h('p', { class: 'node-about soft' });
  #labels = h('ul', { class: 'labels', 'aria-label': 'Labels' });
  #rooms = h('dd');
  #people = h('dd');
  #percent = h('span');
  #cores = h('span', { class: 'soft' });
  #bar = h('div', { class: 'load-bar', role: 'meter', 'aria-label': 'CPU', 'aria-valuemin': 0, 'aria-valuemax': 100 }, h('i'));
  #load = h('div', { class: 'load' }, h('p', {}, this.#percent, this.#cores), this.#bar);
  #doing = h('p', { class: 'node-doing', role: 'status' });
  #key;
  #listTitle = h('span');
  #list = h('ul');
  /** @type {HTMLDetailsElement} */
  #details;

  /** The element to show. */
  element;

  /**
   * @param {string} id
   * @param {boolean} open whether its rooms are to be seen from the beginning
   * @param {object} on
   * @param {() => void} on.change the operator wants another state
   * @param {() => void} on.open its rooms are to be seen
   */
  constructor(id, open, on) {
    this.#key = /** @type {HTMLButtonElement} */ (h('button', { type: 'button', class: 'button small-button', onclick: on.change }));
    this.#details = /** @type {HTMLDetailsElement} */ (h('details', { class: 'node-rooms', open, ontoggle: () => this.open && on.open() },
      h('summary', {}, this.#listTitle, icon('down')), this.#list));
    this.element = h('li', { class: 'node' },
      h('div', { class: 'node-top' }, h('h2', {}, id), this.#state), this.#about, this.#labels,
      h('dl', { class: 'figures' },
        h('div', {}, h('dt', {}, 'Rooms'), this.#rooms), h('div', {}, h('dt', {}, 'People'), this.#people)),
      this.#load, this.#doing, this.#details, this.#key);
  }

  /** Whether its rooms are to be seen. */
  get open() { return this.#details.open && !this.#details.hidden; }

  /**
   * @param {NodeInfo} node
   * @param {NodeInfo[]} nodes all of them
   */
  show(node, nodes) {
    this.element.dataset.state = node.state;
    this.#state.textContent = stateWord(node);
    this.#about.textContent = [node.address, node.version].filter(Boolean).join(' · ');
    const labels = Object.entries(node.labels ?? {}).sort().map(([name, value]) => `${name}: ${value}`);
    if (labels.join() !== [...this.#labels.children].map((c) => c.textContent).join()) {
      this.#labels.replaceChildren(...labels.map((text) => h('li', {}, text)));
    }
    this.#rooms.textContent = node.rooms.toLocaleString('en');
    this.#people.textContent = node.participants.toLocaleString('en');
    this.#doing.textContent = doing(node, nodes);
    this.#showLoad(node);
    this.#details.hidden = node.rooms === 0;
    this.#listTitle.textContent = count(node.rooms, 'room', 'rooms');
    this.#key.hidden = node.state === 'dead';
    this.#key.textContent = node.state === 'draining' ? 'Take back' : 'Drain';
  }

  /** @param {NodeInfo} node */
  #showLoad(node) {
    const load = node.state === 'dead' ? null : loadOf(node);
    this.#load.hidden = load === null;
    if (!load) return;
    this.#percent.textContent = `CPU ${load.percent}`;
    this.#cores.textContent = load.cores;
    this.#bar.classList.toggle('hot', load.hot);
    this.#bar.style.setProperty('--share', String(load.share));
    this.#bar.setAttribute('aria-valuenow', String(Math.round(load.share * 100)));
  }

  /** @param {RoomInfo[]} rooms */
  showRooms(rooms) {
    const rows = rooms.slice(0, MOST_ROOMS).map((room) => h('li', {},
      h('a', { href: `./?room=${encodeURIComponent(room.id)}` }, room.id),
      h('span', {}, [room.tenant, room.kind, room.purpose].filter(Boolean).join(' · ')),
      h('span', {}, count(room.participants, 'person', 'people'))));
    if (rooms.length > MOST_ROOMS) rows.push(h('li', { class: 'more' }, `and ${rooms.length - MOST_ROOMS} more`));
    if (this.#list.textContent === rows.map((row) => row.textContent).join('')) return; // a link keeps its focus
    this.#list.replaceChildren(...rows);
  }

  /** @param {boolean} busy */
  set busy(busy) {
    this.#key.disabled = busy;
    this.#key.classList.toggle('busy', busy);
  }
}
