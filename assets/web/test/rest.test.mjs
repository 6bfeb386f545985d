import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Rest, TuttiError, problemOf, retryAfter } from '../lib/rest.js';
import { RoomResources } from '../lib/resources.js';

const realFetch = globalThis.fetch;
afterEach(() => { globalThis.fetch = realFetch; });

/** Answers every request by a function of it, and writes the requests down. */
function answering(answer) {
  const asked = [];
  globalThis.fetch = async (url, options) => {
    asked.push({ url, ...options });
    return answer(new URL(url), options);
  };
  return asked;
}

const json = (value, status = 200, headers = {}) => new Response(JSON.stringify(value), { status, headers: { 'Content-Type': 'application/json', ...headers } });

test('a problem becomes an error with its code, field and wait', async () => {
  const error = await problemOf(json({ title: 'T', detail: 'max_tiles must be 1 to 49', code: 'invalid_field', field: 'max_tiles' }, 400,
    { 'Content-Type': 'application/problem+json; charset=utf-8', 'Retry-After': '3' }));
  assert.ok(error instanceof TuttiError);
  assert.deepEqual([error.status, error.code, error.field, error.retryAfterMs, error.message],
    [400, 'invalid_field', 'max_tiles', 3000, 'max_tiles must be 1 to 49']);
});

test('a page of a proxy in between is an error, too', async () => {
  const error = await problemOf(new Response('<h1>Bad gateway</h1>', { status: 502, statusText: 'Bad Gateway' }));
  assert.deepEqual([error.status, error.code, error.message], [502, 'http_502', 'Bad Gateway']);
  const broken = await problemOf(new Response('{', { status: 500, headers: { 'Content-Type': 'application/json' } }));
  assert.equal(broken.code, 'http_500');
});

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(retryAfter('2', now), 2000);
  assert.equal(retryAfter('Thu, 01 Jan 2026 00:00:05 GMT', now), 5000);
  assert.equal(retryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now), 0);
  assert.equal(retryAfter('soon', now), 0);
  assert.equal(retryAfter(null, now), 0);
});

test('the token goes with every request, and none without one', async () => {
  const asked = answering(() => json({}));
  await new Rest('https://mix.example/page/', 'abc').send('GET', '/v1/rooms');
  await new Rest('https://mix.example/').send('GET', '/v1/rooms');
  assert.equal(asked[0].url, 'https://mix.example/v1/rooms');
  assert.equal(asked[0].headers.Authorization, 'Bearer abc');
  assert.ok(!('Authorization' in asked[1].headers));
});

test('a server that is not there is told from one that refuses', async () => {
  globalThis.fetch = async () => { throw new TypeError('fetch failed'); };
  await assert.rejects(new Rest('https://mix.example').send('GET', '/x'), { code: 'network', status: 0 });
  const life = new AbortController();
  globalThis.fetch = async () => { life.abort(new Error('enough')); throw new TypeError('aborted'); };
  await assert.rejects(new Rest('https://mix.example').send('GET', '/x', { signal: life.signal }), /enough/);
});

test('a list may have a query of its own', async () => {
  const asked = answering(() => json({ rooms: [], next_page_token: '' }));
  await new Rest('https://mix.example').list('/v1/rooms?node=n-1', 'rooms');
  assert.deepEqual([...new URL(asked[0].url).searchParams], [['node', 'n-1'], ['page_size', '500']]);
});

test('lists are read to their last page', async () => {
  const asked = answering((url) => (url.searchParams.has('page_token')
    ? json({ participants: [{ id: 'c' }], next_page_token: '' })
    : json({ participants: [{ id: 'a' }, { id: 'b' }], next_page_token: 'x/y=' })));
  const people = await new RoomResources('demo', '', 'https://mix.example').listParticipants();
  assert.deepEqual(people.map((p) => p.id), ['a', 'b', 'c']);
  assert.equal(new URL(asked[1].url).searchParams.get('page_token'), 'x/y=');
});

test('requests are those of the API', async () => {
  const asked = answering((_url, { method }) => (method === 'DELETE' ? new Response(null, { status: 204 }) : json({})));
  const room = new RoomResources('r 1', '', 'https://mix.example');
  await room.setLayout('grid');
  await room.setLayout({ name: 'grid', max_tiles: 9 });
  await room.startRecording();
  await room.stopRecording('rec');
  await room.deleteRecording('rec');
  const at = 'https://mix.example/v1/rooms/r%201';
  assert.deepEqual(asked.map((r) => [r.method, r.url, r.headers['Content-Type'], r.body]), [
    ['PUT', `${at}/layout`, 'application/json', '{"name":"grid"}'],
    ['PUT', `${at}/layout`, 'application/json', '{"name":"grid","max_tiles":9}'],
    ['POST', `${at}/recordings`, 'application/json', '{"format":"webm"}'],
    ['PATCH', `${at}/recordings/rec`, 'application/merge-patch+json', '{"state":"ending"}'],
    ['DELETE', `${at}/recordings/rec`, undefined, undefined],
  ]);
});

test('a download link carries the token, if there is one', () => {
  const link = (token) => new RoomResources('r', token, 'https://mix.example').fileLink('rec', 'a b.webm');
  assert.equal(link(''), 'https://mix.example/v1/rooms/r/recordings/rec/files/a%20b.webm');
  assert.equal(new URL(link('a+b')).searchParams.get('access_token'), 'a+b');
});
