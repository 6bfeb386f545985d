/**
 * Short notes at the edge of the page.
 * @module
 */

import { byID, h } from './dom.js';
import { icon } from './icons.js';

const STAY_MS = { info: 5000, error: 10000 };
const MOST = 3;

/**
 * @param {import('./words.js').Words} words
 * @param {'info' | 'error'} [kind]
 */
export function toast({ title, text }, kind = 'info') {
  const box = byID('toasts');
  for (const old of box.children) {
    if (old.querySelector('strong')?.textContent === title) old.remove();
  }
  const close = h('button', { type: 'button', class: 'key bare', 'aria-label': 'Dismiss' }, icon('close'));
  const note = h('div', { class: `toast ${kind}`, role: kind === 'error' ? 'alert' : 'status' },
    icon(kind === 'error' ? 'alert' : 'check'),
    h('p', {}, h('strong', {}, title), text ? h('span', {}, text) : null),
    close);
  const timer = setTimeout(() => note.remove(), STAY_MS[kind]);
  close.addEventListener('click', () => {
    clearTimeout(timer);
    note.remove();
  });
  box.append(note);
  while (box.children.length > MOST) box.firstElementChild?.remove();
}
