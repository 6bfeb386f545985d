import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Room } from '../tutti.js';
import { FakePeer, FakeStream, FakeTrack, world } from './fakes.mjs';

/** A joined room with what it says, and the moments of a move. */
async function joined(t, { random = 0.5, watch = false } = {}) {
  const { server, pass } = world(t);
  t.mock.method(Math, 'random', () => random);
  const room = new Room({ room: 'demo', name: 'Ada L', url: 'https://mix.example/' });
  const said = [];
  room.addEventListener('state', ({ detail }) => said.push(`${detail.state}${detail.reason && ` ${detail.reason}`}`));
  room.addEventListener('media', ({ detail }) => said.push(detail.stream === room.stream ? `plays ${room.participant}` : 'plays another'));
  const stream = new FakeStream([new FakeTrack('audio'), new FakeTrack('video')]);
  const joining = watch ? room.watch() : room.join({ stream });
  await pass(200);
  await joining;
  server.tell({ type: 'participant_joined', participant: { id: 's1' } });
  await pass(100);
  said.length = 0;
  const posts = () => server.log.filter((l) => l.startsWith('POST')).length;
  return { server, pass, room, said, posts, stream };
}

const moved = { type: 'room_moved', move: { join_within_ms: 500, leave_after_ms: 1500 } };

test('who moves is there before leaving here, and nobody notices', async (t) => {
  const { server, pass, room, said, posts, stream } = await joined(t);
  server.tell(moved);
  await pass(200);
  assert.equal(posts(), 1, 'a random time within the window: 250 ms');
  await pass(200);
  assert.deepEqual([posts(), server.resumed.at(-1)], [2, 's1']);
  assert.deepEqual([...server.sessions.keys()], ['s1', 's2']);
  assert.deepEqual(FakePeer.all[1].transceivers.map((x) => x.sender.track), stream.getTracks(), 'the same tracks go to both');
  await pass(1000);
  assert.deepEqual([said, room.participant], [[], 's1'], 'the old one is played until everybody is there');
  await pass(200);
  assert.deepEqual(said, ['plays s2']);
  assert.deepEqual([...server.sessions.keys()], ['s2'], 'leave was taken');
  assert.deepEqual(FakePeer.all.map((p) => p.connectionState), ['closed', 'connected']);
  assert.equal(room.state, 'connected');
  await room.leave();
});

test('a watcher moves by its own door', async (t) => {
  const { server, pass, room } = await joined(t, { watch: true });
  server.tell(moved);
  await pass(2000);
  assert.deepEqual(server.log.filter((l) => l.startsWith('POST')), ['POST whep', 'POST whep']);
  assert.equal(room.participant, 's2');
  await room.leave();
});

for (const [what, lose] of Object.entries({
  'its transport fails': (_server, peer) => peer.become('failed'),
  'its node closes the room': (server) => server.tell({ type: 'participant_left', participant: { id: 's1' }, reason: 'moved' }),
})) {
  test(`the old session is not waited for when ${what}`, async (t) => {
    const { server, pass, room, said, posts } = await joined(t);
    server.tell(moved);
    await pass(100);
    lose(server, FakePeer.all[0]);
    await pass(100);
    assert.deepEqual([posts(), said], [2, ['plays s2']], 'at once, and no reconnection');
    await room.leave();
  });
}

test('events that end and a list without us start nothing while the room moves', async (t) => {
  const { server, pass, room, said, posts } = await joined(t);
  server.tell(moved);
  await pass(400);
  const asked = server.log.length;
  server.sessions.delete('s1'); // the new node knows nothing of the old half
  server.cutFeeds();
  await pass(1000);
  assert.deepEqual([said, posts()], [[], 2]);
  assert.ok(!server.log.slice(asked).includes('GET participants/s1'), 'nobody asks for it');
  await pass(300);
  assert.deepEqual(said, ['plays s2']);
  await room.leave();
});

test('a move whose new session fails ends in an ordinary reconnection', async (t) => {
  const { server, pass, room, said } = await joined(t);
  server.refusal = [503, 'overloaded', { 'Retry-After': '1' }];
  server.tell(moved);
  await pass(400);
  assert.deepEqual(said, ['reconnecting move_failed']);
  server.refusal = null;
  await pass(800);
  assert.equal(said.length, 1, 'the server asked for a second');
  await pass(400);
  assert.deepEqual(said, ['reconnecting move_failed', 'connected', 'plays s2']);
  assert.equal(server.resumed.at(-1), 's1');
  await room.leave();
});

test('a new session that dies before it is played does, too', async (t) => {
  const { server, pass, room, said } = await joined(t);
  server.tell(moved);
  await pass(500);
  FakePeer.all[1].become('failed');
  await pass(1000);
  assert.deepEqual(said, ['reconnecting move_failed', 'connected', 'plays s3']);
  assert.deepEqual([...server.sessions.keys()], ['s3'], 'neither old one is left behind');
  await room.leave();
});

test('a room that moves on while it moves is followed again', async (t) => {
  const { server, pass, room, said } = await joined(t);
  server.tell(moved);
  await pass(500);
  server.tell(moved);
  await pass(4000);
  assert.deepEqual(said, ['plays s2', 'plays s3']);
  assert.deepEqual([...server.sessions.keys()], ['s3']);
  await room.leave();
});

test('a move of before we came is none of ours', async (t) => {
  const { server, pass } = world(t);
  const room = new Room({ room: 'demo', url: 'https://mix.example/' });
  const watching = room.watch();
  await pass(200);
  await watching;
  server.tell(moved);
  await pass(3000);
  assert.equal(room.participant, 's1');
  await room.leave();
});

test('muting while the room moves is told to both halves, and a switched camera goes to both', async (t) => {
  const { server, pass, room } = await joined(t);
  server.tell(moved);
  await pass(500);
  await room.muteAudio();
  assert.deepEqual([...server.sessions.values()].map((s) => s.audio.muted), [true, true]);
  const other = new FakeTrack('video');
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { mediaDevices: { getUserMedia: async () => new FakeStream([other]) } } });
  await room.chooseDevice('video', { deviceId: 'other' });
  assert.deepEqual(FakePeer.all.map((p) => p.transceivers[1].sender.track), [other, other]);
  await pass(1500);
  await room.chooseDevice('video', { deviceId: 'a third' }); // the old half takes none any more
  await room.leave();
});

test('what was unmuted while there was no session is told to the next, which begins as the old one was', async (t) => {
  const { server, pass, room } = await joined(t);
  await room.muteAudio();
  server.down = true;
  FakePeer.all[0].become('failed');
  await pass(400);
  await room.unmuteAudio();
  server.down = false;
  server.startMuted = true;
  await pass(2000);
  assert.deepEqual([room.participant, server.sessions.get('s2').audio.muted], ['s2', false]);
  await room.leave();
});

test('who is put out while the room moves stays out, by either half', async (t) => {
  for (const id of ['s1', 's2']) {
    await t.test(id, async (t2) => {
      const { server, pass, said } = await joined(t2);
      server.tell(moved);
      await pass(500);
      server.tell({ type: 'participant_left', participant: { id }, reason: 'removed' });
      await pass(2000);
      assert.deepEqual(said, ['left removed']);
      assert.equal(server.sessions.size, 0);
    });
  }
});

test('leaving while the room moves leaves both halves', async (t) => {
  const { server, pass, room, said } = await joined(t);
  server.tell(moved);
  await pass(500);
  await room.leave();
  await pass(2000);
  assert.deepEqual([said, server.sessions.size], [['left left'], 0]);
  assert.deepEqual(FakePeer.all.map((p) => p.connectionState), ['closed', 'closed']);
});

test('a page that closes while the room moves leaves both halves', async (t) => {
  const on = {};
  globalThis.addEventListener = (type, f) => { on[type] = f; };
  t.after(() => { delete globalThis.addEventListener; });
  const { server, pass } = await joined(t);
  server.tell(moved);
  await pass(500);
  on.pagehide();
  assert.deepEqual(server.kept, ['DELETE participants/s1', 'DELETE participants/s2']);
  await pass(100);
});

test('who lost the node comes back within 300 ms of knowing it, as who it was', async (t) => {
  const { server, pass, room, said } = await joined(t, { random: 0.9 });
  FakePeer.all[0].become('failed');
  await pass(250);
  assert.deepEqual(said, ['reconnecting failed']);
  await pass(100);
  assert.deepEqual(said, ['reconnecting failed', 'connected', 'plays s2']);
  assert.deepEqual(server.resumed, [null, 's1']);
  await room.leave();
});

test('what the server asks to wait is waited, and the jitter comes on top', async (t) => {
  const { server, pass, room, said, posts } = await joined(t, { random: 0.5 });
  server.refusal = [503, 'overloaded', { 'Retry-After': '2' }];
  FakePeer.all[0].become('failed');
  await pass(200);
  assert.equal(posts(), 2);
  await pass(2250); // 2 s and 375 ms of the first window of 500
  assert.equal(posts(), 2);
  server.refusal = null;
  await pass(200);
  assert.equal(said.at(-1), 'plays s2');
  await room.leave();
});

test('a router without a node for us is believed when nothing comes any more', async (t) => {
  const { server, pass, room, said } = await joined(t);
  server.homeless = [503, 'room_unavailable'];
  server.cutFeeds();
  FakePeer.all[0].bytes = 1;
  await pass(500);
  assert.deepEqual(said, [], 'media flows: our node lives');
  await pass(2500);
  server.cutFeeds();
  await pass(800);
  assert.deepEqual(said, ['reconnecting unreachable', 'connected', 'plays s2']);
  await room.leave();
});
