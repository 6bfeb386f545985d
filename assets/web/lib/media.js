/**
 * The user's own camera and microphone.
 * @module
 */

/** @typedef {'audio' | 'video'} Kind */

/** @type {Kind[]} */
export const KINDS = ['audio', 'video'];

/**
 * What cannot be had of the wished devices.
 * @typedef {object} DeviceRefusal
 * @property {Kind} kind
 * @property {DOMException | Error} error as getUserMedia threw it
 */

/**
 * Opens camera and microphone as far as they can be had: where both together
 * fail, each is tried alone, so that a missing camera does not cost the voice.
 * @param {object} wish
 * @param {boolean | MediaTrackConstraints} wish.audio
 * @param {boolean | MediaTrackConstraints} wish.video
 * @returns {Promise<{stream: MediaStream, refusals: DeviceRefusal[]}>}
 */
export async function openDevices({ audio, video }) {
  if (!audio && !video) return { stream: new MediaStream(), refusals: [] };
  const wished = KINDS.filter((kind) => (kind === 'audio' ? audio : video));
  if (!navigator.mediaDevices) { // browsers keep them from pages without HTTPS
    const error = new DOMException('needs HTTPS or localhost', 'SecurityError');
    return { stream: new MediaStream(), refusals: wished.map((kind) => ({ kind, error })) };
  }
  try {
    return { stream: await navigator.mediaDevices.getUserMedia({ audio, video }), refusals: [] };
  } catch (error) {
    if (wished.length === 1) return { stream: new MediaStream(), refusals: [{ kind: wished[0], error }] };
  }
  const parts = await Promise.all([openDevices({ audio, video: false }), openDevices({ audio: false, video })]);
  return {
    stream: new MediaStream(parts.flatMap((p) => p.stream.getTracks())),
    refusals: parts.flatMap((p) => p.refusals),
  };
}

/**
 * What a participant sends.
 * @typedef {object} MediaOptions
 * @property {MediaStream} [stream] tracks to send: at most one of each kind is used
 * @property {boolean | MediaTrackConstraints} [audio] opens a microphone where the stream has none
 * @property {boolean | MediaTrackConstraints} [video] opens a camera where the stream has none. With
 *   it, the camera is switched off for real while the video is muted, light and all, and opened
 *   again after; without it the track is only disabled.
 * @property {boolean} [audioMuted] joins with the microphone muted
 * @property {boolean} [videoMuted] joins with the camera off
 */

/**
 * The tracks that a participant sends, across sessions: a new session after a
 * lost one, or beside one while the room moves, sends the same tracks, muted as
 * they are.
 */
export class LocalMedia {
  /** @type {Record<Kind, MediaStreamTrack | null>} */
  #tracks = { audio: null, video: null };
  /** @type {Record<Kind, Set<RTCRtpSender>>} */
  #senders = { audio: new Set(), video: new Set() };
  /** @type {Record<Kind, boolean | MediaTrackConstraints>} */
  #constraints;
  /** @type {Record<Kind, boolean>} */
  #muted;
  #onLost;

  /**
   * @param {MediaOptions} options
   * @param {(kind: Kind) => void} onLost a device went away, as by pulling its plug
   */
  constructor(options, onLost) {
    this.#constraints = { audio: options.audio ?? false, video: options.video ?? false };
    this.#muted = { audio: options.audioMuted ?? false, video: options.videoMuted ?? false };
    this.#onLost = onLost;
    for (const kind of KINDS) {
      const track = options.stream?.getTracks().find((t) => t.kind === kind && t.readyState === 'live');
      if (track) this.#take(kind, track);
    }
  }

  /**
   * Opens what was asked for and is not there yet.
   * @returns {Promise<DeviceRefusal[]>} what could not be had; those kinds are only received
   */
  async open() {
    const wish = (/** @type {Kind} */ kind) => {
      const off = kind === 'video' && this.#muted.video;
      return this.#tracks[kind] || off ? false : this.#constraints[kind];
    };
    const { stream, refusals } = await openDevices({ audio: wish('audio'), video: wish('video') });
    for (const track of stream.getTracks()) this.#take(/** @type {Kind} */ (track.kind), track);
    for (const { kind } of refusals) this.#constraints[kind] = false;
    return refusals;
  }

  /**
   * The track that is sent now, if there is one.
   * @param {Kind} kind
   */
  track(kind) {
    return this.#tracks[kind];
  }

  /**
   * Whether there is, or can be, anything to send.
   * @param {Kind} kind
   */
  sends(kind) {
    return this.#tracks[kind] !== null || this.#constraints[kind] !== false;
  }

  /** @param {Kind} kind */
  muted(kind) {
    return this.#muted[kind];
  }

  /**
   * From now on what is opened or replaced goes to this sender, too.
   * @param {Kind} kind
   * @param {RTCRtpSender} sender
   */
  attach(kind, sender) {
    this.#senders[kind].add(sender);
  }

  /**
   * Its session has ended.
   * @param {RTCRtpSender} sender
   */
  detach(sender) {
    for (const kind of KINDS) this.#senders[kind].delete(sender);
  }

  /**
   * Mutes or unmutes on this side.
   * @param {Kind} kind
   * @param {boolean} muted
   * @throws {DOMException} the camera cannot be opened again
   */
  async setMuted(kind, muted) {
    this.#muted[kind] = muted;
    const track = this.#tracks[kind];
    if (track) track.enabled = !muted;
    if (muted && kind === 'video' && this.#constraints.video) {
      this.#drop(kind);
      await this.#sendAs(kind, null);
    }
    const dead = !this.#tracks[kind] || this.#tracks[kind]?.readyState === 'ended';
    if (!muted && dead && this.#constraints[kind]) await this.#reopen(kind);
  }

  /**
   * Sends another track from now on, as after a change of device. A track that
   * was opened here is stopped.
   * @param {MediaStreamTrack} track
   */
  async replace(track) {
    const kind = /** @type {Kind} */ (track.kind);
    this.#drop(kind);
    this.#take(kind, track);
    await this.#sendAs(kind, track);
  }

  /**
   * Opens another device of a kind and sends that from now on. While the camera
   * is off, the choice holds for when it comes on again.
   * @param {Kind} kind
   * @param {MediaTrackConstraints} constraints
   */
  async choose(kind, constraints) {
    this.#constraints[kind] = constraints;
    if (kind === 'video' && this.#muted.video) return;
    await this.#reopen(kind);
  }

  /** Stops all devices. */
  close() {
    for (const kind of KINDS) this.#drop(kind);
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  async #sendAs(kind, track) {
    await Promise.all([...this.#senders[kind]].map((sender) => sender.replaceTrack(track)));
  }

  /** @param {Kind} kind */
  async #reopen(kind) {
    const stream = await navigator.mediaDevices.getUserMedia({ [kind]: this.#constraints[kind] });
    const [track] = stream.getTracks();
    if (kind === 'video' && this.#muted.video) {
      track.stop(); // it was muted again while the camera opened
      return;
    }
    await this.replace(track);
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  #take(kind, track) {
    this.#tracks[kind] = track;
    track.enabled = !this.#muted[kind];
    if (kind === 'video' && 'contentHint' in track && track.contentHint === '') track.contentHint = 'motion';
    track.addEventListener('ended', () => {
      if (this.#tracks[kind] === track) this.#onLost(kind);
    });
  }

  /** @param {Kind} kind */
  #drop(kind) {
    const track = this.#tracks[kind];
    this.#tracks[kind] = null;
    track?.stop();
  }
}
