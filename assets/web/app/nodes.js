/**
 * The operator's page: the nodes, looked at every other second.
 * @module
 */

import { Rest, TuttiError } from '../lib/rest.js';
import { byID, h } from './dom.js';
import { drawIcons } from './icons.js';
import { NodeCard } from './nodecard.js';
import { question, summary } from './nodewords.js';
import { readParams } from './params.js';
import { toast } from './toast.js';
import { explain } from './words.js';

/** @typedef {import('./nodewords.js').NodeInfo} NodeInfo */

/** The time between two looks, in milliseconds. */
const LOOK_MS = 2000;
/** Up to so many nodes show their rooms from the beginning. */
const OPEN_NODES = 4;

const rest = new Rest(location.href, readParams().token);
/** @type {Map<string, NodeCard>} */
const cards = new Map();
/** @type {NodeInfo[]} */
let nodes = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** Counts the looks: an answer to one that was overtaken is not shown. */
let turn = 0;

/** Looks at once, and every other second from then on. */
async function look() {
  clearTimeout(timer);
  turn += 1;
  const mine = turn;
  try {
    const list = await rest.list('/v1/nodes', 'nodes');
    if (mine !== turn) return;
    show(list);
    await showRooms();
    if (mine === turn) tell(null);
  } catch (error) {
    if (mine !== turn) return;
    tell(error);
    if (error instanceof TuttiError && [401, 403].includes(error.status)) return; // waiting changes nothing
  }
  if (mine === turn && !document.hidden) timer = setTimeout(look, LOOK_MS);
}

/** @param {NodeInfo[]} list */
function show(list) {
  nodes = list.sort((a, b) => a.id.localeCompare(b.id));
  byID('summary').textContent = summary(nodes);
  const gone = new Set(cards.keys());
  for (const node of nodes) {
    gone.delete(node.id);
    card(node).show(node, nodes);
  }
  for (const id of gone) {
    cards.get(id)?.element.remove();
    cards.delete(id);
  }
  const wanted = nodes.map((node) => card(node).element);
  const shown = [...byID('nodes').children];
  if (wanted.length !== shown.length || wanted.some((e, i) => e !== shown[i])) byID('nodes').replaceChildren(...wanted);
  if (nodes.length === 0) byID('nodes').replaceChildren(h('li', { class: 'empty' }, 'No node has come yet.'));
}

/** @param {NodeInfo} node */
function card(node) {
  let made = cards.get(node.id);
  if (!made) {
    made = new NodeCard(node.id, nodes.length <= OPEN_NODES, {
      change: () => change(node.id),
      open: () => showRooms().catch(() => {}), // the next look tells
    });
    cards.set(node.id, made);
  }
  return made;
}

/** Lists the rooms where they are to be seen. */
async function showRooms() {
  await Promise.all([...cards].filter(([, c]) => c.open).map(async ([id, c]) => {
    c.showRooms(await rest.list(`/v1/rooms?node=${encodeURIComponent(id)}`, 'rooms'));
  }));
}

/**
 * What went wrong stays to be read until it goes well again; what was seen last
 * stays, too.
 * @param {unknown} error null: nothing
 */
function tell(error) {
  byID('notice').hidden = error === null;
  byID('nodes').classList.toggle('stale', error !== null);
  if (error === null) return;
  const { title, text } = explain(error);
  for (const [id, words] of [['notice-title', `${title}.`], ['notice-text', text]]) {
    if (byID(id).textContent !== words) byID(id).textContent = words; // read aloud once
  }
}

/** @param {string} id */
async function change(id) {
  const node = nodes.find((n) => n.id === id);
  if (!node) return;
  const asked = question(node, nodes);
  if (!await confirmed(asked)) return;
  card(node).busy = true;
  try {
    await rest.merge(`/v1/nodes/${encodeURIComponent(id)}`, { state: asked.state });
  } catch (error) {
    toast(explain(error), 'error');
  }
  card(node).busy = false;
  look();
}

/**
 * Asks the operator.
 * @param {{title: string, text: string, yes: string}} words
 * @returns {Promise<boolean>}
 */
function confirmed({ title, text, yes }) {
  const ask = /** @type {HTMLDialogElement} */ (byID('ask'));
  byID('ask-title').textContent = title;
  byID('ask-text').textContent = text;
  byID('ask-yes').textContent = yes;
  ask.returnValue = '';
  ask.showModal();
  return new Promise((resolve) => {
    ask.addEventListener('close', () => resolve(ask.returnValue === 'yes'), { once: true });
  });
}

drawIcons(document);
byID('ask-yes').addEventListener('click', () => byID('ask').close('yes'));
byID('ask-no').addEventListener('click', () => byID('ask').close(''));
document.addEventListener('visibilitychange', () => !document.hidden && look());
look();
