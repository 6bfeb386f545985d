/**
 * The page in the room: the one picture, and everything around it.
 * @module
 */

import { Bar } from './bar.js';
import { byID } from './dom.js';
import { Panel } from './panel.js';
import { nameOf } from './people.js';

/** For how long after they fell silent the speaker's name stays on the picture, in milliseconds. */
const SPEAKER_STAYS_MS = 2500;

/** The in-room view. Each room gets a new one. */
export class Stage {
  #room;
  #bar;
  #panel;
  #video = /** @type {HTMLVideoElement} */ (byID('mix'));
  #life = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #speaker;
  /** @type {WakeLockSentinel | null} */
  #awake = null;

  /** @param {import('../tutti.js').Room} room */
  constructor(room) {
    this.#room = room;
    this.#panel = new Panel(room, this.#life.signal);
    this.#bar = new Bar(room, this.#panel, this.#life.signal);
    this.#listen();
  }

  /** The room has been entered. */
  open() {
    byID('room-title').textContent = this.#room.id;
    document.title = `${this.#room.id} · Tutti`;
    byID('watching-badge').hidden = !this.#room.watching;
    byID('stage').dataset.watching = String(this.#room.watching);
    this.#bar.open();
    this.#panel.open();
    this.#stayAwake();
    byID(this.#room.watching ? 'key-panel' : 'key-mic').focus({ preventScroll: true });
  }

  /** The room has been left. */
  close() {
    this.#life.abort();
    clearTimeout(this.#speaker);
    this.#panel.close();
    this.#awake?.release().catch(() => {}); // may be gone already
    this.#video.srcObject = null;
    this.#video.muted = false;
    for (const id of ['banner', 'tap', 'speaker', 'rec-badge']) byID(id).hidden = true;
    byID('waiting').hidden = false;
    document.title = 'Tutti';
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {}); // the user was quicker
  }

  #listen() {
    const options = { signal: this.#life.signal };
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ f) =>
      this.#room.addEventListener(type, (/** @type {any} */ event) => f(event.detail), options);
    on('media', ({ stream }) => this.#play(stream));
    on('state', ({ state }) => { byID('banner').hidden = state !== 'reconnecting'; });
    on('speaker', ({ participant }) => this.#onSpeaker(participant));
    this.#video.addEventListener('resize', () => this.#onPicture(), options);
    this.#video.addEventListener('loadeddata', () => this.#onPicture(), options);
    byID('tap').addEventListener('click', () => this.#unmute(), options);
    byID('expand').addEventListener('click', () => this.#expand(), options);
    byID('screen').addEventListener('dblclick', () => this.#expand(), options);
    document.addEventListener('visibilitychange', () => this.#stayAwake(), options);
  }

  /** @param {MediaStream} stream */
  async #play(stream) {
    this.#video.srcObject = stream;
    try {
      await this.#video.play();
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'NotAllowedError') return; // a newer stream took over
      this.#video.muted = true;
      byID('tap').hidden = false;
      this.#video.play().catch(() => {}); // the tap tries again
    }
  }

  #unmute() {
    this.#video.muted = false;
    this.#video.play().then(() => { byID('tap').hidden = true; }, () => {});
  }

  #onPicture() {
    const { videoWidth, videoHeight } = this.#video;
    if (videoWidth === 0) return;
    byID('waiting').hidden = true;
    byID('screen').style.setProperty('--ratio', String(videoWidth / videoHeight));
  }

  /** @param {import('../tutti.js').Participant | null} participant */
  #onSpeaker(participant) {
    clearTimeout(this.#speaker);
    if (participant) {
      byID('speaker-name').textContent = nameOf(participant);
      byID('speaker').hidden = false;
      return;
    }
    this.#speaker = setTimeout(() => { byID('speaker').hidden = true; }, SPEAKER_STAYS_MS);
  }

  #expand() {
    if (document.fullscreenElement) document.exitFullscreen();
    else byID('screen').requestFullscreen?.().catch(() => {}); // phones that cannot do not
  }

  /** The screen of a phone stays on while one is in the room. */
  async #stayAwake() {
    if (document.visibilityState !== 'visible' || !('wakeLock' in navigator)) return;
    this.#awake = await navigator.wakeLock.request('screen').catch(() => null);
  }
}
