import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventFeed, EventParser } from '../lib/sse.js';
import { TuttiError } from '../lib/rest.js';

/** All events of a stream that comes in the given pieces. */
function parse(...pieces) {
  const parser = new EventParser();
  return { parser, events: pieces.flatMap((piece) => parser.push(piece)) };
}

const STREAM = '\uFEFFretry: 1000\n\n: alive\n\nid: 1\nevent: a\ndata: {"x":1}\n\nid:2\r\ndata: one\r\ndata:  two\r\n\r\n'
  + 'event: nothing\r\revent: b\rdata\r\rid: 3\ndata: é漢\n\ndata: cut off';
const EVENTS = [
  { id: '1', type: 'a', data: '{"x":1}' },
  { id: '2', type: 'message', data: 'one\n two' },
  { id: '2', type: 'b', data: '' },
  { id: '3', type: 'message', data: 'é漢' },
];

test('a stream is cut into events whatever its line ends', () => {
  const { parser, events } = parse(STREAM);
  assert.deepEqual(events, EVENTS);
  assert.equal(parser.lastID, '3');
  assert.equal(parser.retryMs, 1000);
});

test('it does not matter where the pieces are cut', () => {
  for (let at = 0; at <= STREAM.length; at += 1) {
    assert.deepEqual(parse(STREAM.slice(0, at), STREAM.slice(at)).events, EVENTS, `cut at ${at}`);
  }
  assert.deepEqual(parse(...STREAM).events, EVENTS);
});

test('bad retries and identifiers are passed over', () => {
  const { parser } = parse('id: good\nretry: 12\n\nid: b\0d\nretry: -1\nretry: soon\n\n');
  assert.equal(parser.lastID, 'good');
  assert.equal(parser.retryMs, 12);
});

/** A Rest whose streams are given, and that writes down what it was asked. */
function fakeRest(answers) {
  const asked = [];
  return {
    asked,
    async send(_method, _path, { headers, signal }) {
      asked.push(headers['Last-Event-ID'] ?? '');
      const answer = answers[asked.length - 1];
      if (answer === undefined) {
        return { body: new ReadableStream({ start(c) { signal.addEventListener('abort', () => c.error(new Error('aborted'))); } }) };
      }
      if (answer instanceof Error) throw answer;
      return new Response(answer);
    },
  };
}

test('a feed resumes after the last event it saw, and says when it is open and lost', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const rest = fakeRest(['id: 7\ndata: x\n\n', new TuttiError('down', { code: 'network' })]);
  const said = [];
  const feed = new EventFeed(rest, '/events', {
    event: (e) => said.push(e.data),
    open: () => said.push('open'),
    lost: (error) => said.push(error ? 'failed' : 'ended'),
    refused: () => said.push('refused'),
  });
  for (let i = 0; i < 50 && rest.asked.length < 3; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(2000);
  }
  await new Promise((resolve) => setImmediate(resolve));
  feed.close();
  assert.deepEqual(rest.asked, ['', '7', '7']);
  assert.deepEqual(said, ['open', 'x', 'ended', 'failed', 'open']);
});

test('a feed that may not read gives up and says so', async (t) => {
  const rest = fakeRest([new TuttiError('no', { status: 403 })]);
  const error = await new Promise((resolve) => {
    const on = { event() {}, open() {}, lost() { resolve(null); }, refused: resolve };
    const feed = new EventFeed(rest, '/events', on);
    t.after(() => feed.close());
  });
  assert.equal(error?.status, 403);
  assert.equal(rest.asked.length, 1);
});
