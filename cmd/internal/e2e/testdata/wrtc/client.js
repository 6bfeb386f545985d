// A participant made of libwebrtc: sends a tone and a picture that moves, and
// receives the mix.
//
//   node client.js URL HZ R G B
//
// URL is a room's door. For every line on standard input it writes a line of
// JSON with what it has sent and received since it began (account in
// interop_test.go). It leaves when standard input ends. TOKEN is its bearer token.
'use strict';

const readline = require('node:readline');
const { nonstandard, MediaStream, RTCPeerConnection } = require('@roamhq/wrtc');

const { RTCAudioSink, RTCAudioSource, RTCVideoSink, RTCVideoSource } = nonstandard;
const [url, hz, ...colour] = process.argv.slice(2);
const authorization = process.env.TOKEN ? { authorization: `Bearer ${process.env.TOKEN}` } : {};

const RATE = 48000;
const SEEN = { width: 64, height: 36 };

/** Calls do(n) n times a second for as long as the process lives, and makes up for what was late. */
function beat(perSecond, act) {
  const begin = performance.now();
  let n = 0;
  setInterval(() => {
    for (; begin + (n * 1000) / perSecond <= performance.now(); n += 1) act(n);
  }, 5);
}

/** The track of a sine, handed over in tens of milliseconds. */
function tone(frequency) {
  const source = new RTCAudioSource();
  const size = RATE / 100;
  beat(100, (n) => {
    const samples = new Int16Array(size);
    samples.forEach((_, i) => { samples[i] = 3276 * Math.sin((2 * Math.PI * frequency * (n * size + i)) / RATE); });
    source.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: size });
  });
  return source.createTrack();
}

/** Y, U and V of ITU-R BT.601, limited range. */
function yuv([r, g, b]) {
  return [
    16 + 0.257 * r + 0.504 * g + 0.098 * b,
    128 - 0.148 * r - 0.291 * g + 0.439 * b,
    128 + 0.439 * r - 0.368 * g - 0.071 * b,
  ];
}

/** The track of a flat picture with something small that moves, 30 times a second. */
function picture(rgb) {
  const [width, height] = [320, 180];
  const source = new RTCVideoSource();
  const [y, u, v] = yuv(rgb);
  beat(30, (n) => {
    const data = new Uint8ClampedArray((width * height * 3) / 2);
    data.fill(y, 0, width * height);
    data.fill(u, width * height, (width * height * 5) / 4);
    data.fill(v, (width * height * 5) / 4);
    const left = (n * 4) % (width - 12);
    for (let row = 4; row < 16; row += 1) data.fill(y / 2, row * width + left, row * width + left + 12);
    source.onFrame({ width, height, data });
  });
  return source.createTrack();
}

/** The last half second of a track's sound, mono. */
class Ear {
  #kept = Buffer.alloc(RATE); // bytes

  constructor(track) {
    new RTCAudioSink(track).ondata = ({ samples, channelCount }) => {
      const mono = channelCount === 1 ? samples : samples.filter((_, i) => i % channelCount === 0);
      const heard = Buffer.from(mono.buffer, mono.byteOffset, mono.byteLength);
      this.#kept = Buffer.concat([this.#kept.subarray(heard.length), heard]);
    };
  }

  get heard() { return this.#kept.toString('base64'); }
}

/** The newest of a track's pictures, and how many there were. */
class Eye {
  frames = 0;
  width = 0;
  height = 0;
  #last = performance.now();
  #pause = 0;
  #frame;

  constructor(track) {
    new RTCVideoSink(track).onframe = ({ frame }) => {
      this.#see();
      this.frames += 1;
      [this.width, this.height, this.#frame] = [frame.width, frame.height, frame];
    };
  }

  #see() {
    const now = performance.now();
    this.#pause = Math.max(this.#pause, now - this.#last);
    this.#last = now;
  }

  /** The longest time without a picture since it was last asked for, in milliseconds. */
  pause() {
    const pause = Math.max(this.#pause, performance.now() - this.#last);
    this.#pause = 0;
    return pause;
  }

  /** The newest picture, made small, R, G and B a byte each. */
  get seen() {
    const small = Buffer.alloc(SEEN.width * SEEN.height * 3);
    const f = this.#frame;
    if (!f) return small.toString('base64');
    const half = f.width / 2;
    for (let i = 0; i < SEEN.width * SEEN.height; i += 1) {
      const x = Math.floor(((i % SEEN.width) + 0.5) * (f.width / SEEN.width));
      const y = Math.floor((Math.floor(i / SEEN.width) + 0.5) * (f.height / SEEN.height));
      const chroma = f.width * f.height + (y >> 1) * half + (x >> 1);
      const luma = 1.164 * (f.data[y * f.width + x] - 16);
      const u = f.data[chroma] - 128;
      const v = f.data[chroma + (f.width * f.height) / 4] - 128;
      [luma + 1.596 * v, luma - 0.391 * u - 0.813 * v, luma + 2.018 * u]
        .forEach((c, k) => { small[i * 3 + k] = Math.max(0, Math.min(255, c)); });
    }
    return small.toString('base64');
  }
}

/** Enters the room and answers the address of the session. */
async function enter(pc) {
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== 'complete') await new Promise((wake) => { setTimeout(wake, 10); });
  const headers = { 'content-type': 'application/sdp', ...authorization };
  const res = await fetch(url, { method: 'POST', headers, body: pc.localDescription.sdp });
  const sdp = await res.text();
  if (res.status !== 201) throw new Error(`the offer is answered ${res.status}: ${sdp}`);
  await pc.setRemoteDescription({ type: 'answer', sdp });
  return new URL(res.headers.get('location'), url);
}

/** What the client tells of itself. */
async function account(pc, ear, eye) {
  const of = {};
  for (const s of (await pc.getStats()).values()) of[s.type + (s.kind ? ` ${s.kind}` : '')] = s;
  const [audio, video] = [of['inbound-rtp audio'] ?? {}, of['inbound-rtp video'] ?? {}];
  const [spoken, shown] = [of['outbound-rtp audio'] ?? {}, of['outbound-rtp video'] ?? {}];
  return {
    state: pc.connectionState,
    srtp: of.transport?.srtpCipher?.replace(/^AES_CM_128/, 'AES128_CM').replace(/^(?!SRTP_)/, 'SRTP_'), // old names
    sound: { packets: audio.packetsReceived, lost: audio.packetsLost },
    picture: {
      packets: video.packetsReceived, lost: video.packetsLost, frames: eye?.frames, width: eye?.width, height: eye?.height,
      nacks: video.nackCount, plis: video.pliCount, pause_ms: eye?.pause(),
    },
    sent: {
      sound: spoken.packetsSent, picture: shown.packetsSent, frames: shown.framesEncoded,
      nacks: shown.nackCount, plis: shown.pliCount, repairs: shown.retransmittedPacketsSent,
    },
    heard: ear?.heard,
    seen: eye?.seen,
  };
}

async function main() {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const mine = new MediaStream();
  let ear;
  let eye;
  pc.addEventListener('track', ({ track }) => {
    if (track.kind === 'audio') ear = new Ear(track);
    else eye = new Eye(track);
  });
  pc.addTrack(tone(Number(hz)), mine);
  pc.addTrack(picture(colour.map(Number)), mine);
  const session = await enter(pc);
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await account(pc, ear, eye))}\n`);
  }
  await fetch(session, { method: 'DELETE', headers: authorization });
  pc.close();
  process.exit(0); // the sources' timers would keep it
}

main().catch((err) => {
  process.stderr.write(`${err.stack}\n`);
  process.exit(1);
});
