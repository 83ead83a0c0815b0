// The pure part of the stage: run with `node --test tests/views/stage.test.mjs`.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

const source = await readFile(new URL('../../flannelviz/views/stage/stage.js', import.meta.url), 'utf8');
const stage = await import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`);
const { VERSION, along, asked, changes, keyed, lineAt, reach, refusal, toward, usersOf, versionAt } = stage;

const drawn = {
  elements: [
    { key: 'a', group: 'boxes', at: [[0, 0, 0], [2, 1, 0]] },
    { key: 'b', group: 'boxes', at: [[1, 2, 1], [3, -1, -1]] },
  ],
};
const script = {
  version: VERSION,
  steps: [{ uses: [[]] }, { uses: [[4, 5]] }, { uses: [[5]] }, { uses: [[]] }],
  questions: [{ step: 2 }, { step: 3 }],
  pictures: [{}],
  twin: { head: [], rows: [] },
};

test('the version that holds is the last one up to a step', () => {
  assert.deepEqual(versionAt(drawn.elements[0].at, 1), [0, 0, 0]);
  assert.deepEqual(versionAt(drawn.elements[0].at, 9), [2, 1, 0]);
  assert.equal(versionAt(drawn.elements[1].at, 0), null);
});

test('only what differs changes, whichever way one goes', () => {
  const none = [[0, -1, -1], [0, -1, -1]];
  assert.deepEqual(changes(drawn, none, 0), [[0, [0, 0, 0]]]);
  const first = [[0, 0, 0], [0, -1, -1]];
  assert.deepEqual(changes(drawn, first, 0), []);
  assert.deepEqual(changes(drawn, first, 2), [[0, [2, 1, 0]], [1, [1, 2, 1]]]);
  assert.deepEqual(changes(drawn, [[2, 1, 0], [3, -1, -1]], 1), [[0, [0, 0, 0]], [1, [1, 2, 1]]]);
});

test('jumping shows what stepping shows', () => {
  const now = [[0, -1, -1], [0, -1, -1]];
  for (const k of [0, 1, 2, 3, 1, 0, 3]) {
    for (const [i, version] of changes(drawn, now, k)) now[i] = version;
    assert.deepEqual(now.map((v) => v.slice(1)), drawn.elements.map(({ at }) => (versionAt(at, k) ?? [0, -1, -1]).slice(1)));
  }
});

test('a line is there, gone in the step that removed it, or nothing', () => {
  const line = { at: [[1, true], [3, false]] };
  assert.deepEqual([0, 1, 2, 3, 4].map((k) => lineAt(line, k, true)), ['', 'there', 'there', 'gone', '']);
  assert.equal(lineAt(line, 3, false), '');
});

test('a line knows the steps that use it', () => {
  assert.deepEqual(usersOf(script, 0, 5), [1, 2]);
  assert.deepEqual(usersOf(script, 0, 9), []);
  assert.deepEqual(usersOf(script, 1, 5), []);
});

test('nobody gets past a question without an answer', () => {
  assert.equal(reach(script, [], 3), 1);
  assert.equal(reach(script, [[0, 1]], 3), 2);
  assert.equal(reach(script, [[0, 1], [1, 0]], 3), 3);
  assert.deepEqual([0, 1, 2, 3].map((k) => asked(script, [], k)), [-1, 0, 1, -1]);
  assert.deepEqual([0, 1, 2, 3].map((k) => asked(script, [[0, 0]], k)), [-1, -1, 1, -1]);
});

test('whatever is wished for, the step exists', () => {
  for (const wanted of [-5, 99, 1.7, NaN, undefined, null, 'x']) {
    const step = reach({ ...script, questions: [] }, [], wanted);
    assert.ok(Number.isInteger(step) && step >= 0 && step <= 3, String(wanted));
  }
});

test('keys lead on, back and to the ends, and no farther', () => {
  const to = (key, k) => keyed(key, k, 3);
  assert.deepEqual(['ArrowRight', 'ArrowLeft', 'Home', 'End', 'PageUp'].map((key) => to(key, 2)), [3, 1, 0, 3, 3]);
  assert.equal(to('ArrowLeft', 0), 0);
  assert.equal(to('ArrowRight', 3), 3);
  for (const key of ['a', 'Enter', 'Tab', 'toString', 'constructor']) assert.equal(to(key, 2), null);
});

test('an arrow key leads to the nearest place in its direction', () => {
  const points = [[0, 0], [100, 5], [100, 300], [200, 0], [0, 100]];
  assert.equal(toward(points, 0, 'ArrowRight'), 1);
  assert.equal(toward(points, 1, 'ArrowRight'), 3);
  assert.equal(toward(points, 0, 'ArrowDown'), 4);
  assert.equal(toward(points, 0, 'ArrowUp'), 0);
  assert.equal(toward(points, 3, 'ArrowRight'), 3);
});

test('the dot runs along all lines, from the first point to the last', () => {
  const lines = [[[0, 0], [10, 0]], [[10, 20], [10, 30]]];
  assert.deepEqual(along(lines, 0), [0, 0]);
  assert.deepEqual(along(lines, 0.25), [5, 0]);
  assert.deepEqual(along(lines, 1), [10, 30]);
  assert.deepEqual(along([[[3, 4], [3, 4]]], 0.5), [3, 4]);
  assert.equal(along([], 0.5), null);
});

test('a state that cannot be shown is refused in a sentence', () => {
  assert.equal(refusal(script), '');
  for (const broken of [null, undefined, {}, 'text', 7, [], { version: VERSION }, { ...script, steps: [] }, { ...script, twin: 1 }]) {
    assert.match(refusal(broken), /^This stage .*Run this cell again\.$/);
  }
  assert.match(refusal({ ...script, version: 0 }), /form 0, and form 1/);
  assert.match(refusal({ ...script, version: { a: 1 } }), /saved in form/);
});
