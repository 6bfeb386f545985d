import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Room } from '../tutti.js';
import { FakePeer, FakeStream, FakeTrack, world } from './fakes.mjs';

/** A room whose events are written down as "type:word". */
function makeRoom(options = {}) {
  const room = new Room({ room: 'demo', name: 'Ada', url: 'https://mix.example/', ...options });
  const said = [];
  const words = { state: (d) => d.state, left: (d) => d.reason, muted: (d) => `${d.kind} ${d.muted}${d.byServer ? ' by server' : ''}`, error: (d) => d.error.code ?? d.error.name };
  for (const [type, word] of Object.entries(words)) room.addEventListener(type, ({ detail }) => said.push(`${type}:${word(detail)}`));
  return { room, said };
}

async function settled(promise, pass) {
  const [result] = await Promise.allSettled([promise, pass(200)]);
  if (result.status === 'rejected') throw result.reason;
}

const bothTracks = () => new FakeStream([new FakeTrack('audio'), new FakeTrack('video')]);

test('joining offers sound and picture both ways, VP8 first, and tells the candidates once', async (t) => {
  const { server, pass } = world(t);
  const { room, said } = makeRoom({ token: 'abc' });
  await settled(room.join({ stream: bothTracks() }), pass);
  await pass(300);
  const [peer] = FakePeer.all;
  assert.deepEqual(peer.transceivers.map((x) => [x.kind, x.direction]), [['audio', 'sendrecv'], ['video', 'sendrecv']]);
  assert.equal(peer.transceivers[1].codecs[0].mimeType, 'video/VP8');
  assert.deepEqual(said, ['state:connecting', 'state:connected']);
  assert.equal(room.participant, 's1');
  assert.equal(room.stream.getTracks().length, 2);
  assert.deepEqual(server.log.filter((l) => /POST|PATCH/.test(l)), ['POST participants', 'PATCH participants/s1']);
  const trickle = server.log.indexOf('PATCH participants/s1');
  assert.equal(server.headers[trickle]['If-Match'], '"i1"');
  assert.match(server.bodies[trickle], /a=candidate:1 host\r\na=end-of-candidates/);
  assert.ok(server.headers.every((h) => h.Authorization === 'Bearer abc'));
  await room.leave();
  assert.deepEqual([server.sessions.size, said.at(-1)], [0, 'left:left']);
});

test('watching receives only, by the door for viewers', async (t) => {
  const { server, pass } = world(t);
  const { room } = makeRoom();
  await settled(room.watch(), pass);
  assert.deepEqual(FakePeer.all[0].transceivers.map((x) => x.direction), ['recvonly', 'recvonly']);
  assert.ok(server.log.includes('POST whep'));
  assert.equal(room.muted('audio'), true);
  await room.leave();
});

test('muting disables the track and tells the server', async (t) => {
  const { server, pass } = world(t);
  const { room } = makeRoom();
  const stream = bothTracks();
  await settled(room.join({ stream, audioMuted: true }), pass);
  assert.equal(server.sessions.get('s1').audio.muted, true, 'told when joining muted');
  await room.unmuteAudio();
  await room.muteVideo();
  assert.deepEqual(stream.getTracks().map((x) => x.enabled), [true, false]);
  assert.equal(server.sessions.get('s1').audio.muted, false);
  assert.equal(server.sessions.get('s1').video.muted, true);
  await room.leave();
});

test('who is muted by the host is muted here and told; an old list does not undo the own wish', async (t) => {
  const { server, pass } = world(t);
  const { room, said } = makeRoom();
  await settled(room.join({ stream: bothTracks() }), pass);
  await pass(300);
  server.sessions.get('s1').audio.muted = true;
  server.tell({ type: 'participant_updated', participant: { id: 's1' } });
  await pass(300);
  assert.ok(said.includes('muted:audio true by server'), said.join());
  assert.equal(room.muted('audio'), true);
  const list = room.refreshParticipants();
  const unmuted = room.unmuteAudio();
  await Promise.all([list, unmuted]);
  assert.equal(room.muted('audio'), false);
  await room.leave();
});

for (const [what, lose] of Object.entries({
  'a failed transport': async (_server, peer) => peer.become('failed'),
  'a transport that stays disconnected': async (_server, peer, pass) => { peer.become('disconnected'); await pass(3100); },
  'a session that the server ended': async (server) => server.tell({ type: 'participant_left', participant: { id: 's1' }, reason: 'connection_lost' }),
  'a server that stops': async (server) => server.tell({ type: 'participant_left', participant: { id: 's1' }, reason: 'shutdown' }),
  'a killed server': async (server, _peer, pass) => { server.crash(); await pass(200); },
  'a stream that ran dry': async (server, _peer, pass) => { server.sessions.clear(); await pass(6000); },
})) {
  test(`${what} is replaced by a new session, muted as it was`, async (t) => {
    const { server, pass } = world(t);
    const { room, said } = makeRoom();
    await settled(room.join({ stream: bothTracks() }), pass);
    await room.muteAudio();
    await lose(server, FakePeer.all[0], pass);
    await pass(2000);
    assert.deepEqual(said.filter((s) => s.startsWith('state')), ['state:connecting', 'state:connected', 'state:reconnecting', 'state:connected']);
    assert.equal(room.participant, 's2');
    assert.deepEqual([...server.sessions.keys()], ['s2'], 'the old session is gone');
    const ended = server.log.indexOf('DELETE participants/s1');
    assert.ok(ended >= 0 && ended < server.log.lastIndexOf('POST participants'), 'its seat was free before the new one was asked for');
    assert.equal(server.sessions.get('s2').audio.muted, true);
    assert.equal(FakePeer.all[0].connectionState, 'closed');
    assert.equal(room.localTrack('video').readyState, 'live');
    await room.leave();
  });
}

test('a transport that recovers in time is left alone', async (t) => {
  const { pass } = world(t);
  const { room, said } = makeRoom();
  await settled(room.join({ stream: bothTracks() }), pass);
  FakePeer.all[0].become('disconnected');
  await pass(2000);
  FakePeer.all[0].become('connected');
  await pass(3000);
  assert.ok(!said.includes('state:reconnecting'));
  await room.leave();
});

test('a silent room whose session lives is left alone', async (t) => {
  const { server, pass } = world(t);
  const { room, said } = makeRoom();
  await settled(room.watch(), pass);
  await pass(9000);
  assert.ok(server.log.includes('GET participants/s1'), 'it has asked');
  assert.ok(!said.includes('state:reconnecting'));
  await room.leave();
});

for (const [reason, left] of [['removed', 'removed'], ['left', 'removed'], ['deleted', 'room_closed']]) {
  test(`whoever is put out by "${reason}" stays out`, async (t) => {
    const { server, pass } = world(t);
    const { room, said } = makeRoom();
    const stream = bothTracks();
    await settled(room.join({ stream }), pass);
    server.tell({ type: 'participant_left', participant: { id: 'somebody' }, reason });
    await pass(300);
    assert.equal(room.state, 'connected');
    server.tell({ type: 'participant_left', participant: { id: 's1' }, reason });
    await pass(3000);
    assert.equal(said.at(-1), `left:${left}`);
    assert.equal(server.log.filter((l) => l.startsWith('POST')).length, 1);
    assert.ok(stream.getTracks().every((x) => x.readyState === 'ended'), 'the devices are off');
  });
}

test('the way back is tried with growing pauses until it is refused for good', async (t) => {
  const { server, pass } = world(t);
  const { room, said } = makeRoom();
  await settled(room.join({ stream: bothTracks() }), pass);
  server.down = true;
  FakePeer.all[0].become('failed');
  await pass(8000);
  const tries = server.log.filter((l) => l.startsWith('POST')).length - 1;
  assert.ok(tries >= 3 && tries <= 6, `${tries} tries in 8 s`);
  assert.equal(room.state, 'reconnecting');
  server.down = false;
  server.refusal = [401, 'invalid_token'];
  await pass(16000);
  assert.equal(said.at(-1), 'left:lost');
});

test('a refused join is thrown, and the devices are off', async (t) => {
  const { server, pass } = world(t);
  const { room } = makeRoom();
  const stream = bothTracks();
  server.refusal = [409, 'room_full'];
  await assert.rejects(settled(room.join({ stream }), pass), { code: 'room_full' });
  assert.equal(room.state, 'left');
  assert.ok(stream.getTracks().every((x) => x.readyState === 'ended'));
});

test('leaving while joining ends it, and leaves no session behind', async (t) => {
  const { server, pass } = world(t);
  const { room } = makeRoom();
  FakePeer.connects = false;
  const joining = assert.rejects(room.join({ stream: bothTracks() }), { code: 'left' });
  await pass(100);
  assert.equal(server.sessions.size, 1);
  await room.leave();
  await joining;
  await pass(100);
  assert.equal(server.sessions.size, 0);
});

test('media that cannot get through are told after a while', async (t) => {
  const { server, pass } = world(t);
  const { room } = makeRoom();
  FakePeer.connects = false;
  const joining = assert.rejects(room.watch(), { code: 'media_unreachable' });
  await pass(15200);
  await joining;
  assert.equal(server.sessions.size, 0);
});
