/**
 * From the counters of getStats to what a person wants to know.
 * @module
 */

/**
 * The received stream over the last second or so. A figure that the browser
 * does not tell, or that has no traffic to stand on, is null.
 * @typedef {object} StreamStats
 * @property {number} kbps received sound and picture, in kbit/s of payload
 * @property {number} audioKbps
 * @property {number} videoKbps
 * @property {number} sentKbps what goes out, in kbit/s
 * @property {number | null} width of the picture, in pixels
 * @property {number | null} height
 * @property {number | null} fps pictures decoded per second
 * @property {number | null} delayMs bufferMs and half of rttMs: from the server's socket to ear and eye
 * @property {number | null} bufferMs time spent in the jitter buffer, of sound or picture, whichever is longer
 * @property {number | null} rttMs round trip between browser and server
 * @property {number | null} lossPercent packets that never came
 * @property {number} bytes received since the session began
 */

/**
 * @typedef {object} Counters one inbound track as it was read
 * @property {number} bytes
 * @property {number} delay seconds, summed over all emitted samples or frames
 * @property {number} emitted
 * @property {number} received packets
 * @property {number} lost packets
 * @property {number} frames
 */

/** @type {Counters} */
const NOTHING = { bytes: 0, delay: 0, emitted: 0, received: 0, lost: 0, frames: 0 };

/**
 * @param {any} s an inbound-rtp object
 * @returns {Counters}
 */
function countersOf(s) {
  return {
    bytes: s.bytesReceived ?? 0,
    delay: s.jitterBufferDelay ?? 0,
    emitted: s.jitterBufferEmittedCount ?? 0,
    received: s.packetsReceived ?? 0,
    lost: s.packetsLost ?? 0,
    frames: s.framesDecoded ?? 0,
  };
}

/**
 * Mean time in the jitter buffer of what left it meanwhile.
 * @param {Counters} now
 * @param {Counters} before
 * @returns {number | null} milliseconds
 */
function bufferMs(now, before) {
  const emitted = now.emitted - before.emitted;
  return emitted > 0 ? Math.max(0, (1000 * (now.delay - before.delay)) / emitted) : null;
}

/**
 * @param {(number | null)[]} numbers
 * @returns {number | null}
 */
function greatest(numbers) {
  const known = numbers.filter((n) => n !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

/**
 * The pair in use: Chromium names it in the transport, Firefox marks it.
 * @param {any[]} all
 * @returns {any}
 */
function selectedPair(all) {
  const chosen = all.find((s) => s.type === 'transport' && s.selectedCandidatePairId);
  const pairs = all.filter((s) => s.type === 'candidate-pair');
  return pairs.find((s) => chosen && s.id === chosen.selectedCandidatePairId)
    ?? pairs.find((s) => s.selected)
    ?? pairs.find((s) => s.nominated && s.state === 'succeeded');
}

/** Turns successive reports of one peer connection into StreamStats. */
export class StatsMeter {
  #at = 0;
  #sent = 0;
  /** @type {Record<string, Counters>} */
  #before = {};

  /** Whether there is a report to compare the next one with. */
  get started() {
    return this.#at > 0;
  }

  /**
   * @param {Iterable<any>} report the values of an RTCStatsReport
   * @param {number} now milliseconds
   * @returns {StreamStats}
   */
  read(report, now) {
    const all = [...report];
    const seconds = this.#at > 0 ? (now - this.#at) / 1000 : 0;
    this.#at = now;
    const audio = this.#track(all, 'audio', seconds);
    const video = this.#track(all, 'video', seconds);
    const rtt = selectedPair(all)?.currentRoundTripTime;
    const rttMs = typeof rtt === 'number' ? rtt * 1000 : null;
    const buffer = greatest([audio.bufferMs, video.bufferMs]);
    const lost = audio.lost + video.lost;
    const expected = lost + audio.received + video.received;
    return {
      kbps: audio.kbps + video.kbps,
      audioKbps: audio.kbps,
      videoKbps: video.kbps,
      sentKbps: this.#sentKbps(all, seconds),
      width: video.raw?.frameWidth ?? null,
      height: video.raw?.frameHeight ?? null,
      fps: video.raw && seconds > 0 ? video.frames / seconds : null,
      delayMs: buffer === null ? null : buffer + (rttMs ?? 0) / 2,
      bufferMs: buffer,
      rttMs,
      lossPercent: expected > 0 ? (100 * lost) / expected : null,
      bytes: audio.bytes + video.bytes,
    };
  }

  /**
   * @param {any[]} all
   * @param {string} kind
   * @param {number} seconds
   */
  #track(all, kind, seconds) {
    const raw = all.find((s) => s.type === 'inbound-rtp' && s.kind === kind);
    const now = raw ? countersOf(raw) : NOTHING;
    const before = this.#before[kind] ?? NOTHING;
    this.#before[kind] = now;
    return {
      raw,
      bytes: now.bytes,
      kbps: rate(now.bytes - before.bytes, seconds),
      bufferMs: bufferMs(now, before),
      // A late packet is taken back from the lost ones, so the count may fall.
      lost: Math.max(0, now.lost - before.lost),
      received: Math.max(0, now.received - before.received),
      frames: Math.max(0, now.frames - before.frames),
    };
  }

  /**
   * @param {any[]} all
   * @param {number} seconds
   */
  #sentKbps(all, seconds) {
    const sent = all.filter((s) => s.type === 'outbound-rtp').reduce((sum, s) => sum + (s.bytesSent ?? 0), 0);
    const kbps = rate(sent - this.#sent, seconds);
    this.#sent = sent;
    return kbps;
  }
}

/**
 * @param {number} bytes
 * @param {number} seconds
 * @returns {number} kbit/s; 0 where no time passed
 */
function rate(bytes, seconds) {
  return seconds > 0 ? Math.max(0, (bytes * 8) / 1000 / seconds) : 0;
}
