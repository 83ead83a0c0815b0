"""A line that a running kernel says and no saved page keeps: what depends on the machine that runs a notebook."""

from __future__ import annotations

from typing import Any

import anywidget

# The page asks when it draws the line. The answer is a message and no state, so that saving does not find it.
ESM = """
export default {
  render({ model, el }) {
    el.classList.add('fv-note');
    el.style.margin = '0 2px 6px';
    el.setAttribute('role', 'status');
    const hear = ({ says }) => { if (says !== undefined) el.textContent = says; };
    model.on('msg:custom', hear);
    model.send({ asks: true });
    return () => model.off('msg:custom', hear);
  },
};
"""


class Fleeting(anywidget.AnyWidget):
    """A line of text that is shown while a kernel runs, and never saved."""

    _esm = ESM

    def __init__(self) -> None:
        self.words = ""
        super().__init__()
        self.on_msg(self._answer)

    def say(self, words: str) -> None:
        """Show `words` from now on."""
        self.words = words
        self.send({"says": words})

    def _answer(self, _widget: object, _content: Any, _buffers: object) -> None:
        self.send({"says": self.words})
