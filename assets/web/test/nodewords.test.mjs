import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doing, loadOf, question, stateWord, summary } from '../app/nodewords.js';

const node = (id, state = 'active', more = {}) => ({ id, state, rooms: 0, participants: 0, address: '', version: '', ...more });

test('all nodes in a line', () => {
  assert.equal(summary([]), '0 nodes · 0 rooms · 0 people');
  assert.equal(summary([node('a', 'active', { rooms: 1, participants: 1 })]), '1 node · 1 room · 1 person');
  assert.equal(summary([node('a', 'active', { rooms: 1000, participants: 2500 }), node('b', 'dead', { rooms: 2 })]), '2 nodes, 1 away · 1,002 rooms · 2,500 people');
});

test('the load is told in cores, where it is known', () => {
  assert.equal(loadOf(node('a')), null);
  assert.equal(loadOf(node('a', 'active', { load: { cpu: 5, capacity: 0 } })), null);
  assert.deepEqual(loadOf(node('a', 'active', { load: { cpu: 432, capacity: 1600 } })), { share: 0.27, hot: false, percent: '27 %', cores: '0.43 of 1.6 cores' });
  assert.deepEqual(loadOf(node('a', 'active', { load: { cpu: 1100, capacity: 1000 } })), { share: 1, hot: true, percent: '110 %', cores: '1.1 of 1 core' });
});

test('a drain says what is left, and where there is no way out', () => {
  const a = node('a', 'draining', { rooms: 3 });
  assert.equal(doing(node('a', 'active', { rooms: 3 }), []), '');
  assert.equal(doing(a, [a, node('b')]), '3 rooms left. They move one after the other.');
  assert.equal(doing(a, [a, node('b', 'dead')]), '3 rooms left. There is no other node for them.');
  assert.equal(doing(node('a', 'draining'), []), 'Empty: it can be stopped.');
});

test('the operator is asked for what would happen', () => {
  const a = node('a', 'active', { rooms: 1 });
  assert.match(question(a, [a, node('b')]).text, /Its 1 room moves to other nodes/);
  assert.match(question(a, [a]).text, /go on here until they end/);
  assert.deepEqual([question(a, [a]).state, question(node('a', 'draining'), []).state], ['draining', 'active']);
  assert.equal(stateWord(node('a', 'asleep')), 'asleep');
});
