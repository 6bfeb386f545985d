/**
 * What the address says, and what is remembered from last time.
 * @module
 */

const TOKEN_KEY = 'tutti.token';

/**
 * @typedef {object} Params
 * @property {string} room
 * @property {string} name
 * @property {string} token
 * @property {boolean} watch watch at once
 * @property {boolean} autojoin join at once
 * @property {boolean} originalSound
 */

/**
 * Reads the address. A token is taken out of it, so that it is neither seen
 * over a shoulder nor copied along with the link; it is kept for this tab alone,
 * so that reloading the page works.
 * @returns {Params}
 */
export function readParams() {
  const address = new URL(location.href);
  const query = address.searchParams;
  const fragment = new URLSearchParams(address.hash.slice(1));
  const given = query.get('token') ?? fragment.get('token');
  if (given !== null) {
    query.delete('token');
    fragment.delete('token');
    address.hash = fragment.toString();
    history.replaceState(history.state, '', address);
    remember(sessionStorage, TOKEN_KEY, given);
  }
  return {
    room: query.get('room') ?? recall(localStorage, 'tutti.room') ?? 'demo',
    name: query.get('name') ?? recall(localStorage, 'tutti.name') ?? '',
    token: given ?? recall(sessionStorage, TOKEN_KEY) ?? '',
    watch: query.get('watch') === '1',
    autojoin: query.get('autojoin') === '1',
    originalSound: query.get('original_sound') === '1' || recall(localStorage, 'tutti.original') === '1',
  };
}

/**
 * The link to a room, for others. It holds no token.
 * @param {string} room
 * @returns {string}
 */
export function linkTo(room) {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set('room', room);
  return link.href;
}

/**
 * @param {Storage} storage
 * @param {string} key
 * @param {string} value
 */
export function remember(storage, key, value) {
  try {
    storage.setItem(key, value);
  } catch {
    // Private windows may refuse; nothing depends on it.
  }
}

/**
 * @param {Storage} storage
 * @param {string} key
 * @returns {string | null}
 */
export function recall(storage, key) {
  try {
    return storage.getItem(key);
  } catch {
    return null;
  }
}
