/**
 * The page's icons, drawn on a 24 by 24 grid with round strokes.
 * @module
 */

const NS = 'http://www.w3.org/2000/svg';

/** Path data; a leading "!" fills the shape instead of stroking it. */
const PATHS = {
  mic: ['M12 3.5a3 3 0 0 1 3 3V11a3 3 0 0 1-6 0V6.5a3 3 0 0 1 3-3Z', 'M5.5 11a6.5 6.5 0 0 0 13 0', 'M12 17.5v3'],
  'mic-off': ['M9 9v2a3 3 0 0 0 4.9 2.3', 'M15 10.5v-4a3 3 0 0 0-5.8-1', 'M5.5 11a6.5 6.5 0 0 0 10.6 5', 'M18.5 11c0 1-.2 1.9-.6 2.8', 'M12 17.5v3', 'M4 3.5l16 17'],
  camera: ['M4.5 6.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2Z', 'M15.5 11l6-3.5v9l-6-3.5'],
  'camera-off': ['M9.5 6.5h4a2 2 0 0 1 2 2v3.5', 'M15.2 16.3a2 2 0 0 1-1.7 1.2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2H5.5', 'M15.5 11l6-3.5v9l-4-2.3', 'M4 3.5l16 17'],
  auto: ['M4 5h7v6H4z', 'M14 5h6v6h-6z', 'M4 14h7v5H4z', '!M17 12.7l1.1 2.8 2.9 1.1-2.9 1.1L17 20.5l-1.1-2.8-2.9-1.1 2.9-1.1z'],
  grid: ['M4 5h7v6H4z', 'M14 5h6v6h-6z', 'M4 14h7v5H4z', 'M14 14h6v5h-6z'],
  speaker: ['M3.5 5h12v14h-12z', 'M18.5 5h2v3.5h-2z', 'M18.5 10.3h2v3.5h-2z', 'M18.5 15.5h2V19h-2z'],
  record: ['M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16Z', '!M12 8.2a3.8 3.8 0 1 1 0 7.6 3.8 3.8 0 0 1 0-7.6Z'],
  stop: ['M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16Z', '!M9.5 9h5a.5.5 0 0 1 .5.5v5a.5.5 0 0 1-.5.5h-5a.5.5 0 0 1-.5-.5v-5a.5.5 0 0 1 .5-.5Z'],
  people: ['M9 5a3.2 3.2 0 1 1 0 6.4A3.2 3.2 0 0 1 9 5Z', 'M2.8 19c.4-3.3 3-5 6.2-5s5.8 1.7 6.2 5', 'M15.5 5.3a3 3 0 0 1 0 5.8', 'M17.7 14.4c2 .6 3.3 2.2 3.5 4.6'],
  share: ['M12 14.5V3.5', 'M8 7.3l4-3.8 4 3.8', 'M7 11H5.5a1 1 0 0 0-1 1v7.5a1 1 0 0 0 1 1h13a1 1 0 0 0 1-1V12a1 1 0 0 0-1-1H17'],
  leave: ['!M12 9.5c4.3 0 8 1.4 9.3 3.3.5.8.4 1.8-.1 2.6l-.7 1c-.4.6-1.2.8-1.9.5l-2.9-1.2c-.6-.3-1-.9-.9-1.6l.1-1.2a10.6 10.6 0 0 0-5.8 0l.1 1.2c.1.7-.3 1.3-.9 1.6l-2.9 1.2c-.7.3-1.5.1-1.9-.5l-.7-1c-.5-.8-.6-1.8-.1-2.6C4 10.9 7.7 9.5 12 9.5Z'],
  close: ['M6 6l12 12', 'M18 6L6 18'],
  download: ['M12 4v11', 'M7.5 11l4.5 4.5L16.5 11', 'M5 20h14'],
  expand: ['M4 9V5a1 1 0 0 1 1-1h4', 'M15 4h4a1 1 0 0 1 1 1v4', 'M20 15v4a1 1 0 0 1-1 1h-4', 'M9 20H5a1 1 0 0 1-1-1v-4'],
  sound: ['M4 9.5h3.5L12 5.5v13l-4.5-4H4z', 'M15.5 9a4.2 4.2 0 0 1 0 6', 'M18.3 6.5a8 8 0 0 1 0 11'],
  voice: ['M5 10v4', 'M9 7v10', 'M13 9.5v5', 'M17 5.5v13', 'M21 10.5v3'],
  signal: ['M5 19v-4', 'M10 19v-7', 'M15 19V8.5', 'M20 19V5'],
  eye: ['M2.5 12C4.5 8 8 6 12 6s7.5 2 9.5 6c-2 4-5.5 6-9.5 6s-7.5-2-9.5-6Z', 'M12 9.3a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4Z'],
  down: ['M7 10l5 5 5-5'],
  check: ['M5 12.5l4.5 4.5L19 7.5'],
  alert: ['M12 4l9 16H3z', 'M12 10v4.5', 'M12 17.2v.3'],
};

/**
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(NS, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  for (const data of PATHS[/** @type {keyof typeof PATHS} */ (name)]) {
    const path = document.createElementNS(NS, 'path');
    path.setAttribute('d', data.replace(/^!/, ''));
    if (data.startsWith('!')) path.classList.add('solid');
    svg.append(path);
  }
  return svg;
}

/**
 * Puts an icon in front of an element's text, in place of the one it had.
 * @param {Element} element
 * @param {string} name
 */
export function setIcon(element, name) {
  if (element.getAttribute('data-icon') === name && element.querySelector(':scope > svg')) return;
  element.setAttribute('data-icon', name);
  element.querySelector(':scope > svg')?.remove();
  element.prepend(icon(name));
}

/**
 * Draws every icon that the markup asks for by data-icon.
 * @param {ParentNode} root
 */
export function drawIcons(root) {
  for (const element of root.querySelectorAll('[data-icon]')) {
    setIcon(element, element.getAttribute('data-icon') ?? '');
  }
}
