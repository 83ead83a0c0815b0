// One picture to step through, click on and keep. Everything shown is in the script that Python made: this module
// decides which version of each element stands at step k, and hands on what a reader does. No network, no framework.

export const VERSION = 1;
const SVG = 'http://www.w3.org/2000/svg';
const PAUSE = 1600; // ms between two steps at speed 1
const GUTTER = 132; // px of the viewBox, left of which stand the names of the levels
const TRAVEL = 600; // ms that the dot takes for one step
const SETTLED = 150; // ms after a step until the kernel hears of it, and wide tables are looked for
const PATIENCE = 5000; // ms that a kernel gets to answer
const ALONE = 'This needs a running notebook: run this cell again, then choose.';
// A kernel that was shut down leaves no mark on the page, and is silent like a busy one.
const SILENT = 'No answer yet. A kernel that is busy answers when it is done; one that was shut down has to run this cell again.';
const ADDRESS = /^\d+\.\d+\.\d+\.\d+$/;
const HIDDEN = { 'data-absent': '' };
const ABSENT = [0, -1, -1]; // version of what is not there: no look, no mark

// --- pure: what is shown at step k ---------------------------------------------------------------------------------

/** Return the version that holds at step `k`, or null before the first. */
export function versionAt(at, k) {
  let found = null;
  for (const version of at) {
    if (version[0] > k) break;
    found = version;
  }
  return found;
}

/** Return what has to change so that step `k` is shown: [element, version] where it is not what it is `now`. */
export function changes(drawn, now, k) {
  return drawn.elements.flatMap(({ at }, i) => {
    const version = versionAt(at, k) ?? ABSENT;
    return version[1] === now[i][1] && version[2] === now[i][2] ? [] : [[i, version]];
  });
}

/** Return 'there' if a line of a table is there at step `k`, 'gone' at the step that removed it, else ''. */
export function lineAt(line, k, changed) {
  const [since, is] = versionAt(line.at, k) ?? [-1, false];
  if (is) return 'there';
  return since === k && changed ? 'gone' : '';
}

/** Return the steps that use line number `line` of picture `p`. */
export function usersOf(script, p, line) {
  return script.steps.flatMap(({ uses }, k) => (uses[p]?.includes(line) ? [k] : []));
}

/** Return the number of the question that bars the step after `k`, or -1. */
export function asked(script, answers, k) {
  const done = new Set(answers.map(([question]) => question));
  return script.questions.findIndex(({ step }, i) => step === k + 1 && !done.has(i));
}

/** Return the step one gets to on the way to `wanted`: at most the one before an open question. */
export function reach(script, answers, wanted) {
  const last = script.steps.length - 1;
  const to = Math.min(Math.max(Math.trunc(wanted) || 0, 0), last);
  const barred = script.questions.filter((_, i) => !answers.some(([question]) => question === i));
  return Math.min(to, ...barred.map(({ step }) => Math.max(step - 1, 0)));
}

/** Return those of the saved answers that the script knows, the first one to each question. */
export function known(script, saved) {
  const given = new Map();
  for (const pair of Array.isArray(saved) ? saved : []) {
    const [question, choice] = Array.isArray(pair) ? pair : [];
    if (script.questions[question]?.choices[choice] && !given.has(question)) given.set(question, choice);
  }
  return [...given];
}

/** Return whether two scripts take the same steps and ask the same: whoever is at a step of one may stay there. */
export function sameWalk(one, other) {
  const [a, b] = [one, other].map(({ steps, questions }) => JSON.stringify(
    [steps.map(({ says }) => says), questions.map(({ step, asks }) => [step, asks])],
  ));
  return a === b;
}

/** Return whether `place`, with such words in its box, is called just `text`: by its name, or by its address. */
export function called(text, place, words) {
  const addresses = words.map((word) => word.split('/')[0]).filter((word) => ADDRESS.test(word));
  return [place, place.replace(/^default\//, ''), ...addresses].some((name) => name.toLowerCase() === text.toLowerCase());
}

/** Return where a key leads from step `k`, or null if it leads nowhere. */
export function keyed(key, k, last) {
  const to = { ArrowRight: k + 1, ArrowUp: k + 1, ArrowLeft: k - 1, ArrowDown: k - 1, Home: 0, End: last };
  to.PageUp = k + 5;
  to.PageDown = k - 5;
  return Object.hasOwn(to, key) ? Math.min(Math.max(to[key], 0), last) : null;
}

/** Return the number of the point that lies nearest in the direction of an arrow key, or `from` if there is none. */
export function toward(points, from, key) {
  const [sx, sy] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  let [best, least] = [from, Infinity];
  points.forEach(([x, y], i) => {
    const [dx, dy] = [x - points[from][0], y - points[from][1]];
    const ahead = dx * sx + dy * sy;
    const aside = Math.abs(dx * sy) + Math.abs(dy * sx);
    if (i !== from && ahead > 1 && ahead + 2 * aside < least) [best, least] = [i, ahead + 2 * aside];
  });
  return best;
}

/** Return the point that lies `part` (0 to 1) of the way along polylines that follow one another. */
export function along(lines, part) {
  const stretches = lines.flatMap((line) => line.slice(1).map((end, i) => [line[i], end]));
  const lengths = stretches.map(([[ax, ay], [bx, by]]) => Math.hypot(bx - ax, by - ay));
  let rest = part * lengths.reduce((sum, length) => sum + length, 0);
  for (const [i, [[ax, ay], [bx, by]]] of stretches.entries()) {
    if (rest <= lengths[i] || i === stretches.length - 1) {
      const share = lengths[i] ? Math.min(rest / lengths[i], 1) : 0;
      return [ax + share * (bx - ax), ay + share * (by - ay)];
    }
    rest -= lengths[i];
  }
  return null;
}

/** Return the script that was synced as a text or saved as an object; null if it is neither. */
export function read(saved) {
  if (typeof saved !== 'string') return saved;
  try {
    return JSON.parse(saved);
  } catch {
    return null;
  }
}

/** Return why a script cannot be shown, in a sentence, or an empty text. */
export function refusal(script) {
  if (!script || typeof script !== 'object' || !('version' in script)) {
    return 'This stage has no content: it was not saved completely. Run this cell again.';
  }
  if (script.version !== VERSION) {
    const [saved, own] = [String(script.version).slice(0, 20), VERSION];
    return `This stage was saved in form ${saved}, and form ${own} is shown here. Run this cell again.`;
  }
  return whole(script) ? '' : 'This stage was saved incompletely, and cannot be shown. Run this cell again.';
}

/** Return whether everything is there that is read at any step. */
function whole({ pictures, steps, questions, twin: table, ends }) {
  const all = (list, is) => Array.isArray(list) && list.every((one) => one != null && is(one));
  const text = (one) => typeof one === 'string';
  const timed = ({ at }) => all(at, Array.isArray);
  const drawing = ({ elements, looks, marks }) => all(elements, timed) && all(looks, Boolean) && all(marks, text);
  const room = ({ tables }) => all(tables, Number.isInteger);
  const tables = ({ lines }) => all(lines, Number.isInteger);
  const picture = ({ drawn, inside }) => drawn != null && drawing(drawn) && inside != null
    && all(inside.lines, timed) && all(inside.tables, tables) && all(inside.rooms, room);
  const step = ({ says, cards, uses }) => text(says) && all(cards, text) && all(uses, Array.isArray);
  const question = (one) => Number.isInteger(one.step) && text(one.asks) && all(one.choices, Boolean);
  return all(pictures, picture) && pictures.length > 0 && all(steps, step) && steps.length > 0 && all(questions, question)
    && table != null && all(table.head, text) && all(table.rows, (row) => all(row, text))
    && (ends == null || all(ends.places, Array.isArray));
}

// --- small helpers -------------------------------------------------------------------------------------------------

/** Return a new element; `text` is text, whatever is in it. */
function make(name, attributes = {}, text = '') {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Return a control that keeps its keys from the notebook. */
function control(name, attributes, text) {
  return make(name, { 'data-lm-suppress-shortcuts': 'true', ...attributes }, text);
}

function button(text, label, act) {
  const made = control('button', { type: 'button', 'aria-label': label, title: label }, text);
  made.addEventListener('click', act);
  return made;
}

/** Change the attributes of an element from those of one look to those of another. */
function dress(node, old, wanted) {
  for (const key of Object.keys(old)) if (!(key in wanted)) node.removeAttribute(key);
  for (const [key, value] of Object.entries(wanted)) if (old[key] !== value) node.setAttribute(key, value);
}

/** Let the keyboard reach tables that are wider than their frame, which fade out where there is more. */
function overflow(root) {
  for (const frame of root.querySelectorAll('.fv-table')) {
    const beyond = () => frame.scrollWidth - frame.clientWidth;
    frame.onscroll = () => frame.toggleAttribute('data-more', beyond() - frame.scrollLeft > 4);
    frame.onscroll();
    frame.dataset.lmSuppressShortcuts = 'true';
    if (beyond() > 4) frame.tabIndex = 0;
    else frame.removeAttribute('tabindex');
  }
}

function off(made, is) {
  made.setAttribute('aria-disabled', String(is));
}

const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// --- one picture ---------------------------------------------------------------------------------------------------

// Who clicks twice on what goes away with a choice has chosen once.
const once = (event) => event.detail < 2;
const element = (event) => event.target.closest?.('svg.fv > g > g[data-i]');

/** Return a picture that can be moved to any step; `act(key, event)` is called for the element a reader chose. */
function canvas({ drawn, says, label }, single, opens, act, hover) {
  const frame = make('div', { class: 'fv-picture' });
  const svg = document.createElementNS(SVG, 'svg');
  const left = single ? 0 : GUTTER; // two pictures beside each other do without the names of the levels
  const width = drawn.width - left;
  for (const [key, value] of Object.entries({
    class: 'fv', viewBox: `${left} 0 ${width} ${drawn.height}`, role: 'group', 'aria-label': `${label ? `${label}: ` : ''}${says}`,
    width: '100%', style: `max-width:${width * 1.4}px;min-width:${width * 0.7}px`,
  })) svg.setAttribute(key, value);
  svg.innerHTML = drawn.ground;
  const groups = new Map();
  const nodes = drawn.elements.map(({ group }, i) => {
    if (!groups.has(group)) {
      groups.set(group, document.createElementNS(SVG, 'g'));
      groups.get(group).setAttribute('class', `fv-${group}`);
    }
    const node = document.createElementNS(SVG, 'g');
    node.dataset.i = i;
    node.dataset.absent = '';
    return groups.get(group).appendChild(node);
  });
  // The order of drawing is that of `svg`, whichever group had an element first.
  for (const group of ['lanes', 'boxes', 'wires', 'rows', 'moves', 'badges', 'signs']) {
    if (groups.has(group)) svg.append(groups.get(group));
  }
  const index = new Map(drawn.elements.map(({ key }, i) => [key, i]));
  const now = nodes.map(() => ABSENT);
  const purposes = nodes.map(() => '');
  const dot = document.createElementNS(SVG, 'circle');
  dot.setAttribute('class', 'fv-dot');
  dot.setAttribute('r', '7');
  let frames = 0;
  let hinted = [];
  let wide = false;

  function apply(i, version) {
    const [node, before] = [nodes[i], now[i]];
    const [, look, mark] = version;
    now[i] = version;
    if (look !== before[1]) {
      dress(node, drawn.looks[before[1]] ?? HIDDEN, drawn.looks[look] ?? HIDDEN);
    }
    if (mark !== before[2]) node.innerHTML = drawn.marks[mark] ?? '';
  }

  function places() {
    return nodes.filter((_, i) => purposes[i]);
  }

  /** Make what can be opened or chosen reachable: one stop for Tab, arrow keys between places. */
  function reachable() {
    nodes.forEach((node, i) => {
      const { key, group } = drawn.elements[i];
      const purpose = group === 'boxes' && now[i][1] >= 0 ? opens(key, node.dataset.kind) : '';
      if (purpose === purposes[i]) return;
      purposes[i] = purpose;
      if (!purpose) {
        for (const attribute of ['role', 'tabindex', 'aria-description']) node.removeAttribute(attribute);
        return;
      }
      node.setAttribute('role', 'button');
      node.dataset.lmSuppressShortcuts = 'true';
      if (!node.hasAttribute('tabindex')) node.setAttribute('tabindex', '-1');
      node.setAttribute('aria-description', purpose); // its name is its title
    });
    const found = places();
    if (found.length && !found.some((node) => node.tabIndex === 0)) found[0].setAttribute('tabindex', '0');
  }

  function focus(node) {
    for (const other of places()) other.setAttribute('tabindex', '-1');
    node.setAttribute('tabindex', '0');
    node.focus();
  }

  /** Put the focus on the place that Tab leads to. */
  function enter() {
    places().find((node) => node.tabIndex === 0)?.focus();
  }

  /** Focus the place called `text`, or with `part` one whose words hold it, and mark it; return whether there is one. */
  function find(text, part) {
    const found = places().filter((node) => node.dataset.kind !== 'fold');
    const words = (node) => [...node.querySelectorAll('text')].map((line) => line.textContent);
    const holds = (node) => node.querySelector('title')?.textContent.toLowerCase().includes(text.toLowerCase());
    const exact = found.find((node) => called(text, node.dataset.place, words(node)));
    const best = exact ?? (part ? found.find(holds) : null);
    if (best) point(best);
    return Boolean(best);
  }

  /** Focus a place and mark it until the next step. */
  function point(node) {
    focus(node);
    hint([], [drawn.elements[node.dataset.i].key]);
  }

  function rove(event) {
    const found = places();
    const from = found.indexOf(event.target);
    if (from < 0 || !event.key.startsWith('Arrow')) return false;
    const points = found.map((node) => {
      const box = node.getBBox();
      return [box.x + box.width / 2, box.y + Math.min(box.height / 2, 20)];
    });
    focus(found[toward(points, from, event.key)]);
    return true;
  }

  // The frame listens: an <svg> that listens for focus is a stop for Tab in Chromium.
  frame.addEventListener('click', (event) => {
    const node = element(event);
    if (node && once(event)) act(drawn.elements[node.dataset.i].key, node);
  });
  frame.addEventListener('keydown', (event) => {
    const chosen = (event.key === 'Enter' || event.key === ' ') && event.target.hasAttribute('role');
    if (chosen && !event.repeat) act(drawn.elements[event.target.dataset.i].key, event.target);
    if (chosen || rove(event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  });
  for (const kind of ['pointerover', 'focusin']) frame.addEventListener(kind, (event) => hover(element(event) ?? null));
  for (const kind of ['pointerleave', 'focusout']) frame.addEventListener(kind, () => hover(null));

  /** Show step `k`. */
  function show(k) {
    for (const [i, version] of changes(drawn, now, k)) apply(i, version);
    hint([]);
    if (wide) follow();
  }

  /** Where the picture is wider than its frame, bring what is lit into it. */
  function follow() {
    const lit = svg.querySelector('[data-lit=now]>rect,[data-lit=wrote]>rect');
    if (!lit) return;
    const box = lit.getBBox();
    frame.scrollLeft = ((box.x - left + box.width / 2) * svg.clientWidth) / width - frame.clientWidth / 2;
  }

  function resized() {
    wide = frame.scrollWidth > frame.clientWidth;
    if (wide) follow();
  }

  /** Let the dot run along the moves of hop `k`. */
  function travel(k, time) {
    cancelAnimationFrame(frames);
    const moves = nodes.filter((node, i) => drawn.elements[i].group === 'moves' && node.dataset.hop === String(k));
    const lines = moves.map((node) => [...node.querySelector('polyline').points].map(({ x, y }) => [x, y]));
    if (!lines.length || still()) return dot.remove();
    dot.dataset.direction = moves[0].dataset.direction;
    svg.append(dot);
    const start = performance.now();
    const move = (at) => {
      const part = Math.min(Math.max((at - start) / time, 0), 1);
      const [x, y] = along(lines, part);
      dot.setAttribute('cx', x);
      dot.setAttribute('cy', y);
      if (part < 1) frames = requestAnimationFrame(move);
      else dot.remove();
    };
    frames = requestAnimationFrame(move);
  }

  /** Mark the elements of some steps, or those named, and nothing else. */
  function hint(steps, keys = []) {
    for (const node of hinted) delete node.dataset.hint;
    const hops = new Set(steps.map(String));
    const named = new Set(keys.map((key) => nodes[index.get(key)]));
    hinted = hops.size + named.size === 0 ? [] : nodes.filter(
      (node) => named.has(node) || (node.dataset.hop ?? '').split(' ').some((hop) => hops.has(hop)),
    );
    for (const node of hinted) node.dataset.hint = '';
  }

  frame.append(svg);
  return {
    frame, show, travel, resized, reachable, hint, point, enter, find,
    node: (key) => nodes[index.get(key)], stop: () => cancelAnimationFrame(frames),
  };
}

// --- what can be looked into ---------------------------------------------------------------------------------------

/** Return the panel that shows the tables of a place; `level` is what its heading is, `hint` is
 * called while a line has focus or pointer, `seen` tells the last step that may be shown. */
function panel(script, level, hint, seen, closed) {
  const box = make('section', { class: 'fv-inside', hidden: '' });
  let rows = [];

  function open(p, room) {
    const { inside } = script.pictures[p];
    const label = script.pictures[p].label;
    const title = control(level, { tabindex: '-1' }, `${room.name}${label ? ` (${label})` : ''}`);
    const shut = button('\u00d7 close', `close the tables of ${room.name}`, close);
    const head = make('div', { class: 'fv-inside-head' });
    head.append(title, shut);
    rows = [];
    const tables = room.tables.map((t) => table(p, inside, inside.tables[t]));
    box.replaceChildren(head, ...tables);
    box.setAttribute('aria-label', `tables of ${room.name}`);
    box.hidden = false;
    title.focus({ preventScroll: true });
    box.scrollIntoView({ block: 'nearest' });
  }

  function table(p, inside, { command, lines }) {
    const frame = make('div', { class: 'fv-table' });
    const made = make('table');
    made.append(make('caption', {}, command));
    const head = made.createTHead().insertRow();
    for (const word of ['line', script.kind === 'events' ? 'changed by event' : 'used at hop', 'written by']) {
      head.append(make('th', { scope: 'col' }, word));
    }
    const body = made.createTBody();
    for (const number of lines) {
      const line = inside.lines[number];
      const users = usersOf(script, p, number);
      const row = body.insertRow();
      row.append(make('td'), make('td', { class: 'fv-short' }), make('td', { class: 'fv-note' }, line.author));
      row.cells[0].append(make('code', { dir: 'auto' }, line.text));
      if (users.length) {
        row.tabIndex = 0;
        row.dataset.lmSuppressShortcuts = 'true';
        const light = () => hint(p, users.filter((k) => k <= seen()), line.element);
        const dark = () => hint(p, [], '');
        Object.assign(row, { onpointerenter: light, onfocus: light, onpointerleave: dark, onblur: dark });
      }
      rows.push({ row, line, users, p, frame });
    }
    frame.append(made);
    return frame;
  }

  function show(k) {
    for (const { row, line, users } of rows) {
      const state = lineAt(line, k, users.includes(k));
      row.hidden = !state;
      row.toggleAttribute('data-gone', state === 'gone');
      const told = users.filter((one) => one <= seen()).map((one) => script.twin.rows[one - 1]?.[0] ?? one);
      row.cells[1].textContent = told.join(', ');
      if (users.includes(k)) row.setAttribute('aria-current', 'step');
      else row.removeAttribute('aria-current');
    }
    for (const { frame } of rows) frame.hidden = !frame.querySelector('tbody tr:not([hidden])');
  }

  /** Mark the lines of some steps of picture `p`, and those that an element stands for. */
  function mark(p, steps, key) {
    for (const { row, line, users, p: own } of rows) {
      const is = own === p && ((key && line.element === key) || users.some((k) => steps.includes(k)));
      row.toggleAttribute('data-hint', Boolean(is));
    }
  }

  function close() {
    box.hidden = true;
    rows = [];
    closed();
  }

  box.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close();
  });
  return { box, open, show, mark };
}

/** Return all steps as a table, folded; `show` marks the present one, and hides those that a question bars. */
function twin({ caption, head, rows }) {
  const details = make('details', { class: 'fv-twin' });
  const frame = make('div', { class: 'fv-table', role: 'region', 'aria-label': caption });
  const table = make('table');
  const top = table.createTHead().insertRow();
  for (const word of head) top.append(make('th', { scope: 'col' }, word));
  const body = table.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const cell of cells) row.append(make('td', { dir: 'auto', class: cell.length > 16 ? '' : 'fv-short' }, cell));
  }
  frame.append(table);
  details.append(control('summary', {}, `${caption}, as a table`), frame);
  details.hidden = !rows.length;
  const lines = [...body.rows];
  let current = null;
  let shown = -1;
  const show = (k, seen) => {
    if (seen !== shown) lines.forEach((row, i) => { row.hidden = i >= seen; });
    shown = seen;
    current?.removeAttribute('aria-current');
    current = lines[k - 1] ?? null;
    current?.setAttribute('aria-current', 'true');
  };
  return { details, show };
}

// --- the stage -----------------------------------------------------------------------------------------------------

/** Fill `root` with the stage of a script, `at` the step, and with the wishes, that a reader has got to.
 * What ends the stage is added to `undo`; `fail` is called with what goes wrong later. */
function stage(model, script, root, at, undo, fail) {
  const alone = Boolean(model.get('alone'));
  const last = script.steps.length - 1;
  let step = -1;
  let timer = 0;
  let saving = 0;
  let settling = 0;
  let { picking, speed = 1 } = at; // null, or the ends chosen so far
  let opener = null;

  const answers = () => known(script, model.get('answers'));
  const furthest = () => reach(script, answers(), last);
  const status = make('p', { class: 'fv-line', role: 'status', 'aria-live': 'polite' });
  status.hidden = last === 0; // the heading says the same
  const heading = make(alone ? 'h1' : 'p', { class: 'fv-says' }, script.says);
  const inside = panel(script, alone ? 'h2' : 'h3', (p, steps, key) => pictures[p].hint(steps, key ? [key] : []), furthest, () => {
    const back = opener?.isConnected ? opener : slider;
    back.focus();
  });
  const table = twin(script.twin);
  const cards = make('div', { class: 'fv-cards' });
  const verdict = control('div', { class: 'fv-answer', role: 'group', tabindex: '-1', hidden: '' });

  // What a reader may ask for: other ends, a place by its name, what is folded away. On a saved page nobody answers:
  // there a search looks through what is drawn, and that is all.
  const pick = script.ends && !alone ? button('Choose both ends', 'Choose both ends of the journey in the picture', choose) : null;
  const search = script.ends
    ? control('input', { type: 'search', 'aria-label': 'find a place by name or address', placeholder: 'find a name or address' }) : null;
  const wish = make('p', { class: 'fv-message', 'data-kind': 'note', role: 'status', hidden: '' });
  let waiting = 0;
  let { wished } = at; // the number of the last wish of this view

  /** Say something about a wish, else how far the choice of ends is. */
  function say(text) {
    clearTimeout(waiting);
    const told = text || prompt();
    wish.hidden = !told;
    wish.textContent = told;
  }

  function prompt() {
    if (!picking) return '';
    if (picking.length) return `From ${picking[0]}. And to where?`;
    return 'From where? Click a place, or go there with the arrow keys and press Enter. Escape leaves all as it is.';
  }

  function choose() {
    picking = picking ? null : [];
    say('');
    ready();
    if (picking) pictures[0].enter();
  }

  function picked(place) {
    picking.push(place);
    if (picking.length === 1) return say('');
    const [source, destination] = picking;
    picking = null;
    ready();
    return ask({ source, destination });
  }

  function find(text) {
    if (!text || pictures[0].find(text, alone)) return say('');
    return alone ? say(`Nothing that is drawn here is called ${text}.`) : ask({ find: text });
  }

  /** Ask Python for another script; where nobody answers, say so. */
  function ask(what) {
    const cut = () => Boolean(root.closest('.jupyter-widgets-disconnected')); // as Jupyter marks what has lost its kernel
    say('working it out …');
    if (cut()) return say(ALONE);
    waiting = setTimeout(() => say(cut() ? ALONE : SILENT), PATIENCE);
    try {
      wished = (model.get('wish')?.number ?? 0) + 1;
      model.set('wish', { ...what, number: wished });
      return model.save_changes();
    } catch {
      return say(ALONE);
    }
  }

  function answered() {
    const { number, says, focus } = model.get('reply') ?? {};
    if (number !== wished) return;
    say(says);
    const found = pictures[0].node(focus);
    if (found && root.contains(document.activeElement)) pictures[0].point(found);
  }

  if (search) search.value = at.sought ?? '';
  search?.addEventListener('keydown', (event) => {
    event.stopPropagation();
    if (event.key === 'Enter') find(search.value.trim());
    if (event.key === 'Escape' && picking) choose();
  });

  // The pictures.
  const rooms = script.pictures.map(({ inside: { rooms: all } }) => new Map(all.map((room) => [room.element, room])));
  const places = script.pictures.map(({ inside: { rooms: all } }) => new Map(all.toReversed().map((room) => [room.place, room])));
  const ends = new Map(script.ends?.places);

  function purpose(p, key, kind) {
    if (script.ends && !alone && kind === 'fold') return 'show the next of them';
    if (picking) return ends.has(key) ? 'choose this end' : '';
    if (choiceAt(key) >= 0) return 'choose this answer';
    return rooms[p].has(key) ? 'look into its tables' : '';
  }

  function acted(p, key, node) {
    if (purpose(p, key, node.dataset.kind).startsWith('show')) return ask({ open: node.dataset.place ?? '', drawn: [...ends.values()] });
    if (picking) return ends.has(key) && picked(ends.get(key));
    const choice = choiceAt(key);
    if (choice >= 0) return answer(choice);
    const room = rooms[p].get(key) ?? places[p].get(node.dataset.place);
    if (!room) return null;
    opener = pictures[p].node(room.element);
    inside.open(p, room);
    return inside.show(step);
  }

  function hovered(p, node) {
    const hops = (node?.dataset.hop ?? '').split(' ').filter(Boolean).map(Number);
    inside.mark(p, hops, node && script.pictures[p].drawn.elements[node.dataset.i].key);
  }

  const pictures = script.pictures.map((picture, p) => canvas(
    picture, script.pictures.length === 1, (key, kind) => purpose(p, key, kind), (key, node) => acted(p, key, node), (node) => hovered(p, node),
  ));
  const row = make('div', { class: 'fv-pictures' });
  script.pictures.forEach(({ label, says }, p) => {
    const figure = make('figure');
    if (label) figure.append(make('figcaption', {}, `${label}: ${says}`));
    figure.append(pictures[p].frame);
    row.append(figure);
  });

  const look = make('div', { class: 'fv-look' });
  look.append(row, inside.box);

  // The controls.
  const first = button('|\u25c0', `first ${script.noun}`, () => go(0));
  const back = button('\u25c0 back', `back to the previous ${script.noun}`, () => go(step - 1));
  const play = button('\u25b6 play', 'play', () => (timer ? pause() : run()));
  play.classList.add('fv-play');
  const next = button('next \u25b6', `next ${script.noun}`, () => go(step + 1));
  const end = button('\u25b6|', `last ${script.noun}`, () => go(last));
  next.classList.add('fv-main');
  // While the slider has the focus its own value is read out, and the line below it is not.
  const slider = control('input', { type: 'range', min: 0, max: last, step: 1, 'aria-label': script.noun });
  slider.addEventListener('input', () => go(Number(slider.value)));
  slider.addEventListener('focus', () => status.setAttribute('aria-live', 'off'));
  slider.addEventListener('blur', () => status.setAttribute('aria-live', 'polite'));
  const counter = make('span', { class: 'fv-counter' });
  const pace = control('select', { 'aria-label': 'speed' });
  for (const factor of [0.5, 1, 2, 4]) pace.append(new Option(`${factor}\u00d7`, factor, factor === 1, factor === speed));
  pace.addEventListener('change', () => { speed = Number(pace.value); });
  const bar = make('div', { class: 'fv-bar', role: 'group', 'aria-label': 'steps' });
  bar.append(first, back, play, next, end, slider, counter, pace);
  const wishes = make('div', { class: 'fv-bar' });
  wishes.append(...[pick, search].filter(Boolean));
  wishes.hidden = !wishes.children.length;

  function run() {
    if (step >= last) go(0);
    play.textContent = '\u2016 pause';
    play.setAttribute('aria-label', 'pause');
    const tick = () => {
      timer = setTimeout(tick, PAUSE / speed);
      go(step + 1);
      if (step >= furthest()) pause(); // at a question too: its answer is not played over
    };
    timer = setTimeout(tick, PAUSE / speed / 4);
  }

  function pause() {
    clearTimeout(timer);
    timer = 0;
    play.textContent = '\u25b6 play';
    play.setAttribute('aria-label', 'play');
  }

  // The questions. What is asked stands in a live region that is always there.
  const quiz = make('div', { class: 'fv-quiz' });
  const question = make('div', { class: 'fv-question', role: 'status' });
  const choices = make('div', { class: 'fv-choices', role: 'group', 'aria-label': 'answers' });
  quiz.append(question, choices);
  choices.addEventListener('keydown', (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const all = [...choices.children];
    all[(all.indexOf(event.target) + by + all.length) % all.length].focus();
    event.preventDefault();
    event.stopPropagation();
  });
  let open = -1;

  function choiceAt(key) {
    return open < 0 ? -1 : script.questions[open].choices.findIndex(({ box }) => box && box === key);
  }

  function pose(number) {
    const had = choices.contains(document.activeElement);
    open = number;
    const posed = script.questions[open];
    question.innerHTML = posed?.asks ?? '';
    choices.replaceChildren(...(posed?.choices ?? []).map(({ label }, c) => button(label, label, (event) => once(event) && answer(c))));
    choices.hidden = !posed;
    if (had) slider.focus();
    bounds();
    ready();
  }

  /** Let the controls say how far one gets: to the end, or to the question that is open. */
  function bounds() {
    const far = furthest();
    slider.max = far;
    slider.value = step;
    const barred = step >= far && far < last;
    pace.disabled = barred;
    for (const made of [first, back]) off(made, step === 0);
    for (const made of [next, end]) off(made, step >= far);
    off(play, barred);
    table.show(step, far);
    inside.show(step);
  }

  function answer(c) {
    const [number, { step: to, choices: all }] = [open, script.questions[open]];
    const good = all.find((choice) => choice.right);
    const { right, why, label } = all[c];
    model.set('answers', [...answers(), [number, c]]);
    model.save_changes();
    go(to);
    verdict.dataset.correct = right ? 'yes' : 'no';
    const word = make('p', { class: 'fv-verdict' }, right ? `\u2713 Right: ${label}` : `\u00d7 Not right: ${label}`);
    const because = make('div');
    because.innerHTML = why;
    verdict.replaceChildren(word, because);
    if (!right && good) {
      const told = make('div');
      told.innerHTML = good.why;
      verdict.append(make('p', { class: 'fv-verdict-right' }, `It is: ${good.label}`), told);
    }
    verdict.setAttribute('aria-label', [...verdict.children].map((part) => part.textContent).join(' '));
    verdict.hidden = false;
    verdict.focus();
  }

  function ready() {
    for (const picture of pictures) picture.reachable();
    root.toggleAttribute('data-picking', Boolean(picking));
    pick?.setAttribute('aria-pressed', String(Boolean(picking)));
  }

  /** Show step `wanted`, or the last one before a question that is open. */
  function walk(wanted, saved) {
    const to = reach(script, answers(), wanted);
    const posed = asked(script, answers(), to);
    if (to !== step) {
      const on = to === step + 1;
      step = to;
      draw(on);
      if (saved) save();
    }
    if (posed !== open) pose(posed);
    else bounds();
  }

  function go(wanted, saved = true) {
    try {
      walk(wanted, saved);
    } catch (error) {
      fail(error);
    }
  }

  function draw(on) {
    const { says, cards: told, lost, parts } = script.steps[step];
    for (const picture of pictures) {
      picture.show(step);
      picture.travel(on ? step : -1, TRAVEL / speed);
    }
    verdict.hidden = true;
    counter.textContent = step ? `${script.noun} ${step} of ${last}` : 'start';
    slider.setAttribute('aria-valuetext', says);
    status.textContent = says;
    status.toggleAttribute('data-lost', Boolean(lost));
    status.toggleAttribute('data-parts', Boolean(parts));
    cards.innerHTML = told.map((card) => `<div>${card}</div>`).join('');
    for (const fold of cards.querySelectorAll('summary')) fold.dataset.lmSuppressShortcuts = 'true';
    ready();
    clearTimeout(settling);
    settling = setTimeout(() => overflow(root), SETTLED);
  }

  function save() {
    model.set('step', step);
    clearTimeout(saving);
    saving = setTimeout(() => model.save_changes(), SETTLED);
  }

  /** Take the keys that step; a control that has a use for a key of its own keeps it. */
  function pressed(event) {
    if (event.key === 'Escape' && picking) return choose();
    const modified = event.altKey || event.ctrlKey || event.metaKey;
    const own = event.target.closest('select, summary, .fv-table');
    const arrow = event.key.startsWith('Arrow');
    if (event.defaultPrevented || modified || own || (event.target.closest('button') && !arrow)) return null;
    const to = keyed(event.key, step, last);
    if (to === null && event.key !== ' ') return null;
    if (to === null) play.click();
    else go(to);
    event.preventDefault();
    return event.stopPropagation();
  }

  // What comes with another script is for the stage of that script, whatever the model tells of first.
  const own = model.get('script');
  const listen = (name, act) => {
    const heard = () => (model.get('script') === own ? act() : null);
    model.on(`change:${name}`, heard);
    undo.push(() => model.off(`change:${name}`, heard));
  };
  const resized = new ResizeObserver(() => {
    overflow(root);
    for (const picture of pictures) picture.resized();
  });
  undo.push(() => {
    pause();
    for (const one of [saving, settling, waiting]) clearTimeout(one);
    resized.disconnect();
    for (const picture of pictures) picture.stop();
    root.removeEventListener('keydown', pressed);
  });
  walk(at.step ?? script.start, at.save);
  say('');
  root.replaceChildren(heading, wishes, wish, ...(last ? [bar] : []), status, quiz, verdict, look, cards, table.details);
  resized.observe(root);
  root.addEventListener('keydown', pressed);
  // Python has set another step, or another view of this stage has taken one; the reader's own ones are not echoed.
  listen('step', () => go(model.get('step'), false));
  // Another view of this stage has answered, or Python has taken the answers back.
  listen('answers', () => go(step));
  listen('reply', answered);

  function enter() {
    const found = pictures[0].node(script.focus);
    if (found) pictures[0].point(found);
    else if (last) slider.focus();
    else pictures[0].enter();
  }
  return { enter, where: () => ({ step, picking, sought: search?.value, wished, speed, save: true }) };
}

/** Say in one sentence why there is nothing to see. */
function refuse(root, why) {
  root.replaceChildren(make('p', { class: 'fv-message', role: 'alert' }, why));
}

function render({ model, el }) {
  const root = make('div', { class: 'fv-widget fv-stage' });
  let [now, shown, undo] = [null, null, []];

  function stop() {
    for (const act of undo) act();
    [now, undo] = [null, []];
  }

  function fail(error) {
    stop();
    refuse(root, `This stage cannot be shown (${error.message}). Run this cell again.`);
  }

  /** Draw the script; one with the same walk leaves a reader where they are, another one starts, with nothing answered. */
  function draw(anew) {
    const script = read(model.get('script'));
    const why = refusal(script);
    const had = root.contains(document.activeElement);
    const stays = !why && now && sameWalk(shown, script);
    const was = now?.where();
    const start = { step: anew ? null : model.get('step'), picking: null, wished: was?.wished, speed: was?.speed, save: anew };
    const at = stays ? was : start;
    stop();
    if (why) return refuse(root, why);
    try {
      if (anew && !stays) model.set('answers', []);
      now = stage(model, script, root, at, undo, fail);
      shown = script;
    } catch (error) {
      return fail(error);
    }
    return had ? now.enter() : null;
  }

  const redraw = () => draw(true);
  el.append(root);
  model.on('change:script', redraw);
  draw(false);
  return () => {
    stop();
    model.off('change:script', redraw);
  };
}

export default { render };
