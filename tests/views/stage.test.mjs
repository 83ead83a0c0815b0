// The pure part of the stage: run with `node --test tests/views/stage.test.mjs`.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';

const source = await readFile(new URL('../../flannelviz/views/stage/stage.js', import.meta.url), 'utf8');
const stage = await import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`);
const {
  VERSION, along, asked, called, changes, keyed, known, lineAt, reach, read, refusal, sameWalk, toward, usersOf, versionAt,
} = stage;

const drawn = {
  elements: [
    { key: 'a', group: 'boxes', at: [[0, 0, 0], [2, 1, 0]] },
    { key: 'b', group: 'boxes', at: [[1, 2, 1], [3, -1, -1]] },
  ],
};
const script = {
  version: VERSION,
  steps: [[], [4, 5], [5], []].map((uses, k) => ({ says: `hop ${k}`, cards: [''], uses: [uses] })),
  questions: [{ step: 2, asks: 'Who?', choices: [{}, {}] }, { step: 3, asks: 'Where?', choices: [{}] }],
  pictures: [{ drawn: { ...drawn, looks: [], marks: [] }, inside: { lines: [], tables: [], rooms: [] } }],
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

test('a script comes as a text or as an object, and anything else is refused', () => {
  assert.deepEqual(read(JSON.stringify(script)), script);
  assert.equal(read(script), script);
  for (const broken of ['', '{"version": 1', 'no', undefined]) assert.match(refusal(read(broken)), /Run this cell again/);
});

test('a state that cannot be shown is refused in a sentence', () => {
  assert.equal(refusal(script), '');
  for (const broken of [null, undefined, {}, 'text', 7, []]) {
    assert.match(refusal(broken), /^This stage has no content.*Run this cell again\.$/);
  }
  assert.match(refusal({ ...script, version: 0 }), /form 0, and form 1/);
  assert.match(refusal({ ...script, version: { a: 1 } }), /saved in form/);
});

test('whatever a script lacks, it is refused before anything of it is drawn', () => {
  const [first, ...others] = script.steps;
  const [picture] = script.pictures;
  for (const lacks of [
    { steps: [] }, { steps: null }, { pictures: [] }, { pictures: [{}] }, { pictures: [null] }, { twin: 1 }, { twin: null },
    { steps: [...others, { ...first, cards: undefined }] }, { steps: [...others, null] }, { steps: [{ ...first, says: 7 }] },
    { steps: [{ ...first, uses: {} }] }, { questions: null }, { questions: [{ step: 1 }] }, { questions: [{ choices: [] }] },
    { ends: {} }, { pictures: [{ ...picture, inside: null }] }, { pictures: [{ ...picture, drawn: { elements: [] } }] },
    { pictures: [{ ...picture, drawn: { ...picture.drawn, elements: [{ key: 'a' }] } }] },
    { pictures: [{ ...picture, inside: { ...picture.inside, lines: [{ text: '' }] } }] },
  ]) {
    assert.match(refusal({ ...script, ...lacks }), /^This stage was saved incompletely/, JSON.stringify(lacks));
  }
  assert.equal(refusal({ ...script, ends: { places: [['a', 'node-a']] } }), '');
  assert.equal(refusal({ ...script, ends: null }), '');
});

test('of the saved answers only the first to each question that is asked counts', () => {
  assert.deepEqual(known(script, [[1, 0], [0, 1], [0, 0]]), [[1, 0], [0, 1]]);
  assert.deepEqual(known(script, [[0, 2], [2, 0], [-1, 0], ['x', 0], [0], 7, null]), []);
  for (const damaged of [undefined, null, 'x', 7, {}]) assert.deepEqual(known(script, damaged), []);
});

test('a walk is the same if its steps say the same and the same is asked', () => {
  const unfolded = { ...script, pictures: [], focus: 'pod' };
  assert.ok(sameWalk(script, unfolded));
  assert.ok(!sameWalk(script, { ...script, steps: script.steps.slice(1) }));
  assert.ok(!sameWalk(script, { ...script, questions: [] }));
});

test('a place is called by its whole name or address, never by a part of it', () => {
  const words = ['a1', '172.16.0.130'];
  for (const name of ['default/a1', 'A1', '172.16.0.130']) assert.ok(called(name, 'default/a1', words), name);
  for (const name of ['a', 'default', '172.16.0.13', '16.0.130', '']) assert.ok(!called(name, 'default/a1', words), name);
  assert.ok(!called('a1', 'prod/a1', words), 'only Python knows whether there is a default/a1');
  assert.ok(called('172.16.0.129', 'node-a', ['cni0', '172.16.0.129/25']));
  assert.ok(!called('25', 'node-a', ['cni0', '172.16.0.129/25']));
});
