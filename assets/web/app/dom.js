/**
 * Small helpers to build and find elements. Styles go through CSSOM: the
 * page's policy allows no style attributes.
 * @module
 */

/**
 * The element with that id, which the page is known to have.
 * @param {string} id
 * @returns {any}
 */
export function byID(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Builds an element.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] "on..." adds listeners; false and null leave out
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * @param {string} name
 * @returns {string} at most two letters for a round picture
 */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  if (words.length === 0) return '?';
  const first = [...words[0]][0];
  const last = words.length > 1 ? [...words[words.length - 1]][0] : '';
  return (first + last).toUpperCase();
}

/**
 * A round picture with initials, in a colour that stays with the name.
 * @param {HTMLElement} element
 * @param {string} name
 */
export function paintAvatar(element, name) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 360;
  element.style.setProperty('--hue', String(hash));
  element.textContent = initials(name);
}
