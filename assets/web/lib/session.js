/**
 * One WebRTC session: from the offer to its end. It never comes back to life;
 * whoever wants to go on opens another one.
 * @module
 */

import { KINDS } from './media.js';
import { pause } from './retry.js';
import { TuttiError } from './rest.js';
import { hearStereo, preferCodec, trickleFragment } from './sdp.js';

/** @typedef {import('./media.js').LocalMedia} LocalMedia */

/** How long ICE and DTLS may take, in milliseconds. */
const CONNECT_MS = 15000;
/** A disconnected ICE transport may recover by itself for so long. */
const DISCONNECTED_MS = 3000;
/** Candidates are collected for so long, so that one request tells them all. */
const TRICKLE_MS = 150;
/** The most that a camera may send, in bit/s. */
const VIDEO_MAX_BPS = 1500000;

/** The connection to the mixer: sends what is given, receives one sound and one picture. */
export class Session {
  #rest;
  #local;
  #onLost;
  /** @type {RTCIceCandidate[]} */
  #candidates = [];
  #gathered = false;
  #trickling = true;
  #closed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #disconnected;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #trickle;
  #etag = '';
  #path = '';

  /** The peer connection, for whoever wants to look deeper. */
  pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' });
  /** What is received. */
  stream = new MediaStream();

  /**
   * @param {import('./rest.js').Rest} rest
   * @param {LocalMedia | null} local null receives only
   * @param {(why: string) => void} onLost called once, when a connected session is no more
   */
  constructor(rest, local, onLost) {
    this.#rest = rest;
    this.#local = local;
    this.#onLost = onLost;
    this.pc.addEventListener('track', ({ track }) => this.stream.addTrack(track));
    this.pc.addEventListener('icecandidate', ({ candidate }) => this.#onCandidate(candidate));
    for (const kind of KINDS) this.#addTransceiver(kind);
  }

  /** The participant's identifier; empty before the server gave one. */
  get participant() {
    return decodeURIComponent(this.#path.slice(this.#path.lastIndexOf('/') + 1));
  }

  /** The address of the session's resource; empty before the server gave one. */
  get path() {
    return this.#path;
  }

  /**
   * Offers, takes the answer, and waits until media can flow. It closes itself
   * when it fails.
   * @param {string} endpoint path and query to post the offer to
   * @param {AbortSignal} signal
   * @throws {TuttiError}
   */
  async open(endpoint, signal) {
    try {
      const { sdp = '' } = await this.pc.createOffer();
      await this.pc.setLocalDescription({ type: 'offer', sdp: hearStereo(sdp) });
      const offer = this.pc.localDescription?.sdp ?? '';
      const response = await this.#rest.send('POST', endpoint, { body: offer, type: 'application/sdp', signal });
      this.#etag = response.headers.get('ETag') ?? '';
      this.#path = locationOf(response, this.#rest.address(endpoint));
      await this.pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
      this.#scheduleTrickle();
      await this.#connected(signal);
      this.pc.addEventListener('connectionstatechange', () => this.#onState());
      this.#onState();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Ends the session and tells the server, which may be past hearing.
   * @param {{keepalive?: boolean}} [options] keepalive: the page is going away
   * @returns {Promise<void>}
   */
  async close({ keepalive = false } = {}) {
    const retired = this.retire({ keepalive });
    this.pc.close();
    await retired;
  }

  /**
   * Ends the session on the server and here but for its last picture, which
   * stays to be seen until close.
   * @param {{keepalive?: boolean}} [options]
   * @returns {Promise<void>}
   */
  async retire({ keepalive = false } = {}) {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#disconnected);
    clearTimeout(this.#trickle);
    for (const { sender } of this.pc.getTransceivers()) this.#local?.detach(sender);
    if (!this.#path) return;
    await this.#rest.send('DELETE', this.#path, { keepalive }).catch(() => {});
  }

  /** @param {import('./media.js').Kind} kind */
  #addTransceiver(kind) {
    const sends = this.#local?.sends(kind) ?? false;
    const track = this.#local?.track(kind);
    const transceiver = this.pc.addTransceiver(track ?? kind, {
      direction: sends ? 'sendrecv' : 'recvonly',
      streams: sends && this.#local ? [new MediaStream(track ? [track] : [])] : [],
      sendEncodings: sends && kind === 'video' ? [{ maxBitrate: VIDEO_MAX_BPS }] : undefined,
    });
    if (sends) this.#local?.attach(kind, transceiver.sender);
    if (kind !== 'video') return;
    const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs;
    if (codecs && transceiver.setCodecPreferences) {
      transceiver.setCodecPreferences(preferCodec(codecs, 'video/VP8'));
    }
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<void>}
   */
  async #connected(signal) {
    const limit = new AbortController();
    const either = AbortSignal.any([signal, limit.signal]);
    const settled = () => ['connected', 'failed', 'closed'].includes(this.pc.connectionState);
    const changed = (/** @type {() => void} */ wake) => {
      const look = () => settled() && wake();
      this.pc.addEventListener('connectionstatechange', look);
      look();
      return () => this.pc.removeEventListener('connectionstatechange', look);
    };
    await pause(CONNECT_MS, either, changed);
    if (this.pc.connectionState !== 'connected') {
      throw new TuttiError('No media connection to the server could be made.', { code: 'media_unreachable' });
    }
  }

  #onState() {
    clearTimeout(this.#disconnected);
    const state = this.pc.connectionState;
    if (this.#closed || state === 'connected') return;
    if (state === 'failed' || state === 'closed') this.#lose(state);
    else this.#disconnected = setTimeout(() => this.#lose(state), DISCONNECTED_MS);
  }

  /** @param {string} why */
  #lose(why) {
    if (!this.#closed) this.#onLost(why);
  }

  /** @param {RTCIceCandidate | null} candidate */
  #onCandidate(candidate) {
    if (candidate === null) this.#gathered = true;
    else if (candidate.candidate !== '') this.#candidates.push(candidate);
    this.#scheduleTrickle();
  }

  #scheduleTrickle() {
    if (!this.#path || !this.#trickling || this.#closed || this.#trickle !== undefined) return;
    this.#trickle = setTimeout(() => {
      this.#trickle = undefined;
      this.#tellCandidates();
    }, TRICKLE_MS);
  }

  /**
   * The server answers our checks wherever they come from, so a lost fragment
   * costs nothing and a refusal only ends the telling.
   */
  #tellCandidates() {
    const candidates = this.#candidates.splice(0);
    if (this.#closed || (candidates.length === 0 && !this.#gathered)) return;
    if (this.#gathered) this.#trickling = false;
    const body = trickleFragment(this.pc.localDescription?.sdp ?? '', candidates, this.#gathered);
    /** @type {Record<string, string>} */
    const headers = this.#etag ? { 'If-Match': this.#etag } : {};
    this.#rest
      .send('PATCH', this.#path, { body, headers, type: 'application/trickle-ice-sdpfrag' })
      .catch(() => { this.#trickling = false; });
  }
}

/**
 * @param {Response} response
 * @param {string} asked the address that was asked
 * @returns {string} the address of the new resource
 */
function locationOf(response, asked) {
  const location = response.headers.get('Location');
  if (!location) throw new TuttiError('The server named no session.', { status: response.status, code: 'no_location' });
  return new URL(location, response.url || asked).href; // a redirect moved the base
}
