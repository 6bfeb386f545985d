/**
 * The devices of the lobby: which there are, which are chosen, what they give.
 * @module
 */

import { openDevices } from '../tutti.js';
import { h } from './dom.js';
import { recall, remember } from './params.js';

/** @typedef {import('../tutti.js').Kind} Kind */

const NAMES = { audio: 'Microphone', video: 'Camera' };

/**
 * The constraints for a kind of device.
 * @param {Kind} kind
 * @param {string} deviceId empty: the browser's choice
 * @param {boolean} originalSound
 * @returns {MediaTrackConstraints}
 */
export function constraintsFor(kind, deviceId, originalSound) {
  const device = deviceId ? { deviceId: { exact: deviceId } } : {};
  if (kind === 'video') {
    return { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  }
  const filtered = !originalSound;
  return { ...device, echoCancellation: filtered, noiseSuppression: filtered, autoGainControl: filtered };
}

/** Camera and microphone before joining. */
export class Devices {
  /** What is open now. */
  stream = new MediaStream();
  /** @type {Partial<Record<Kind, Error>>} why a device cannot be had */
  refused = {};
  originalSound = false;

  /** @type {Record<Kind, HTMLSelectElement>} */
  #pickers;

  /** @param {Record<Kind, HTMLSelectElement>} pickers */
  constructor(pickers) {
    this.#pickers = pickers;
  }

  /**
   * @param {Kind} kind
   * @returns {MediaTrackConstraints | false} false where there is no such device for us
   */
  constraints(kind) {
    if (this.refused[kind]) return false;
    return constraintsFor(kind, this.#pickers[kind].value || this.#remembered(kind), this.originalSound);
  }

  /**
   * @param {Kind} kind
   * @returns {MediaStreamTrack | null}
   */
  track(kind) {
    return this.stream.getTracks().find((t) => t.kind === kind && t.readyState === 'live') ?? null;
  }

  /**
   * Opens the wanted kinds, as chosen, and lists what there is.
   * @param {Record<Kind, boolean>} want
   */
  async open(want) {
    this.close();
    this.refused = {};
    const wish = (/** @type {Kind} */ kind) => (want[kind] ? this.constraints(kind) : false);
    const { stream, refusals } = await openDevices({ audio: wish('audio'), video: wish('video') });
    const gone = refusals.filter((r) => r.error.name === 'OverconstrainedError');
    for (const { kind } of gone) this.#forget(kind);
    this.stream = stream;
    for (const { kind, error } of refusals) this.refused[kind] = error;
    await this.list();
    if (gone.length > 0) await this.open(want); // the remembered device is gone: any other
  }

  /** Fills the pickers. */
  async list() {
    const all = await navigator.mediaDevices?.enumerateDevices() ?? [];
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      const found = all.filter((d) => d.kind === `${kind}input`);
      const picker = this.#pickers[kind];
      const chosen = this.track(kind)?.getSettings().deviceId || picker.value || this.#remembered(kind);
      picker.replaceChildren(...found.map((d, i) => h('option', { value: d.deviceId },
        d.label || `${NAMES[kind]} ${i + 1}`)));
      if (found.length === 0) picker.append(h('option', { value: '' }, `No ${NAMES[kind].toLowerCase()}`));
      picker.disabled = found.length === 0;
      if (found.some((d) => d.deviceId === chosen)) picker.value = chosen;
    }
  }

  /** @param {Kind} kind */
  remember(kind) {
    remember(localStorage, `tutti.${kind}`, this.#pickers[kind].value);
  }

  /** Hands the open tracks over: they are not stopped here any more. */
  release() {
    const { stream } = this;
    this.stream = new MediaStream();
    return stream;
  }

  /** Switches everything off. */
  close() {
    for (const track of this.stream.getTracks()) track.stop();
    this.stream = new MediaStream();
  }

  /** @param {Kind} kind */
  #remembered(kind) {
    return recall(localStorage, `tutti.${kind}`) ?? '';
  }

  /** @param {Kind} kind */
  #forget(kind) {
    remember(localStorage, `tutti.${kind}`, '');
    this.#pickers[kind].replaceChildren();
  }
}
