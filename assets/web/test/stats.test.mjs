import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatsMeter } from '../lib/stats.js';

const audio = (o) => ({ type: 'inbound-rtp', kind: 'audio', ...o });
const video = (o) => ({ type: 'inbound-rtp', kind: 'video', ...o });

test('figures are those of the time between two reports', () => {
  const meter = new StatsMeter();
  meter.read([
    audio({ bytesReceived: 1000, jitterBufferDelay: 10, jitterBufferEmittedCount: 48000, packetsReceived: 50, packetsLost: 0 }),
    video({ bytesReceived: 5000, jitterBufferDelay: 1, jitterBufferEmittedCount: 30, packetsReceived: 100, packetsLost: 4, framesDecoded: 30 }),
    { type: 'outbound-rtp', bytesSent: 100 },
  ], 1000);
  const s = meter.read([
    audio({ bytesReceived: 5000, jitterBufferDelay: 10 + 96000 * 0.04, jitterBufferEmittedCount: 48000 + 96000, packetsReceived: 150, packetsLost: 0 }),
    video({ bytesReceived: 255000, jitterBufferDelay: 1 + 60 * 0.02, jitterBufferEmittedCount: 90, packetsReceived: 390, packetsLost: 14, framesDecoded: 90, frameWidth: 1280, frameHeight: 720 }),
    { type: 'outbound-rtp', bytesSent: 25100 },
    { type: 'outbound-rtp', bytesSent: 0 },
    { type: 'candidate-pair', id: 'a', currentRoundTripTime: 9, nominated: true, state: 'succeeded' },
    { type: 'candidate-pair', id: 'b', currentRoundTripTime: 0.03 },
    { type: 'transport', selectedCandidatePairId: 'b' },
  ], 3000);
  assert.equal(s.audioKbps, 16);
  assert.equal(s.videoKbps, 1000);
  assert.equal(s.kbps, 1016);
  assert.equal(s.sentKbps, 100);
  assert.equal(s.fps, 30);
  assert.deepEqual([s.width, s.height], [1280, 720]);
  assert.ok(Math.abs(s.bufferMs - 40) < 1e-6, 'the longer buffer of the two');
  assert.equal(s.rttMs, 30);
  assert.ok(Math.abs(s.delayMs - 55) < 1e-6, 'buffer and half of the round trip');
  assert.equal(s.lossPercent, 2.5);
  assert.equal(s.bytes, 260000);
});

test('Firefox marks the pair in use by itself', () => {
  const s = new StatsMeter().read([{ type: 'candidate-pair', selected: false, currentRoundTripTime: 1 },
    { type: 'candidate-pair', selected: true, currentRoundTripTime: 0.008 }], 0);
  assert.equal(s.rttMs, 8);
});

test('what has nothing to stand on is null, and never NaN', () => {
  const s = new StatsMeter().read([], 1000);
  for (const key of ['width', 'height', 'fps', 'delayMs', 'bufferMs', 'rttMs', 'lossPercent']) assert.equal(s[key], null, key);
  assert.equal(s.kbps, 0);
  const still = new StatsMeter();
  still.read([video({ framesDecoded: 5 })], 1000);
  assert.equal(still.read([video({ framesDecoded: 5 })], 2000).fps, 0);
});

test('counters that fall back, as of late packets, give no negative figure', () => {
  const meter = new StatsMeter();
  meter.read([audio({ packetsLost: 10, packetsReceived: 100, bytesReceived: 900 })], 1000);
  const s = meter.read([audio({ packetsLost: 8, packetsReceived: 150, bytesReceived: 400 })], 2000);
  assert.equal(s.lossPercent, 0);
  assert.equal(s.audioKbps, 0);
});
