import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, PATIENCE_MS, pause, worthRetrying } from '../lib/retry.js';

test('back-off doubles its window up to the cap and starts again after a reset', () => {
  const backoff = new Backoff({ baseMs: 100, capMs: 500, random: () => 1 });
  assert.deepEqual([1, 2, 3, 4, 5].map(() => backoff.next()), [100, 200, 400, 500, 500]);
  assert.equal(backoff.attempts, 5);
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test('back-off draws from the upper half of the window', () => {
  assert.equal(new Backoff({ baseMs: 100, random: () => 0 }).next(), 50);
  for (let i = 0; i < 200; i += 1) {
    const delay = new Backoff({ baseMs: 100 }).next();
    assert.ok(delay >= 50 && delay < 100, `${delay}`);
  }
});

test('the first delay is drawn from all of its own window, and what the server asks to wait comes first', () => {
  assert.equal(new Backoff({ firstMs: 300, random: () => 0 }).next(), 0);
  assert.equal(new Backoff({ firstMs: 300, random: () => 0.5 }).next(2000), 2150);
  const backoff = new Backoff({ firstMs: 300, baseMs: 500, random: () => 1 });
  assert.deepEqual([1, 2, 3].map(() => backoff.next()), [300, 500, 1000]);
});

test('what the server asks to wait is a lower bound that keeps its jitter', () => {
  assert.equal(new Backoff({ baseMs: 100, random: () => 0 }).next(5000), 5050);
});

test('only what may pass is tried again', () => {
  const cases = [
    [{ status: 0, code: 'network' }, true, true],
    [{ status: 500 }, true, true],
    [{ status: 503 }, true, true],
    [{ status: 429 }, true, true],
    [{ status: 501 }, false, false],
    [{ status: 400 }, false, false],
    [{ status: 401 }, false, false],
    [{ status: 403 }, false, false],
    [{ status: 422 }, false, false],
    [{ status: 404 }, true, false],
    [{ status: 409 }, true, false],
    [{ status: 410 }, true, false],
  ];
  for (const [error, soon, late] of cases) {
    assert.equal(worthRetrying(error, 0), soon, `${error.status} at once`);
    assert.equal(worthRetrying(error, PATIENCE_MS), late, `${error.status} after a while`);
  }
});

test('a pause ends by its time, by hurry or by its signal, and leaves nothing behind', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const life = new AbortController();
  const timed = pause(1000, life.signal);
  t.mock.timers.tick(1000);
  await timed;

  let wake = () => {};
  let unsubscribed = 0;
  const hurried = pause(1e6, life.signal, (f) => { wake = f; return () => { unsubscribed += 1; }; });
  wake();
  await hurried;
  assert.equal(unsubscribed, 1);

  const stopped = pause(1e6, life.signal);
  life.abort(new Error('enough'));
  await assert.rejects(stopped, /enough/);
  await assert.rejects(pause(1, life.signal), /enough/);
});

test('a pause that is woken while it subscribes ends, too', async () => {
  let unsubscribed = 0;
  await pause(1e6, new AbortController().signal, (wake) => { wake(); return () => { unsubscribed += 1; }; });
  assert.equal(unsubscribed, 1);
});
