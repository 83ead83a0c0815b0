"""Let the arrow keys stay with the control that has the focus; JupyterLab would move to another cell with them."""

from __future__ import annotations

import anywidget

# JupyterLab leaves a key alone only if the focused element itself says so. The rest is what ipywidgets leaves out:
# radio buttons that are one group, a name for a slider, a folded box that opens without a mouse, and a
# hint that something is wider than its frame. A stage looks after itself.
ESM = """
const KEYED = 'select, input[type=radio], input[type=range], [role=slider], .jupyter-widget-Collapse-header';
const FOLD = '.jupyter-widget-Collapse-header';

function group(panel) {
  const question = panel.querySelector('.fv-question');
  for (const box of panel.querySelectorAll('.widget-radio-box')) {
    box.setAttribute('role', 'radiogroup');
    if (question) box.setAttribute('aria-label', question.textContent);
    box.dataset.group ??= `fv-group-${Math.random().toString(36).slice(2)}`;  // each panel has a copy of this module
    for (const radio of box.querySelectorAll('input')) radio.name = box.dataset.group;
  }
}

function name(panel) {
  for (const slider of panel.querySelectorAll('[role=slider]:not([aria-label])')) {
    const label = slider.closest('.widget-inline-hbox')?.querySelector('.widget-label');
    if (label) slider.setAttribute('aria-label', label.textContent);
  }
}

function fold(panel) {
  for (const header of panel.querySelectorAll(FOLD)) {
    header.tabIndex = 0;
    header.setAttribute('role', 'button');
    const open = header.parentElement.classList.contains('jupyter-widget-Collapse-open');
    header.setAttribute('aria-expanded', open);
  }
}

// What is wider than its frame fades out at the right, and can be reached by keyboard.
function overflow(panel) {
  for (const frame of panel.querySelectorAll(':is(.fv-picture, .fv-table):not(.fv-stage *)')) {
    const beyond = () => frame.scrollWidth - frame.clientWidth;
    frame.onscroll = () => frame.toggleAttribute('data-more', beyond() - frame.scrollLeft > 4);
    frame.onscroll();
    if (beyond() > 4) frame.tabIndex = 0;
    else frame.removeAttribute('tabindex');
  }
}

function pressed(event) {
  if (event.defaultPrevented || !event.target.matches(FOLD) || ![' ', 'Enter'].includes(event.key)) return;
  event.preventDefault();
  event.target.click();
}

function attach(el) {
  const panel = el.closest('.fv-widget');
  if (!panel) return requestAnimationFrame(() => attach(el));
  const improve = () => { group(panel); name(panel); fold(panel); overflow(panel); };
  panel.addEventListener('focusin', ({ target }) => {
    if (target.matches(KEYED)) target.dataset.lmSuppressShortcuts = 'true';
  });
  panel.addEventListener('keydown', pressed);
  panel.addEventListener('click', () => setTimeout(() => fold(panel)));
  improve();
  const watched = { childList: true, subtree: true, attributes: true, attributeFilter: ['class'] };
  new MutationObserver((changed) => changed.some(({ target }) => !target.closest('.fv-stage')) && improve())
    .observe(panel, watched);
  new ResizeObserver(() => overflow(panel)).observe(panel);
}

export default { render({ el }) { el.style.display = 'none'; attach(el); } };
"""


class Keys(anywidget.AnyWidget):
    """Nothing to see: it hands the arrow keys to the controls of the panel that it is put into."""

    _esm = ESM
