/**
 * What arrives: bit rate, picture, delay, loss.
 * @module
 */

import { byID, h } from './dom.js';

/** @typedef {import('../tutti.js').StreamStats} StreamStats */

const NS = 'http://www.w3.org/2000/svg';
/** Seconds that the curve shows. */
const CURVE_S = 60;

const FACTS = [
  { id: 'kbps', title: 'Bit rate', why: 'Sound and picture that arrive here, without the network’s own headers.' },
  { id: 'size', title: 'Picture', why: 'The one picture of the whole room, as it is decoded here.' },
  { id: 'fps', title: 'Pictures per second', why: 'Decoded during the last second. A room in which nothing moves sends fewer.' },
  { id: 'delay', title: 'Delay', why: 'From the server to you: half of the round trip on the network, and the time that your browser holds sound and picture back to play them evenly. What the speaker’s own side and the mixing add is not in it.' },
  { id: 'loss', title: 'Loss', why: 'Packets of the last second that never came. A little is repaired without being heard.' },
  { id: 'sent', title: 'You send', why: 'What leaves this device: your camera and your voice.' },
];

/**
 * @param {number | null} value
 * @param {number} [digits]
 */
function number(value, digits = 0) {
  return value === null ? '–' : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/**
 * The facts as text, by their identifiers.
 * @param {StreamStats} s
 * @returns {Record<string, {value: string, unit: string, more: string}>}
 */
export function describe(s) {
  return {
    kbps: { value: number(s.kbps), unit: 'kbit/s', more: `sound ${number(s.audioKbps)} · picture ${number(s.videoKbps)}` },
    size: { value: s.width && s.height ? `${s.width} × ${s.height}` : '–', unit: '', more: '' },
    fps: { value: number(s.fps), unit: 'fps', more: '' },
    delay: {
      value: number(s.delayMs), unit: 'ms',
      more: s.delayMs === null ? '' : `buffer ${number(s.bufferMs)} · network ${number(s.rttMs === null ? null : s.rttMs / 2)}`,
    },
    loss: { value: number(s.lossPercent, 1), unit: '%', more: '' },
    sent: { value: number(s.sentKbps), unit: 'kbit/s', more: '' },
  };
}

/** The stream's facts of one room. */
export class FactsView {
  /** @type {number[]} */
  #history = [];
  #curve = document.createElementNS(NS, 'polyline');

  /**
   * @param {import('../tutti.js').Room} room
   * @param {AbortSignal} signal ends everything
   */
  constructor(room, signal) {
    byID('facts').replaceChildren(...FACTS.map((fact) => this.#card(fact)));
    byID('facts-short').textContent = '…';
    byID('facts-delay').textContent = '';
    room.addEventListener('joined', () => { byID('fact-sent').hidden = room.watching; }, { signal });
    room.addEventListener('stats', (/** @type {any} */ { detail }) => this.#show(detail), { signal });
  }

  /** @param {{id: string, title: string, why: string}} fact */
  #card({ id, title, why }) {
    const card = h('details', { class: 'fact', id: `fact-${id}`, title: why },
      h('summary', { 'aria-label': `${title}; open for an explanation` },
        h('span', { class: 'fact-title' }, title),
        h('span', { class: 'fact-value' }, h('b', {}, '–'), h('small', {})),
        h('span', { class: 'fact-more' })),
      h('p', {}, why));
    if (id === 'kbps') card.querySelector('summary')?.append(this.#drawing());
    return card;
  }

  #drawing() {
    const svg = document.createElementNS(NS, 'svg');
    svg.setAttribute('viewBox', `0 0 ${CURVE_S - 1} 20`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    svg.classList.add('curve');
    svg.append(this.#curve);
    return svg;
  }

  /** @param {StreamStats} stats */
  #show(stats) {
    for (const [id, { value, unit, more }] of Object.entries(describe(stats))) {
      const card = byID(`fact-${id}`);
      card.querySelector('b').textContent = value;
      card.querySelector('small').textContent = unit;
      card.querySelector('.fact-more').textContent = more;
      card.querySelector('summary').setAttribute('aria-label',
        `${card.querySelector('.fact-title').textContent} ${value} ${unit}. Open for an explanation.`);
    }
    this.#draw(stats.kbps);
    byID('facts-short').textContent = shortRate(stats);
    byID('facts-delay').textContent = stats.delayMs === null ? '' : `${Math.round(stats.delayMs)} ms`;
  }

  /** @param {number} kbps */
  #draw(kbps) {
    this.#history = [...this.#history, kbps].slice(-CURVE_S);
    const most = Math.max(...this.#history, 100);
    const from = CURVE_S - this.#history.length;
    this.#curve.setAttribute('points',
      this.#history.map((v, i) => `${from + i},${(19 - (17 * v) / most).toFixed(1)}`).join(' '));
  }
}

/** @param {StreamStats} s */
function shortRate(s) {
  return s.kbps >= 1000 ? `${(s.kbps / 1000).toFixed(1)} Mbit/s` : `${Math.round(s.kbps)} kbit/s`;
}
