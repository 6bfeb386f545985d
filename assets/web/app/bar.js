/**
 * The row of keys, and their shortcuts.
 * @module
 */

import { byID, h } from './dom.js';
import { icon, setIcon } from './icons.js';
import { linkTo } from './params.js';
import { toast } from './toast.js';
import { clock, explain } from './words.js';

/** @typedef {import('../tutti.js').Kind} Kind */

const LAYOUTS = [
  { name: 'auto', title: 'Auto', text: 'Picks what fits' },
  { name: 'grid', title: 'Grid', text: 'Everybody the same size' },
  { name: 'speaker', title: 'Speaker', text: 'Who speaks is large' },
];

/** How long to wait for further news of recordings before looking, in milliseconds. */
const LOOK_MS = 100;
const RUNNING = ['starting', 'active', 'paused'];

/** The control bar of one room. */
export class Bar {
  #room;
  #panel;
  #signal;
  #layout = 'auto';
  /** @type {{id: string, state: string, started_at: string} | null} */
  #recording = null;
  #busy = false;
  /** Whether layout and recordings may be touched, as far as we know. */
  #host = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #look;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #clock;

  /**
   * @param {import('../tutti.js').Room} room
   * @param {import('./panel.js').Panel} panel
   * @param {AbortSignal} signal ends everything
   */
  constructor(room, panel, signal) {
    this.#room = room;
    this.#panel = panel;
    this.#signal = signal;
    this.#listen();
    this.#buildMenu();
  }

  /** The room has been entered. */
  open() {
    byID('key-mic').hidden = this.#room.watching;
    byID('key-camera').hidden = this.#room.watching;
    this.#showHostKeys(!this.#room.authorized); // with a token, the first look tells
    this.#paintMutes();
    this.#paintLayout();
    this.#lookSoon();
    this.#clock = setInterval(() => this.#paintClock(), 1000);
    this.#signal.addEventListener('abort', () => {
      clearInterval(this.#clock);
      clearTimeout(this.#look);
    });
  }

  #listen() {
    const options = { signal: this.#signal };
    const click = (/** @type {string} */ id, /** @type {() => void} */ f) => byID(id).addEventListener('click', f, options);
    click('key-mic', () => this.#toggleMute('audio'));
    click('key-camera', () => this.#toggleMute('video'));
    click('key-layout', () => this.#toggleMenu());
    click('key-record', () => this.#toggleRecording());
    click('key-panel', () => this.#panel.toggle());
    click('key-share', () => this.#share());
    click('key-leave', () => this.#room.leave());
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ f) =>
      this.#room.addEventListener(type, (/** @type {any} */ event) => f(event.detail), options);
    on('muted', (detail) => this.#onMuted(detail));
    on('layout', (layout) => { this.#layout = layout.name; this.#paintLayout(); });
    on('recording', (detail) => this.#onRecording(detail));
    document.addEventListener('keydown', (event) => this.#onKey(event), options);
    document.addEventListener('pointerdown', (event) => {
      if (!(/** @type {Element} */ (event.target)).closest('.menu-anchor')) this.#showMenu(false);
    }, options);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const target = /** @type {Element} */ (event.target);
    if (event.key === 'Escape') this.#showMenu(false);
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || target.closest('input, select, textarea')) return;
    if (event.key === 'm') this.#toggleMute('audio');
    else if (event.key === 'v') this.#toggleMute('video');
    else if (event.key === 'l' && this.#host) this.#nextLayout();
  }

  // ---- microphone and camera ---------------------------------------------

  /** @param {Kind} kind */
  async #toggleMute(kind) {
    if (this.#room.watching) return;
    if (!this.#room.sends(kind)) {
      const what = kind === 'audio' ? 'microphone' : 'camera';
      toast({ title: `You joined without a ${what}`, text: 'Leave, allow it in the lobby, and come in again.' });
      return;
    }
    try {
      await this.#room.setMuted(kind, !this.#room.muted(kind));
    } catch (error) {
      toast(explain(error, kind), 'error');
    }
    this.#paintMutes();
  }

  /** @param {{kind: Kind, muted: boolean, byServer: boolean}} detail */
  #onMuted({ kind, byServer }) {
    this.#paintMutes();
    if (!byServer) return;
    const what = kind === 'audio' ? 'microphone' : 'camera';
    toast({ title: `Your ${what} was switched off by the host`, text: 'You can switch it on again.' });
  }

  #paintMutes() {
    const mic = this.#room.muted('audio');
    const camera = this.#room.muted('video');
    paintKey('key-mic', mic ? 'mic-off' : 'mic', mic, mic ? 'Unmute' : 'Mute', mic ? 'Unmute (m)' : 'Mute (m)');
    paintKey('key-camera', camera ? 'camera-off' : 'camera', camera, 'Camera', camera ? 'Camera on (v)' : 'Camera off (v)');
  }

  // ---- layout ------------------------------------------------------------

  #buildMenu() {
    byID('layout-menu').replaceChildren(...LAYOUTS.map(({ name, title, text }) => h('button', {
      type: 'button', role: 'menuitemradio', 'data-layout': name, tabindex: '-1',
      onclick: () => { this.#showMenu(false); this.#setLayout(name); },
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#onMenuKey(event),
    }, icon(name), h('span', {}, h('strong', {}, title), h('small', {}, text)), icon('check'))));
  }

  #toggleMenu() {
    this.#showMenu(byID('layout-menu').hidden);
  }

  /** @param {boolean} shown */
  #showMenu(shown) {
    const menu = byID('layout-menu');
    if (menu.hidden === !shown) return;
    const inside = menu.contains(document.activeElement);
    menu.hidden = !shown;
    byID('key-layout').setAttribute('aria-expanded', String(shown));
    if (shown) menu.querySelector(`[data-layout="${this.#layout}"]`)?.focus();
    else if (inside) byID('key-layout').focus();
  }

  /** @param {KeyboardEvent} event */
  #onMenuKey(event) {
    const items = [...byID('layout-menu').children];
    const at = items.indexOf(event.currentTarget);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    items[(at + step + items.length) % items.length].focus();
  }

  #nextLayout() {
    const at = LAYOUTS.findIndex((l) => l.name === this.#layout);
    const next = LAYOUTS[(at + 1) % LAYOUTS.length];
    this.#setLayout(next.name);
  }

  /** @param {string} name */
  async #setLayout(name) {
    try {
      this.#layout = (await this.#room.setLayout(name)).name;
      this.#paintLayout();
      toast({ title: `Layout: ${LAYOUTS.find((l) => l.name === name)?.title}`, text: 'For everybody in the room.' });
    } catch (error) {
      toast(explain(error), 'error');
    }
  }

  #paintLayout() {
    const known = LAYOUTS.some((l) => l.name === this.#layout);
    setIcon(byID('key-layout'), known ? this.#layout : 'auto');
    byID('key-layout').title = 'Layout (l for the next)';
    for (const item of byID('layout-menu').children) {
      item.setAttribute('aria-checked', String(item.dataset.layout === this.#layout));
    }
  }

  // ---- recording ---------------------------------------------------------

  async #toggleRecording() {
    if (this.#busy) return;
    this.#busy = true;
    byID('key-record').setAttribute('aria-busy', 'true');
    try {
      if (this.#recording) await this.#stop(this.#recording.id);
      else this.#recording = await this.#room.startRecording();
    } catch (error) {
      toast(explain(error), 'error');
    }
    this.#busy = false;
    byID('key-record').removeAttribute('aria-busy');
    await this.#lookAtRecordings();
  }

  /** @param {string} id */
  async #stop(id) {
    await this.#room.stopRecording(id);
    this.#recording = null;
    toast({ title: 'Recording saved', text: 'It is in the list of recordings.' });
    this.#panel.select('recordings');
  }

  /**
   * Everybody sees that the room is recorded, the list of recordings is for the
   * host alone.
   * @param {{recording?: {id: string, state: string}, time?: string}} detail
   */
  #onRecording({ recording, time = '' }) {
    const running = recording && RUNNING.includes(recording.state);
    if (running && this.#recording?.id !== recording.id) {
      this.#recording = { id: recording.id, state: recording.state, started_at: time };
    } else if (!running && this.#recording?.id === recording?.id) this.#recording = null;
    this.#paintRecording();
    if (this.#host) this.#lookSoon();
  }

  /** Many events at once, as after a while without a connection, cost one look. */
  #lookSoon() {
    clearTimeout(this.#look);
    this.#look = setTimeout(() => this.#lookAtRecordings(), LOOK_MS);
  }

  async #lookAtRecordings() {
    try {
      const all = await this.#room.listRecordings();
      if (this.#signal.aborted) return;
      this.#recording = all.find((r) => RUNNING.includes(r.state)) ?? null;
      this.#panel.showRecordings(all);
      this.#showHostKeys(true);
    } catch (error) {
      if (/** @type {any} */ (error).status === 403) this.#showHostKeys(false);
    }
    this.#paintRecording();
  }

  /**
   * Layout and recording are the host's: others do not see keys that would only
   * be refused.
   * @param {boolean} shown
   */
  #showHostKeys(shown) {
    for (const id of ['menu-anchor', 'key-record', 'tab-recordings']) byID(id).hidden = !shown;
    this.#host = shown;
  }

  #paintRecording() {
    const on = this.#recording !== null;
    paintKey('key-record', on ? 'stop' : 'record', on, on ? 'Stop' : 'Record', on ? 'Stop recording' : 'Record the room');
    byID('rec-badge').hidden = !on;
    this.#paintClock();
  }

  #paintClock() {
    if (!this.#recording) return;
    byID('rec-time').textContent = clock((Date.now() - Date.parse(this.#recording.started_at)) / 1000);
  }

  // ---- sharing -----------------------------------------------------------

  async #share() {
    const url = linkTo(this.#room.id);
    const text = this.#room.authorized ? 'Guests need an invitation of their own besides.' : 'Send it to whom you like to see.';
    try {
      if (navigator.share && matchMedia('(pointer: coarse)').matches) {
        await navigator.share({ title: 'Tutti', url });
        return;
      }
      await navigator.clipboard.writeText(url);
      toast({ title: 'Link copied', text });
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') toast({ title: 'The link to this room', text: url });
    }
  }
}

/**
 * @param {string} id
 * @param {string} name of the icon
 * @param {boolean} pressed
 * @param {string} label
 * @param {string} title
 */
function paintKey(id, name, pressed, label, title) {
  const key = byID(id);
  setIcon(key, name);
  key.setAttribute('aria-pressed', String(pressed));
  key.querySelector('span').textContent = label;
  key.title = title;
}
