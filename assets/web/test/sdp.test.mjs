import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hearStereo, preferCodec, trickleFragment, values } from '../lib/sdp.js';

const OFFER = [
  'v=0', 'o=- 1 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111 63', 'c=IN IP4 0.0.0.0', 'a=mid:0', 'a=ice-ufrag:EsAw', 'a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1', 'a=sendrecv',
  'm=video 9 UDP/TLS/RTP/SAVPF 96', 'c=IN IP4 0.0.0.0', 'a=mid:1', 'a=ice-ufrag:EsAw', 'a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1', 'a=recvonly', '',
].join('\r\n');
const HOST = 'candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host';

test('a fragment has the shape of the example in RFC 9725', () => {
  assert.equal(trickleFragment(OFFER, [{ candidate: HOST, sdpMid: '0' }], true), [
    'a=group:BUNDLE 0 1',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111 63',
    'a=mid:0',
    'a=ice-ufrag:EsAw',
    'a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1',
    `a=${HOST}`,
    'a=end-of-candidates',
    '',
  ].join('\r\n'));
});

test('candidates stand in their own section, those without one in the first', () => {
  const fragment = trickleFragment(OFFER, [{ candidate: HOST, sdpMid: null }, { candidate: 'candidate:2 x', sdpMid: '1' }], false);
  assert.deepEqual(values(fragment, 'a=mid:'), ['0', '1']);
  const [, audio, video] = fragment.split(/(?=m=)/);
  assert.deepEqual(values(audio, 'a=candidate:'), [HOST.slice('candidate:'.length)]);
  assert.deepEqual(values(video, 'a=candidate:'), ['2 x']);
  assert.ok(!fragment.includes('end-of-candidates'));
});

test('the end of candidates is told without any', () => {
  const fragment = trickleFragment(OFFER, [{ candidate: '', sdpMid: '0' }], true);
  assert.ok(fragment.endsWith('a=end-of-candidates\r\n'));
  assert.ok(!fragment.includes('a=candidate'));
});

test('both channels of Opus are asked for, once, and of nothing else', () => {
  const lines = (...fmtp) => ['m=audio 9 UDP/TLS/RTP/SAVPF 111 63 109', 'a=rtpmap:111 opus/48000/2', ...fmtp, 'a=rtpmap:63 red/48000/2', ''].join('\r\n');
  const asked = lines('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1', 'a=fmtp:63 111/111');
  assert.equal(hearStereo(lines('a=fmtp:111 minptime=10;useinbandfec=1', 'a=fmtp:63 111/111')), asked);
  assert.equal(hearStereo(asked), asked);
  assert.ok(hearStereo(lines('a=fmtp:111 sprop-stereo=0')).includes('a=fmtp:111 sprop-stereo=0;stereo=1\r\n'));
  assert.equal(hearStereo(lines('a=fmtp:111 stereo=0')), lines('a=fmtp:111 stereo=0'));
  assert.equal(hearStereo(OFFER), OFFER);
});

test('the wanted codec comes first and nothing is lost', () => {
  const codecs = ['video/H264', 'video/vp8', 'video/rtx', 'video/VP8'].map((mimeType) => ({ mimeType }));
  assert.deepEqual(preferCodec(codecs, 'video/VP8').map((c) => c.mimeType), ['video/vp8', 'video/VP8', 'video/H264', 'video/rtx']);
  assert.deepEqual(preferCodec(codecs, 'video/AV1'), codecs);
});
