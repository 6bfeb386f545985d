/**
 * What went wrong, in plain words.
 * @module
 */

/** @typedef {{title: string, text: string}} Words */

/** @type {Record<string, Words>} */
const BY_CODE = {
  network: { title: 'The server cannot be reached', text: 'Check your connection and try again.' },
  media_unreachable: {
    title: 'Sound and picture do not get through',
    text: 'The server answered, but the media connection could not be made. A firewall may be blocking it.',
  },
  room_not_found: { title: 'There is no such room', text: 'Check the name, or ask for a new link.' },
  room_full: { title: 'The room is full', text: 'It has all the people it may have. Try again in a moment.' },
  room_closed: { title: 'The room has been closed', text: '' },
  draining: { title: 'The server is being restarted', text: 'Try again in a moment.' },
  too_many_rooms: { title: 'The server is busy', text: 'It takes no further room now. Try again in a moment.' },
  session_failed: { title: 'The server could not answer', text: 'Your browser and the server found no common way to send media.' },
};

/** @type {Record<number, Words>} */
const BY_STATUS = {
  401: { title: 'You need an invitation', text: 'This server lets in only who comes with a valid link. Ask for a new one.' },
  403: { title: 'You may not do that', text: 'Your invitation does not allow it here.' },
  404: { title: 'Not found', text: 'It is gone, or never was.' },
  429: { title: 'Too fast', text: 'The server asks to wait a moment.' },
  501: { title: 'Not possible here', text: 'This server cannot do that yet.' },
  503: { title: 'The server is busy', text: 'Try again in a moment.' },
};

/** @type {Record<string, (device: string) => Words>} */
const BY_DEVICE_ERROR = {
  NotAllowedError: (device) => ({
    title: `No access to the ${device}`,
    text: 'Your browser keeps it from this page. Allow it by the icon in the address bar, then try again.',
  }),
  NotFoundError: (device) => ({ title: `No ${device} found`, text: 'Plug one in, or go on without.' }),
  NotReadableError: (device) => ({
    title: `The ${device} cannot be used`,
    text: 'Another program may have it, or it was unplugged.',
  }),
  OverconstrainedError: (device) => ({ title: `That ${device} is not there any more`, text: 'Choose another one.' }),
  SecurityError: (device) => ({
    title: `No access to the ${device}`,
    text: 'Browsers give it only to pages that come by HTTPS or from this machine itself.',
  }),
};

/**
 * @param {any} error a TuttiError, a DOMException, or anything else thrown
 * @param {'audio' | 'video'} [kind] the device that it is about
 * @returns {Words}
 */
export function explain(error, kind) {
  const device = kind === 'video' ? 'camera' : 'microphone';
  if (kind && BY_DEVICE_ERROR[error?.name]) return BY_DEVICE_ERROR[error.name](device);
  if (error?.name !== 'TuttiError') {
    return { title: 'Something went wrong', text: String(error?.message ?? error ?? '') };
  }
  if (error.status === 401 && /expired/i.test(error.detail)) {
    return { title: 'Your invitation has expired', text: 'Ask for a new link.' };
  }
  const words = BY_CODE[error.code] ?? BY_STATUS[error.status];
  if (!words) return { title: error.title || 'The server refused', text: sentence(error.detail) };
  return { title: words.title, text: [words.text, sentence(error.detail)].find(Boolean) ?? '' };
}

/** @type {Record<string, Words>} */
const BY_REASON = {
  removed: { title: 'You were removed from the room', text: 'You can come in again if the host lets you.' },
  room_closed: { title: 'The room was closed', text: 'Everybody has left.' },
};

/**
 * Why the room was left, where it was not the user's own wish.
 * @param {string} reason
 * @param {unknown} error
 * @returns {Words | null}
 */
export function explainLeaving(reason, error) {
  if (reason === 'lost' && error) return explain(error);
  return BY_REASON[reason] ?? null;
}

/**
 * @param {string} text
 * @returns {string} with a capital letter and a full stop
 */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return '';
  const first = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/**
 * @param {number} seconds
 * @returns {string} such as 4:07 or 1:02:09
 */
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor(s / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/**
 * @param {number} bytes
 * @returns {string} such as 12.4 MB
 */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
