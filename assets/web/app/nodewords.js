/**
 * What a node is and does, in words and figures. No elements in here.
 * @module
 */

/**
 * @typedef {object} NodeInfo
 * @property {string} id
 * @property {string} address
 * @property {string} version
 * @property {Record<string, string>} [labels]
 * @property {string} state active, draining, dead
 * @property {number} rooms
 * @property {number} participants
 * @property {{cpu: number, capacity: number}} [load] both in ms of CPU per second
 */

/** @type {Record<string, string>} */
const STATES = { active: 'Takes rooms', draining: 'Draining', dead: 'Away' };

/** A node that has more to do than this share of its capacity is hot. */
const HOT = 0.9;

/** @param {NodeInfo} node */
export function stateWord(node) {
  return STATES[node.state] ?? node.state;
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
export function count(n, one, many) {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}

/**
 * All nodes in a line.
 * @param {NodeInfo[]} nodes
 */
export function summary(nodes) {
  const sum = (/** @type {'rooms' | 'participants'} */ key) => nodes.reduce((n, node) => n + node[key], 0);
  const away = nodes.filter((n) => n.state === 'dead').length;
  return [
    count(nodes.length, 'node', 'nodes') + (away ? `, ${away} away` : ''),
    count(sum('rooms'), 'room', 'rooms'),
    count(sum('participants'), 'person', 'people'),
  ].join(' · ');
}

/**
 * How much of the CPU that rooms may take is taken.
 * @param {NodeInfo} node
 * @returns {{share: number, hot: boolean, percent: string, cores: string} | null} share is 0 to 1; null: not known
 */
export function loadOf(node) {
  const { cpu, capacity } = node.load ?? { cpu: 0, capacity: 0 };
  if (!(capacity > 0) || !(cpu >= 0)) return null;
  const cores = (/** @type {number} */ ms) => (ms / 1000).toLocaleString('en', { maximumFractionDigits: 2 });
  const share = cpu / capacity;
  return {
    share: Math.min(share, 1),
    hot: share > HOT,
    percent: `${Math.round(share * 100)} %`,
    cores: `${cores(cpu)} of ${count(Number(cores(capacity).replaceAll(',', '')), 'core', 'cores')}`,
  };
}

/**
 * What is going on there, where something is.
 * @param {NodeInfo} node
 * @param {NodeInfo[]} nodes all of them
 */
export function doing(node, nodes) {
  if (node.state !== 'draining') return '';
  if (node.rooms === 0) return 'Empty: it can be stopped.';
  const left = `${count(node.rooms, 'room', 'rooms')} left.`;
  return others(node, nodes) > 0 ? `${left} They move one after the other.` : `${left} There is no other node for them.`;
}

/**
 * What the operator is asked before a change.
 * @param {NodeInfo} node
 * @param {NodeInfo[]} nodes all of them
 * @returns {{state: string, title: string, text: string, yes: string}}
 */
export function question(node, nodes) {
  if (node.state === 'draining') {
    return { state: 'active', title: `Take ${node.id} back?`, text: 'It takes rooms again. Those that have moved stay where they are.', yes: 'Take back' };
  }
  const rooms = node.rooms === 0 ? '' : others(node, nodes) > 0
    ? ` Its ${count(node.rooms, 'room moves', 'rooms move')} to other nodes, and nobody has to hang up.`
    : ' There is no other node, so its rooms go on here until they end.';
  return { state: 'draining', title: `Drain ${node.id}?`, text: `It takes no new rooms.${rooms} You can take it back at any time.`, yes: 'Drain' };
}

/**
 * @param {NodeInfo} node
 * @param {NodeInfo[]} nodes
 */
function others(node, nodes) {
  return nodes.filter((n) => n.id !== node.id && n.state === 'active').length;
}
