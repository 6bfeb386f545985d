/**
 * The client of a Tutti room: join it or watch it, and stay in it.
 *
 * ```js
 * import { Room } from './tutti.js';
 * const room = new Room({ url: 'https://mix.example', room: 'demo', name: 'Ada', token });
 * room.addEventListener('media', ({ detail }) => { video.srcObject = detail.stream; });
 * await room.join({ audio: true, video: true });
 * ```
 *
 * Events are CustomEvents; what their `detail` holds is told at {@link RoomEvents}.
 * @module
 */

import { EventFeed } from './lib/sse.js';
import { LocalMedia } from './lib/media.js';
import { Move } from './lib/move.js';
import { Backoff, pause, worthRetrying } from './lib/retry.js';
import { RoomResources } from './lib/resources.js';
import { TuttiError } from './lib/rest.js';
import { Session } from './lib/session.js';
import { StatsMeter } from './lib/stats.js';

export { openDevices } from './lib/media.js';
export { TuttiError } from './lib/rest.js';

/** @typedef {import('./lib/media.js').Kind} Kind */
/** @typedef {import('./lib/media.js').MediaOptions} MediaOptions */
/** @typedef {import('./lib/media.js').DeviceRefusal} DeviceRefusal */
/** @typedef {import('./lib/stats.js').StreamStats} StreamStats */
/** @typedef {import('./types.js').Layout} Layout */
/** @typedef {import('./types.js').Participant} Participant */
/** @typedef {import('./types.js').Recording} Recording */
/** @typedef {import('./types.js').RoomEvents} RoomEvents */
/** @typedef {import('./types.js').RoomState} RoomState */

/** How often the received stream is measured, in milliseconds. */
const STATS_MS = 1000;
/** A stream without a byte for so many measurements is asked about. */
const SILENT_STATS = 4;
/** Who lost the session tries again within so long, at a random time, in milliseconds. */
const FIRST_RETRY_MS = 300;
/** Several events at once cost one look at the list of participants. */
const REFRESH_MS = 80;

/**
 * A room as one client is in it. One at a time: after `left` it may be joined
 * again.
 */
export class Room extends RoomResources {
  #name;
  /** @type {RoomState} */
  #state = 'left';
  #door = 'participants';
  /** @type {LocalMedia | null} */
  #local = null;
  /** @type {Session | null} */
  #session = null;
  /** @type {Move | null} */
  #move = null;
  /** @type {{join_within_ms?: number, leave_after_ms?: number} | null} */
  #nextMove = null;
  /** Whether the events have come as far as our own arrival; those before are of another time. */
  #arrived = false;
  /** @type {EventFeed | null} */
  #feed = null;
  #life = new AbortController();
  #meter = new StatsMeter();
  /** @type {StreamStats | null} */
  #stats = null;
  #silent = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticker;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #refresh;
  /** @type {Participant[]} */
  #participants = [];
  #changes = 0;
  /** What was muted or unmuted since the server copied the last session's state. @type {Set<Kind>} */
  #touched = new Set();
  #onPageHide = () => { this.#end('page_closed', null, true); };

  /**
   * @param {object} options
   * @param {string} options.room identifier of the room, [A-Za-z0-9_-]{1,64}
   * @param {string} [options.name] shown on the tile
   * @param {string} [options.token] bearer token
   * @param {string} [options.url] address of the server; the page's own by default
   */
  constructor({ room, name = '', token = '', url = globalThis.location?.href }) {
    super(room, token, url);
    this.#name = name;
  }

  /** @returns {RoomState} */
  get state() { return this.#state; }

  /** The participant's own identifier; empty while there is no session. */
  get participant() { return this.#session?.participant ?? ''; }

  /** What is received now: one sound and one picture. */
  get stream() { return this.#session?.stream ?? null; }

  /** The peer connection of the present session, for whoever wants to look deeper. */
  get peer() { return this.#session?.pc ?? null; }

  /** The participants when last looked at. */
  get participants() { return this.#participants; }

  /** True for a watcher, who sends nothing. */
  get watching() { return this.#local === null; }

  /**
   * Joins with sound and picture, as far as they can be had: a refused camera
   * is told by an `error` event and the room is joined without. Resolves when
   * media can flow.
   * @param {MediaOptions} [media] nothing: listens and looks, but is listed
   * @throws {TuttiError} the server refuses, or cannot be reached
   */
  async join(media = {}) {
    this.#begin('participants');
    const local = new LocalMedia(media, (kind) => this.#onDeviceLost(kind));
    this.#local = local;
    const { signal } = this.#life;
    const refusals = await local.open();
    for (const refusal of refusals) this.#emit('error', { error: refusal.error, kind: refusal.kind });
    if (signal.aborted) {
      local.close();
      throw signal.reason;
    }
    await this.#enter();
  }

  /**
   * Receives only. Resolves when media can flow.
   * @throws {TuttiError} the server refuses, or cannot be reached
   */
  async watch() {
    this.#begin('whep');
    this.#local = null;
    await this.#enter();
  }

  /** Leaves. The devices that were opened are off when it returns. */
  async leave() {
    await this.#end('left', null);
  }

  /** Mutes the microphone here and tells the server. */
  muteAudio() { return this.setMuted('audio', true); }

  /** Unmutes the microphone here and tells the server. */
  unmuteAudio() { return this.setMuted('audio', false); }

  /** Switches the camera off here and tells the server. */
  muteVideo() { return this.setMuted('video', true); }

  /** Switches the camera on here and tells the server. */
  unmuteVideo() { return this.setMuted('video', false); }

  /**
   * @param {Kind} kind
   * @param {boolean} muted
   * @throws {TuttiError | DOMException} the server refuses, or the camera cannot be opened
   */
  async setMuted(kind, muted) {
    if (!this.#local) return;
    this.#changes += 1;
    this.#touched.add(kind);
    try {
      await this.#local.setMuted(kind, muted);
    } finally {
      this.#emit('muted', { kind, muted: this.muted(kind), byServer: false });
    }
    await this.#tellMuted(kind);
  }

  /**
   * Whether nothing of that kind is sent.
   * @param {Kind} kind
   */
  muted(kind) {
    return !this.#local || !this.#local.sends(kind) || this.#local.muted(kind);
  }

  /**
   * Whether there is a device of that kind to mute and unmute.
   * @param {Kind} kind
   */
  sends(kind) {
    return this.#local?.sends(kind) ?? false;
  }

  /**
   * The own track that is sent now, as for a level meter.
   * @param {Kind} kind
   */
  localTrack(kind) {
    return this.#local?.track(kind) ?? null;
  }

  /**
   * Sends from another device.
   * @param {Kind} kind
   * @param {MediaTrackConstraints} constraints such as {deviceId}
   * @throws {DOMException}
   */
  async chooseDevice(kind, constraints) {
    if (this.#local?.sends(kind)) await this.#local.choose(kind, constraints);
  }

  /** The stream over the last second; null before the first measurement. */
  stats() { return this.#stats; }

  /**
   * Looks who is there now, tells it by a `participants` event and answers it.
   * @returns {Promise<Participant[]>}
   */
  async refreshParticipants() {
    const changes = this.#changes;
    this.#participants = await this.listParticipants();
    this.#emit('participants', { participants: this.#participants });
    // A list that was asked for before the last change here knows less than we do.
    if (changes === this.#changes) this.#obeyServer();
    return this.#participants;
  }

  // ---- life --------------------------------------------------------------

  /** @param {string} door */
  #begin(door) {
    if (this.#state !== 'left') throw new TuttiError('Already in the room.', { code: 'already_joined' });
    this.#door = door;
    this.#life = new AbortController();
    this.#arrived = false;
    this.#touched.clear();
    this.#setState('connecting');
  }

  async #enter() {
    const { signal } = this.#life;
    try {
      this.#play(await this.#open(signal));
    } catch (error) {
      await this.#end('failed', null);
      throw error;
    }
    globalThis.addEventListener?.('pagehide', this.#onPageHide);
    this.#ticker = setInterval(() => this.#tick(), STATS_MS);
    this.#feed = new EventFeed(this.rest, this.at('events'), {
      event: (event) => this.#onServerEvent(event),
      open: () => this.#onFeedOpen(),
      lost: () => { this.#checkSession(); },
      refused: (error) => this.#emit('error', { error }),
    });
    this.#emit('joined', { participant: this.participant, watching: this.watching });
  }

  /**
   * Opens another session, with what the server knows of the present one.
   * @param {AbortSignal} signal
   * @returns {Promise<Session>} connected
   */
  async #open(signal) {
    const session = new Session(this.rest, this.#local, (why) => this.#onLost(session, why));
    const query = new URLSearchParams();
    if (this.#name) query.set('name', this.#name);
    if (this.participant) query.set('resumes', this.participant);
    await session.open(`${this.at(this.#door)}?${query}`.replace(/\?$/, ''), signal);
    this.#tellOpeningMutes(session);
    return session;
  }

  /**
   * From now on this session is the one that is played.
   * @param {Session} session
   */
  #play(session) {
    const old = this.#session;
    this.#session = session;
    this.#meter = new StatsMeter();
    this.#silent = 0;
    if (this.#state !== 'connected') this.#setState('connected');
    this.#emit('media', { stream: session.stream });
    old?.close();
  }

  /**
   * @param {Session} session
   * @param {string} why
   */
  #onLost(session, why) {
    if (this.#move && session === this.#session) this.#move.hurry();
    else if (this.#move) this.#move.fail(new TuttiError('The new session was lost.', { code: why }));
    else if (session === this.#session && this.#state === 'connected') this.#reconnect(why);
  }

  /**
   * The room goes to another node: what is played stays until the new session
   * is there and everybody else's, too. Where that fails the room is come back to
   * as after any loss.
   * @param {{join_within_ms?: number, leave_after_ms?: number}} [asked]
   */
  async #follow(asked = {}) {
    if (this.#state !== 'connected') return; // who comes back gets to the new node anyway
    if (this.#move) {
      this.#nextMove = asked;
      return;
    }
    const { signal } = this.#life;
    this.#move = new Move(asked);
    this.#touched.clear();
    try {
      const session = await this.#move.run((s) => this.#open(s), signal);
      this.#move = null;
      this.#play(session);
    } catch (error) {
      if (signal.aborted) return;
      this.#move = null;
      this.#nextMove = null;
      this.#reconnect('move_failed', error instanceof TuttiError ? error.retryAfterMs : 0);
      return;
    }
    this.#scheduleRefresh();
    if (this.#nextMove) this.#follow(this.#nextMove);
    this.#nextMove = null;
  }

  /**
   * @param {string} why
   * @param {number} [wait] what the server has asked to wait, in milliseconds
   */
  async #reconnect(why, wait = 0) {
    if (this.#state !== 'connected') return;
    this.#setState('reconnecting', why);
    const { signal } = this.#life;
    const lostAt = performance.now();
    const backoff = new Backoff({ firstMs: FIRST_RETRY_MS });
    this.#touched.clear();
    this.#session?.retire();
    for (;;) {
      try {
        await pause(backoff.next(wait), signal, onceOnline);
        this.#play(await this.#open(signal));
        this.#scheduleRefresh();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof TuttiError) || !worthRetrying(error, performance.now() - lostAt)) {
          this.#end('lost', error);
          return;
        }
        wait = error.retryAfterMs;
      }
    }
  }

  /**
   * @param {string} reason
   * @param {unknown} error
   * @param {boolean} [keepalive] the page is going away
   */
  async #end(reason, error, keepalive = false) {
    if (this.#state === 'left') return;
    this.#life.abort(new TuttiError('The room was left.', { code: 'left' }));
    globalThis.removeEventListener?.('pagehide', this.#onPageHide);
    clearInterval(this.#ticker);
    clearTimeout(this.#refresh);
    this.#refresh = undefined;
    this.#feed?.close();
    this.#local?.close();
    const sessions = [this.#session, this.#move?.session];
    this.#feed = null;
    this.#session = null;
    this.#move = null;
    this.#nextMove = null;
    this.#stats = null;
    this.#participants = [];
    this.#setState('left', reason);
    this.#emit('left', { reason, error });
    await Promise.all(sessions.map((session) => session?.close({ keepalive })));
  }

  // ---- what the server tells ---------------------------------------------

  #onFeedOpen() {
    this.#scheduleRefresh();
    this.#checkSession();
    this.getLayout().then((layout) => this.#emit('layout', layout), () => {});
    this.#emit('recording', {});
  }

  /** @param {import('./lib/sse.js').ServerEvent} raw */
  #onServerEvent(raw) {
    /** @type {any} */
    let event;
    try {
      event = JSON.parse(raw.data);
    } catch {
      return;
    }
    this.#emit('event', event);
    const type = String(event.type ?? raw.type);
    if (type === 'active_speaker_changed') this.#emit('speaker', { participant: event.participant ?? null });
    else if (type === 'layout_changed' && event.layout) this.#emit('layout', event.layout);
    else if (type.startsWith('recording_')) this.#emit('recording', { recording: event.recording, time: event.time });
    else if (type.startsWith('participant_') || type.startsWith('track_')) this.#scheduleRefresh();
    const own = this.#isOwn(event.participant?.id);
    if (type === 'participant_joined' && own) this.#arrived = true;
    if (type === 'participant_left' && own) this.#onPutOut(event.reason);
    if (type === 'room_moved' && this.#arrived) this.#follow(event.move);
  }

  /**
   * Whether that is one of our sessions.
   * @param {string | undefined} id
   */
  #isOwn(id) {
    return Boolean(id) && (id === this.participant || id === this.#move?.session?.participant);
  }

  /**
   * Our own session ended on the server. Who was removed stays out, and so does
   * everybody when the room was closed; a session that only died, as by a silent
   * network or a server that stops, is made anew.
   * @param {string | undefined} reason
   */
  #onPutOut(reason) {
    if (this.#state !== 'connected') return;
    if (reason === 'removed' || reason === 'left') this.#end('removed', null);
    else if (reason === 'deleted') this.#end('room_closed', null);
    else if (this.#move) this.#move.hurry(); // the old node does not wait any longer
    else this.#reconnect(reason || 'session_ended');
  }

  /** Asks whether our session still lives, as after the server was away. */
  async #checkSession() {
    const session = this.#session;
    if (!session || this.#state !== 'connected' || this.#move) return;
    try {
      await this.rest.send('GET', session.path);
    } catch (error) {
      const status = error instanceof TuttiError ? error.status : 0;
      const gone = status === 404 || status === 410;
      // A router that knows of no node for us says 503; while media flows, ours lives.
      const silent = this.#silent >= (status === 503 ? 1 : SILENT_STATS);
      if (session !== this.#session || this.#move) return;
      if (gone || silent) this.#reconnect(gone ? 'session_gone' : 'unreachable');
    }
  }

  #scheduleRefresh() {
    if (this.#refresh !== undefined || this.#state === 'left') return;
    this.#refresh = setTimeout(() => {
      this.#refresh = undefined;
      this.refreshParticipants().catch(() => {}); // told by the next one
    }, REFRESH_MS);
  }

  // ---- muting ------------------------------------------------------------

  /**
   * Tells the session, and while the room moves also the one on the new node,
   * where others may listen already. Who has none tells it with the next one.
   * @param {Kind} kind
   */
  async #tellMuted(kind) {
    if (this.#state !== 'connected' || !this.#session) return;
    const next = this.#move?.session;
    const old = this.#tellSession(this.#session, kind);
    await (next ? Promise.all([this.#tellSession(next, kind), old.catch(() => {})]) : old);
  }

  /**
   * @param {Session} session
   * @param {Kind} kind
   */
  async #tellSession(session, kind) {
    if (!this.#local?.sends(kind)) return;
    await this.rest.merge(session.path, { [kind]: { muted: this.#local.muted(kind) } });
  }

  /**
   * A new session starts unmuted on the server, or as the one before was when
   * the server copied its state.
   * @param {Session} session
   */
  #tellOpeningMutes(session) {
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      if (!this.#local?.muted(kind) && !this.#touched.has(kind)) continue;
      this.#tellSession(session, kind).catch((error) => this.#emit('error', { error }));
    }
  }

  /** Whoever was muted by a moderator is muted here too, and knows. */
  #obeyServer() {
    const own = this.#participants.find((p) => p.id === (this.#move?.session?.participant ?? this.participant));
    if (!own || !this.#local) return;
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      if (!own[kind]?.muted || this.muted(kind)) continue;
      this.#local.setMuted(kind, true).catch(() => {}); // muting opens no device
      this.#emit('muted', { kind, muted: true, byServer: true });
    }
  }

  /** @param {Kind} kind */
  #onDeviceLost(kind) {
    const error = new DOMException('The device went away.', 'NotReadableError');
    this.#emit('error', { error, kind });
    this.setMuted(kind, true).catch(() => {}); // the device is off in any case
  }

  // ---- measuring ---------------------------------------------------------

  async #tick() {
    const session = this.#session;
    if (!session || this.#state !== 'connected') return;
    const report = await session.pc.getStats();
    if (session !== this.#session) return;
    const before = this.#stats?.bytes ?? 0;
    const first = !this.#meter.started;
    this.#stats = this.#meter.read(report.values(), performance.now());
    this.#silent = this.#stats.bytes === before ? this.#silent + 1 : 0;
    if (!first) this.#emit('stats', this.#stats); // the first has no rates yet
    if (this.#silent > 0 && this.#silent % SILENT_STATS === 0) this.#checkSession();
  }

  // ---- small things ------------------------------------------------------

  /**
   * @param {RoomState} state
   * @param {string} [reason]
   */
  #setState(state, reason = '') {
    this.#state = state;
    this.#emit('state', { state, reason });
  }

  /**
   * @param {keyof RoomEvents} type
   * @param {unknown} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * A network that comes back is tried at once.
 * @param {() => void} wake
 */
function onceOnline(wake) {
  globalThis.addEventListener?.('online', wake);
  return () => globalThis.removeEventListener?.('online', wake);
}
