// Loaded into the notebook's page: which controls its widgets have, and what the pictures near them show.
// A control is looked for in what a browser knows (buttons, sliders, lists, fields), not in the project's classes.
window.flannelvizControls = (() => {
    const OUTPUT = '.jp-Notebook .jp-OutputArea-output';
    const CONTROL = 'select, textarea, input, button, [role=slider], [role=tab], .jupyter-widget-Collapse-header, svg [role=button]';
    const UPLOAD = '.widget-upload, input[type=file]';
    const CHOICES = '.widget-toggle-buttons';
    const EVERYTHING = {subtree: true, childList: true, characterData: true, attributes: true};
    const RADIOS = '.widget-radio, fieldset, [role=radiogroup]';
    const REST = 40; // milliseconds without a change, after which a picture stands
    const used = new WeakSet();
    const numbers = new Map([['', 0]]);
    let found = [];

    const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
    const areas = new WeakMap(); // where a part was when it was looked for, by part
    const areaOf = element => element.closest('.jp-Cell-outputArea');
    const visible = element => element.checkVisibility({visibilityProperty: true});
    const enabled = element => !element.closest(':disabled, [disabled], [aria-disabled=true]');

    function kindOf(element) {
        if (element.matches('.jupyter-widget-Collapse-header, [role=tab]')) return 'disclosure';
        if (element.getAttribute('role') === 'slider' || element.type === 'range') return 'slider';
        if (element.closest(CHOICES)) return 'choices';
        if (element.closest('svg')) return 'places';
        if (element.matches('.fv-play, .fv-stage [aria-pressed]')) return 'motion';
        if (element.closest('.fv-inside-head')) return 'disclosure';
        if (element.matches(UPLOAD)) return 'upload';
        if (element.matches('button, input[type=button], input[type=submit]')) return buttonKind(element);
        if (element.matches('select, textarea')) return element.localName;
        return {radio: 'radios', checkbox: 'checkbox', number: 'number', text: 'text', search: 'text'}[element.type]
            ?? `unknown input ${element.type}`;
    }

    // The buttons of a quiz are its answers, or they confirm what was chosen with something else.
    function buttonKind(element) {
        const quiz = element.closest('.fv-quiz');
        if (!quiz) return 'button';
        return quiz.querySelector(`select, textarea, input, [role=slider], ${CHOICES}`) ? 'confirm' : 'choices';
    }

    // Radio buttons in one group, toggle buttons in one row, the answers of a quiz: one control with several parts.
    function groupOf(element, kind) {
        const quiz = element.closest('.fv-quiz');
        if (kind === 'radios') return [...element.closest(RADIOS).querySelectorAll('input[type=radio]')];
        if (kind === 'places') return [...element.closest('svg').querySelectorAll('[role=button]')];
        if (kind === 'choices') return [...(element.closest(CHOICES) ?? quiz).querySelectorAll('button')];
        return [element];
    }

    // Radio buttons and toggles without a name of their own are called by their options.
    function labelOf(element, parts) {
        if (element.closest('svg')) return 'the places of the picture';
        const own = element.matches('button, .jupyter-widget-Collapse-header, [role=tab]') ? textOf(element) : '';
        const name = parts.length > 1
            ? nameBeside(element) || parts.map(optionOf).join(', ')
            : (element.getAttribute('aria-label') ?? '').trim() || own || nameBeside(element);
        return name || element.title.trim();
    }

    function nameBeside(element) {
        const frame = element.closest('.widget-inline-hbox, .widget-radio');
        return textOf(frame?.querySelector('.widget-label') ?? labelAround(element));
    }

    // A browser searches the whole page for the labels of an element, so the one around it is asked first.
    const labelAround = element => element.closest('label') ?? element.labels?.[0];

    const optionOf = part => textOf(part) || textOf(labelAround(part));

    const textOf = element => (element?.textContent ?? '').trim();

    function range(element) {
        const number = text => (text === '' || text == null ? null : Number(text));
        const read = (attribute, property) => number(element.getAttribute(attribute) ?? element[property]);
        return {now: read('aria-valuenow', 'value'), min: read('aria-valuemin', 'min'), max: read('aria-valuemax', 'max')};
    }

    // What goes on until it is switched off again: a stage that plays, or that asks for both ends.
    const isOn = part => part.matches('[aria-pressed=true], [aria-label=pause]');

    // What one types to find a place: its name, another one each time. Boxes of one machine have one name.
    function nameOfPlace(element, turn) {
        const boxes = element.closest('.fv-stage').querySelectorAll('svg [role=button]:not([data-kind=fold])');
        const names = [...new Set([...boxes].filter(visible).map(box => box.dataset.place))];
        return names[turn % names.length];
    }

    const chosen = part => part.checked || part.matches('.mod-active, [aria-pressed=true], [aria-checked=true]');

    function canMove(kind, parts) {
        const usable = parts.filter(part => visible(part) && enabled(part));
        const [first] = usable;
        if (!first) return false;
        if (kind === 'slider') return range(first).max > range(first).min;
        if (kind === 'select') return first.multiple || [...first.options].filter(option => !option.disabled).length > 1;
        if (kind === 'radios' || kind === 'choices') return usable.some(part => !chosen(part));
        return true;
    }

    function list() {
        const seen = new Set();
        found = [];
        for (const output of document.querySelectorAll(OUTPUT)) {
            for (const element of output.querySelectorAll(CONTROL)) {
                if (seen.has(element)) continue;
                const kind = kindOf(element);
                const parts = groupOf(element, kind);
                parts.forEach(part => seen.add(part));
                found.push({element, kind, parts});
            }
        }
        const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
        return found.map(({element, kind, parts}) => ({
            cell: cells.indexOf(element.closest('.jp-Cell')),
            kind,
            label: labelOf(element, parts),
            movable: canMove(kind, parts),
            quiz: element.closest('.fv-quiz') !== null,
        }));
    }

    // The part to use next: one that is not chosen now and was not used the last time.
    function nextPart(index) {
        const usable = found[index].parts.filter(part => visible(part) && enabled(part));
        const part = usable.find(part => !chosen(part) && !used.has(part)) ?? usable.find(part => !chosen(part)) ?? usable[0];
        usable.forEach(part => used.delete(part));
        used.add(part);
        return part;
    }

    const anyPart = index => found[index].parts[0];

    // A part of a control, in view and with a picture at rest; null if its widget has meanwhile drawn another one.
    async function within(pick, index) {
        const part = pick(index);
        part.scrollIntoViewIfNeeded();
        await frame();
        if (areaOf(part)) await settled(areaOf(part));
        if (areaOf(part)) areas.set(part, areaOf(part));
        return areaOf(part) && part;
    }

    // Where a mouse reaches the middle of a part, which has to stand still for a frame and to have nothing over it;
    // null if it has to be scrolled to, or waited for.
    async function middle(part) {
        const places = [];
        for (let looks = 0; looks < 2; looks++) {
            await frame();
            const {left, top, width, height} = part.getBoundingClientRect();
            places.push([left + width / 2, top + height / 2]);
        }
        const [before, now] = places;
        const still = before[0] === now[0] && before[1] === now[1];
        return still && enabled(part) && part.contains(document.elementFromPoint(...now)) ? now : null;
    }

    // The option after the chosen one; `skipped` are labels that only point to another control.
    function nextOption(select, skipped) {
        const options = [...select.options].map((option, index) => ({index, usable: isUsable(option, skipped)}));
        const order = [...options.slice(select.selectedIndex + 1), ...options.slice(0, select.selectedIndex + 1)];
        return order.find(option => option.usable).index;
    }

    const isUsable = (option, skipped) => !option.disabled && !skipped.includes(option.textContent.trim());

    // The buttons of a quiz that are not its answers: they confirm one, or ask again.
    const confirmers = element => [...(element.closest('.fv-quiz')?.querySelectorAll('button') ?? [])]
        .filter(part => visible(part) && enabled(part) && kindOf(part) === 'confirm');

    // What one kind of part shows in the area of the part that is moved (pictures, tables, answers, messages), without the controls inside:
    // a number for each different sight, 0 for none, since the texts are long.
    function shown(of, selector) {
        const sight = [...areas.get(of).querySelectorAll(selector)].map(part => {
            const copy = part.cloneNode(true);
            [...copy.querySelectorAll(CONTROL)].filter(part => !part.closest('svg')).forEach(part => part.remove());
            return `${visible(part) ? 'shown' : 'hidden'} ${copy.outerHTML}`;
        }).join('\n');
        if (!numbers.has(sight)) numbers.set(sight, numbers.size);
        return numbers.get(sight);
    }

    // Whether a condition is true, or becomes true in time. It is asked again with the frame after each change in the
    // area: what nobody can see, such as a picture that is emptied and filled at once, is no change.
    function soon(of, patience, condition) {
        return new Promise(resolve => {
            const end = answer => (observer.disconnect(), clearTimeout(timer), resolve(answer));
            const look = () => condition() && end(true);
            const observer = new MutationObserver(() => requestAnimationFrame(look));
            const timer = setTimeout(() => end(false), patience);
            observer.observe(areas.get(of), EVERYTHING);
            look();
        });
    }

    const follows = (of, patience, selector, before) => soon(of, patience, () => shown(of, selector) !== before);

    // Whether an answer comes, or a message other than before; that the old one goes is only its end.
    const heard = (of, patience, one, answer, other, alarm) =>
        soon(of, patience, () => shown(of, one) !== answer || ![0, alarm].includes(shown(of, other)));

    // Whether a question takes a guess: with an answer at once, or with a button that confirms it.
    const taken = (part, patience, selector, before) =>
        soon(part, patience, () => confirmers(part).length > 0 || shown(part, selector) !== before);

    async function settled(area) {
        const observer = new MutationObserver(() => {});
        observer.observe(area, EVERYTHING);
        for (let tries = 0; tries < 75; tries++) {
            await new Promise(resolve => setTimeout(resolve, REST));
            if (observer.takeRecords().length === 0) break;
        }
        observer.disconnect();
    }

    return {isOn, nameOfPlace, list, within, middle, nextPart, anyPart, nextOption, confirmers, range, shown, follows, heard, taken};
})();
