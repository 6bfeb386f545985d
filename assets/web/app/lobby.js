/**
 * The page before the room: who, where, and with which devices.
 * @module
 */

import { Devices } from './devices.js';
import { byID, paintAvatar } from './dom.js';
import { setIcon } from './icons.js';
import { MeterView } from './meter.js';
import { remember } from './params.js';
import { explain } from './words.js';

/** @typedef {import('../tutti.js').Kind} Kind */
/** @typedef {import('../tutti.js').MediaOptions} MediaOptions */

/**
 * @typedef {object} Entry
 * @property {string} room
 * @property {string} name
 * @property {MediaOptions | null} media null: only watch
 */

/** What helps where the browser keeps both devices from the page. */
const ASK_BOTH = 'To be seen and heard, allow them by the icon in the address bar.';

/** The lobby view. */
export class Lobby {
  #onEnter;
  #meter = new MeterView(byID('lobby-meter'));
  #devices = new Devices({ audio: byID('pick-audio'), video: byID('pick-video') });
  /** @type {Record<Kind, boolean>} */
  #off = { audio: false, video: false };
  #shown = false;
  #opening = 0;

  /**
   * @param {import('./params.js').Params} params
   * @param {(entry: Entry) => void} onEnter
   */
  constructor(params, onEnter) {
    this.#onEnter = onEnter;
    byID('name').value = params.name;
    byID('room').value = params.room;
    byID('original-sound').checked = params.originalSound;
    this.#devices.originalSound = params.originalSound;
    this.#listen();
    this.#paint();
  }

  /** Shows the lobby and opens the devices. */
  async show() {
    this.#shown = true;
    this.busy('');
    await this.#open();
  }

  /** Lets the devices go. */
  hide() {
    this.#shown = false;
    this.#opening += 1;
    this.#meter.close();
    this.#devices.close();
    byID('self').srcObject = null;
  }

  /**
   * @param {string} doing what is being waited for; empty: nothing
   */
  busy(doing) {
    for (const id of ['join', 'watch']) byID(id).disabled = doing !== '';
    byID('join').classList.toggle('busy', doing !== '');
    byID('join-hint').textContent = doing;
  }

  /**
   * Goes in, as the buttons do.
   * @param {boolean} watch
   */
  enter(watch) {
    const room = byID('room');
    if (!room.checkValidity()) {
      room.setAttribute('aria-invalid', 'true');
      room.focus();
      return;
    }
    const name = byID('name').value.trim();
    remember(localStorage, 'tutti.name', name);
    remember(localStorage, 'tutti.room', room.value);
    const media = watch ? null : this.#media();
    this.#onEnter({ room: room.value, name, media });
  }

  /** @returns {MediaOptions} */
  #media() {
    return {
      audio: this.#devices.constraints('audio'),
      video: this.#devices.constraints('video'),
      audioMuted: this.#off.audio,
      videoMuted: this.#off.video,
      stream: this.#devices.release(),
    };
  }

  #listen() {
    byID('join-form').addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      this.enter(false);
    });
    byID('watch').addEventListener('click', () => this.enter(true));
    byID('room').addEventListener('input', () => byID('room').removeAttribute('aria-invalid'));
    byID('name').addEventListener('input', () => this.#paint());
    byID('lobby-mic').addEventListener('click', () => this.#toggle('audio'));
    byID('lobby-camera').addEventListener('click', () => this.#toggle('video'));
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      byID(`pick-${kind}`).addEventListener('change', () => {
        this.#devices.remember(kind);
        this.#open();
      });
    }
    byID('original-sound').addEventListener('change', (/** @type {any} */ event) => {
      this.#devices.originalSound = event.target.checked;
      remember(localStorage, 'tutti.original', event.target.checked ? '1' : '0');
      this.#open();
    });
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.#shown && this.#devices.list());
  }

  /** @param {Kind} kind */
  #toggle(kind) {
    if (this.#devices.refused[kind]) {
      this.#off[kind] = false;
      this.#open(); // asks once more
      return;
    }
    this.#off[kind] = !this.#off[kind];
    const track = this.#devices.track(kind);
    if (kind === 'video') this.#open();
    else if (track) track.enabled = !this.#off.audio;
    this.#paint();
  }

  async #open() {
    this.#opening += 1;
    const turn = this.#opening;
    this.#note('Looking for your camera and microphone…');
    await this.#devices.open({ audio: true, video: !this.#off.video });
    if (turn !== this.#opening || !this.#shown) {
      if (!this.#shown) this.#devices.close();
      return;
    }
    const track = this.#devices.track('audio');
    if (track) track.enabled = !this.#off.audio;
    byID('self').srcObject = this.#devices.stream;
    this.#meter.show(track);
    this.#tellRefusals();
    this.#paint();
  }

  #tellRefusals() {
    const { audio, video } = this.#devices.refused;
    if (!audio && !video) {
      this.#note('');
      return;
    }
    if (audio && video) {
      this.#note('No camera and no microphone: you can join to listen, or watch.', audio.name === 'NotAllowedError' ? ASK_BOTH : '');
      return;
    }
    const kind = audio ? 'audio' : 'video';
    const words = explain(audio ?? video, kind);
    this.#note(`${words.title}. You can join without.`, words.text);
  }

  /**
   * @param {string} text
   * @param {string} [more]
   */
  #note(text, more = '') {
    byID('mirror-note').textContent = [text, more].filter(Boolean).join(' ');
  }

  #paint() {
    const name = byID('name').value.trim();
    paintAvatar(byID('self-avatar'), name);
    byID('mirror').classList.toggle('dark', !this.#devices.track('video'));
    this.#paintKey('lobby-mic', 'audio', 'mic', 'Mute the microphone', 'Unmute the microphone');
    this.#paintKey('lobby-camera', 'video', 'camera', 'Switch the camera off', 'Switch the camera on');
  }

  /**
   * @param {string} id
   * @param {Kind} kind
   * @param {string} name of the icon
   * @param {string} whenOn
   * @param {string} whenOff
   */
  #paintKey(id, kind, name, whenOn, whenOff) {
    const off = this.#off[kind] || Boolean(this.#devices.refused[kind]);
    const key = byID(id);
    setIcon(key, off ? `${name}-off` : name);
    key.setAttribute('aria-pressed', String(off));
    key.setAttribute('aria-label', off ? whenOff : whenOn);
    key.title = key.getAttribute('aria-label');
  }
}
