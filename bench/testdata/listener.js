// Somebody who only listens, made of libwebrtc.
//
//   node listener.js URL
//
// URL is a room's door for viewers. For every line on standard input it writes a
// line of JSON with what it has received since it began. It leaves when standard
// input ends. TOKEN is its bearer token; WITHOUT takes a payload name, such as
// red, out of its offer.
'use strict';

const readline = require('node:readline');
const { nonstandard, RTCPeerConnection } = require('@roamhq/wrtc');

const url = process.argv[2];
const authorization = { authorization: `Bearer ${process.env.TOKEN}` };

/** The SDP without a codec. */
function without(sdp, name) {
  const types = [...sdp.matchAll(new RegExp(`^a=rtpmap:(\\d+) ${name}/`, 'gm'))].map((m) => m[1]);
  return sdp.split('\r\n')
    .filter((line) => !types.some((t) => new RegExp(`^a=(rtpmap|fmtp|rtcp-fb):${t} `).test(line)))
    .map((line) => (line.startsWith('m=') ? line.split(' ').filter((word, i) => i < 3 || !types.includes(word)).join(' ') : line))
    .join('\r\n');
}

/** Enters the room and answers the address of the session. */
async function enter(pc) {
  const offer = await pc.createOffer();
  const sdp = process.env.WITHOUT ? without(offer.sdp, process.env.WITHOUT) : offer.sdp;
  await pc.setLocalDescription({ type: 'offer', sdp });
  while (pc.iceGatheringState !== 'complete') await new Promise((wake) => { setTimeout(wake, 10); });
  const headers = { 'content-type': 'application/sdp', ...authorization };
  const res = await fetch(url, { method: 'POST', headers, body: pc.localDescription.sdp });
  const answer = await res.text();
  if (res.status !== 201) throw new Error(`the offer is answered ${res.status}: ${answer}`);
  await pc.setRemoteDescription({ type: 'answer', sdp: answer });
  return new URL(res.headers.get('location'), url);
}

async function main() {
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  let sink;
  pc.addEventListener('track', ({ track }) => { sink = new nonstandard.RTCAudioSink(track); }); // or nothing is played
  pc.addTransceiver('audio', { direction: 'recvonly' });
  const session = await enter(pc);
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    const stats = [...(await pc.getStats()).values()].find((s) => s.type === 'inbound-rtp' && s.kind === 'audio') ?? {};
    process.stdout.write(`${JSON.stringify(stats)}\n`);
  }
  await fetch(session, { method: 'DELETE', headers: authorization });
  sink?.stop();
  pc.close();
  process.exit(0);
}

main().catch((err) => {
  process.stderr.write(`${err.stack}\n`);
  process.exit(1);
});
