import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initials } from '../app/dom.js';
import { describe } from '../app/facts.js';
import { loudness } from '../app/meter.js';
import { levelOf, nameOf } from '../app/people.js';
import { nameFor } from '../app/recordings.js';
import { clock, explain, explainLeaving, sentence, size } from '../app/words.js';
import { TuttiError } from '../lib/rest.js';

const refusal = (status, code, detail = '') => new TuttiError(detail, { status, code, title: 'T', detail });

test('refusals are told in plain words', () => {
  assert.match(explain(refusal(409, 'room_full', 'the room has all the participants it may have')).title, /full/);
  assert.match(explain(refusal(404, 'room_not_found')).title, /no such room/);
  assert.match(explain(refusal(401, 'invalid_token', 'the token has expired')).title, /expired/);
  assert.match(explain(refusal(401, 'token_required')).title, /invitation/);
  assert.match(explain(refusal(0, 'network')).title, /cannot be reached/);
  assert.deepEqual(explain(refusal(418, 'teapot', 'short and stout')), { title: 'T', text: 'Short and stout.' });
});

test('refused devices are told by their kind', () => {
  const denied = new DOMException('', 'NotAllowedError');
  assert.match(explain(denied, 'video').title, /camera/);
  assert.match(explain(denied, 'audio').title, /microphone/);
  assert.equal(explain(new Error('boom')).text, 'boom');
});

test('only an unwished end is explained', () => {
  assert.equal(explainLeaving('left', null), null);
  assert.match(explainLeaving('removed', null).title, /removed/);
  assert.match(explainLeaving('lost', refusal(404, 'room_not_found')).title, /no such room/);
});

test('small formats', () => {
  assert.deepEqual([0, 61.9, 3723].map(clock), ['0:00', '1:01', '1:02:03']);
  assert.deepEqual([2300, 2.5e6, 1.234e9].map(size), ['2 kB', '2.5 MB', '1.23 GB']);
  assert.equal(sentence('  really?'), 'Really?');
  assert.equal(sentence(''), '');
  assert.deepEqual(['Ada King Lovelace', '김민지', ' ', '😀 x'].map(initials), ['AL', '김', '?', '😀X']);
  assert.equal(nameFor('demo', { started_at: '2026-11-22T18:57:11Z' }, 'a.webm'), 'demo-2026-11-22-1857.webm');
});

test('levels are between silent and loud', () => {
  assert.deepEqual([undefined, -127, -60, -15, 0].map(levelOf), [0, 0, 0, 1, 1]);
  assert.equal(loudness(new Float32Array(64)), 0);
  assert.equal(loudness(new Float32Array(64).fill(1)), 1);
});

test('facts that are not known are a dash', () => {
  const none = describe({ kbps: 1432.4, audioKbps: 32, videoKbps: 1400.4, sentKbps: 0, width: null, height: null, fps: null, delayMs: null, bufferMs: null, rttMs: null, lossPercent: null, bytes: 0 });
  assert.equal(none.kbps.value, '1,432');
  assert.deepEqual([none.size.value, none.fps.value, none.delay.value, none.loss.value], ['–', '–', '–', '–']);
});

test('an identifier is not shown for a name', () => {
  assert.equal(nameOf({ id: '7615e6e7aa', name: '7615e6e7', role: 'viewer' }), 'A viewer');
  assert.equal(nameOf({ id: '7615e6e7aa', name: '', role: 'participant' }), 'Somebody');
  assert.equal(nameOf({ id: '7615e6e7aa', name: 'Ada', role: 'participant' }), 'Ada');
});
