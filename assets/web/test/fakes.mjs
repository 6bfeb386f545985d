/**
 * A browser and a server for the tests of tutti.js: just enough of WebRTC and
 * of the API, in one process and under mocked timers.
 */

export class FakeTrack extends EventTarget {
  enabled = true;
  readyState = 'live';
  contentHint = '';
  constructor(kind) { super(); this.kind = kind; }
  stop() { this.readyState = 'ended'; }
}

export class FakeStream {
  #tracks;
  constructor(tracks = []) { this.#tracks = [...tracks]; }
  getTracks() { return [...this.#tracks]; }
  addTrack(track) { this.#tracks.push(track); }
}

export class FakePeer extends EventTarget {
  static all = [];
  /** Whether answers lead to a connection. */
  static connects = true;
  connectionState = 'new';
  localDescription = null;
  transceivers = [];
  bytes = 0;
  constructor() { super(); FakePeer.all.push(this); }

  addTransceiver(trackOrKind, { direction }) {
    const kind = typeof trackOrKind === 'string' ? trackOrKind : trackOrKind.kind;
    const sender = {
      track: typeof trackOrKind === 'string' ? null : trackOrKind,
      replaceTrack: async (track) => {
        if (this.connectionState === 'closed') throw new DOMException('closed', 'InvalidStateError');
        sender.track = track;
      },
    };
    const transceiver = { kind, direction, sender, codecs: [], setCodecPreferences(c) { transceiver.codecs = c; } };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers() { return this.transceivers; }

  async createOffer() {
    const media = this.transceivers.map((t, i) => `m=${t.kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:${i}\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=${t.direction}\r\n`);
    return { type: 'offer', sdp: `v=0\r\na=group:BUNDLE 0 1\r\n${media.join('')}` };
  }

  async setLocalDescription(description) {
    this.localDescription = description;
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: { candidate: 'candidate:1 host', sdpMid: '0' } }));
    this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate: null }));
  }

  async setRemoteDescription() {
    for (const kind of ['audio', 'video']) this.dispatchEvent(Object.assign(new Event('track'), { track: new FakeTrack(kind) }));
    if (FakePeer.connects) setTimeout(() => this.become('connected'), 10);
  }

  become(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  async getStats() {
    return new Map([['a', { type: 'inbound-rtp', kind: 'audio', bytesReceived: this.bytes }]]);
  }

  close() { this.connectionState = 'closed'; }
}

/** The server of one room. */
export class FakeServer {
  /** Every request, as "METHOD path". */
  log = [];
  bodies = [];
  /** Those that outlive the page. */
  kept = [];
  headers = [];
  /** @type {Map<string, {name: string, role: string, audio: object, video: object}>} */
  sessions = new Map();
  down = false;
  /** Status and code to refuse the next offers with, and headers. */
  refusal = null;
  /** What a router says of all sessions while it knows no node for them: status and code. */
  homeless = null;
  /** Whether sessions begin muted, as those do that resume such a one. */
  startMuted = false;
  /** Whom each session resumes, as asked. */
  resumed = [];
  #feeds = new Set();
  #next = 0;
  #seq = 0;

  fetch = async (address, { method, body, headers, signal, keepalive }) => {
    const url = new URL(address);
    const path = url.pathname.replace('/v1/rooms/demo/', '');
    this.log.push(`${method} ${path}`);
    this.bodies.push(body);
    this.headers.push(headers);
    if (keepalive) this.kept.push(`${method} ${path}`);
    if (this.down) throw new TypeError('fetch failed');
    await null;
    return this.#answer(method, path, url, body, signal);
  };

  #answer(method, path, url, body, signal) {
    const [kind, id] = path.split('/');
    if (path === 'events') return this.#feed(signal);
    if (path === 'layout') return Response.json({ name: 'auto' });
    if (path === 'participants' && method === 'GET') {
      return Response.json({ participants: [...this.sessions].map(([i, p]) => ({ id: i, state: 'active', ...p })), next_page_token: '' });
    }
    if (method === 'POST') return this.#join(path, url);
    if (this.homeless) return problem(...this.homeless);
    if (kind !== 'participants' || !this.sessions.has(id)) return problem(404, 'participant_not_found');
    if (method === 'DELETE') this.sessions.delete(id);
    else if (method === 'PATCH' && body.startsWith('{')) {
      for (const [part, change] of Object.entries(JSON.parse(body))) Object.assign(this.sessions.get(id)[part], change);
    }
    return method === 'GET' ? Response.json({ id }) : new Response(null, { status: 204 });
  }

  #join(door, url) {
    if (this.refusal) return problem(...this.refusal);
    this.#next += 1;
    this.resumed.push(url.searchParams.get('resumes'));
    const id = `s${this.#next}`;
    const muted = this.startMuted;
    this.sessions.set(id, { name: url.searchParams.get('name') ?? '', role: door, audio: { muted }, video: { muted: false } });
    return new Response('v=0', { status: 201, headers: { Location: `/v1/rooms/demo/participants/${id}`, ETag: '"i1"' } });
  }

  #feed(signal) {
    if (this.sessions.size === 0) return problem(404, 'room_not_found'); // nobody has made the room anew yet
    let mine;
    const body = new ReadableStream({ start: (c) => { mine = c; this.#feeds.add(c); } });
    signal.addEventListener('abort', () => { this.#feeds.delete(mine); try { mine.error(signal.reason); } catch { /* ended */ } });
    return new Response(body);
  }

  /** Tells an event to all who listen. */
  tell(event) {
    this.#seq += 1;
    const text = `id: ${this.#seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    for (const feed of this.#feeds) feed.enqueue(new TextEncoder().encode(text));
  }

  /** Loses all sessions and all feeds, as a killed process does. */
  crash() {
    this.sessions.clear();
    this.cutFeeds();
  }

  /** Ends all feeds, as a router does whose node went away. */
  cutFeeds() {
    for (const feed of this.#feeds) feed.error(new TypeError('network error'));
    this.#feeds.clear();
  }
}

function problem(status, code, headers = {}) {
  return new Response(JSON.stringify({ status, code, title: code }), { status, headers: { 'Content-Type': 'application/problem+json', ...headers } });
}

/** Puts the fakes in place of the browser; answers the server and a clock. */
export function world(t) {
  const server = new FakeServer();
  const before = { fetch: globalThis.fetch, RTCPeerConnection: globalThis.RTCPeerConnection, RTCRtpReceiver: globalThis.RTCRtpReceiver, MediaStream: globalThis.MediaStream };
  Object.assign(globalThis, {
    fetch: server.fetch,
    RTCPeerConnection: FakePeer,
    RTCRtpReceiver: { getCapabilities: () => ({ codecs: [{ mimeType: 'video/H264' }, { mimeType: 'video/VP8' }] }) },
    MediaStream: FakeStream,
  });
  FakePeer.all = [];
  FakePeer.connects = true;
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  t.after(() => Object.assign(globalThis, before));
  const pass = async (ms) => {
    for (let gone = 0; gone <= ms; gone += 10) {
      for (let i = 0; i < 4; i += 1) await new Promise((resolve) => setImmediate(resolve));
      if (gone < ms) t.mock.timers.tick(10);
    }
  };
  return { server, pass };
}
