/**
 * How loud a microphone is, as a row of lamps.
 * @module
 */

import { h } from './dom.js';

const LAMPS = 24;
/** What lights no lamp, and what lights all of them, in dBFS. */
const QUIET_DB = -60;
const LOUD_DB = -6;

/**
 * @param {Float32Array} samples
 * @returns {number} 0 to 1, linear in decibels
 */
export function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}

/** Shows the level of one track at a time in a role=meter element. */
export class MeterView {
  #element;
  /** @type {HTMLElement[]} */
  #lamps;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {AudioNode | null} */
  #source = null;
  #frame = 0;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.#lamps = Array.from({ length: LAMPS }, () => h('i'));
    element.replaceChildren(...this.#lamps);
  }

  /** @param {MediaStreamTrack | null} track */
  show(track) {
    cancelAnimationFrame(this.#frame);
    this.#source?.disconnect();
    this.#source = null;
    this.#light(0);
    if (!track) return;
    this.#context ??= new AudioContext();
    this.#context.resume().catch(() => {}); // it waits for a gesture; the meter stays dark until then
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(analyser);
    this.#follow(analyser);
  }

  /** Lets go of the audio device. */
  close() {
    this.show(null);
    this.#context?.close();
    this.#context = null;
  }

  /** @param {AnalyserNode} analyser */
  #follow(analyser) {
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    const step = () => {
      analyser.getFloatTimeDomainData(samples);
      shown = Math.max(loudness(samples), shown * 0.9);
      this.#light(shown);
      this.#frame = requestAnimationFrame(step);
    };
    step();
  }

  /** @param {number} level 0 to 1 */
  #light(level) {
    const lit = Math.round(level * LAMPS);
    this.#lamps.forEach((lamp, i) => lamp.classList.toggle('on', i < lit));
    this.#element.setAttribute('aria-valuenow', String(Math.round(level * 100)));
  }
}
