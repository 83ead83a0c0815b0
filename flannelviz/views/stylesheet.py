"""The style sheet of the widgets: one scoped sheet, in the colours of the drawings, for both themes of JupyterLab."""

from __future__ import annotations

from collections.abc import Mapping

from flannelviz.views.theme import DARK, LIGHT, MONO


def _variables(palette: Mapping[str, str]) -> str:
    return "".join(f"--fv-{role}:{colour};" for role, colour in palette.items())


_PLACE = (
    f".fv-widget{{{_variables(LIGHT)}color:var(--fv-ink);max-width:100rem;overflow:visible;padding:2px;container-type:inline-size}}"
    f'[data-jp-theme-light="false"] .fv-widget{{{_variables(DARK)}}}'
    ".fv-widget :is(.widget-html,.widget-html-content){height:auto;max-width:100%}"
    ".fv-widget .widget-html{margin:0 2px}"
    ".fv-widget .widget-html:has(>.widget-html-content:empty){display:none}"
    ".fv-widget .widget-html-content{line-height:1.45;font-size:14px;width:100%}"
    ".fv-widget :is(.widget-vbox,.widget-hbox){overflow:visible}"
    ".fv-columns{display:flex;flex-wrap:wrap;gap:0 1.5em}"
    ".fv-columns>*{flex:1 1 22em;min-width:0}"
)

# A label stands above its control, so that controls line up however many fit into a row.
_CONTROLS = (
    ".fv-controls{flex-flow:row wrap!important;gap:4px 16px;align-items:flex-start}"
    ".fv-field{max-width:100%;min-width:0}"
    ".fv-controls>.fv-field{flex:0 1 15em}"
    ".fv-controls>.fv-field.fv-wide{flex-basis:32em}"
    ".fv-controls>.fv-field:has(.fv-message){flex-basis:32em}"
    ".fv-controls>.widget-accordion{flex:0 1 20em;margin:0;align-self:end}"
    ".fv-controls>.widget-accordion:has(.jupyter-widget-Collapse-open){flex-basis:100%}"
    ".fv-controls>.fv-field~.jupyter-button{margin-top:24px}"
    "@container (max-width:640px){.fv-controls{gap:4px 10px}"
    ".fv-controls>:is(.fv-field,.widget-accordion){flex:1 1 calc(50% - 10px)}"
    ".fv-controls>.fv-field.fv-wide{flex-basis:100%}}"
    ".fv-widget :is(.widget-text,.widget-dropdown,.widget-textarea)"
    "{display:flex;flex-direction:column;align-items:stretch;gap:3px;height:auto!important}"
    ".fv-widget :is(.widget-text,.widget-dropdown,.widget-textarea)>.widget-label"
    "{width:auto!important;text-align:left;height:auto;line-height:1.5;font-size:13px}"
    ".fv-widget :is(.widget-text,.widget-dropdown)>:is(input,select)"
    "{flex:none!important;height:30px!important;width:100%}"
    ".fv-widget .widget-textarea>textarea{width:100%!important}"
    '[data-jp-theme-light="false"] .fv-widget select{appearance:auto;background-image:none;color-scheme:dark}'
    ".fv-widget .widget-label{color:var(--fv-ink)}"
    ".fv-widget :is(button,input,select,textarea,summary,[tabindex]):focus-visible"
    "{outline:3px solid var(--fv-cloud-line)!important;outline-offset:2px}"
    ".fv-widget .jupyter-button{border-radius:5px;border:1px solid var(--fv-line);background:var(--fv-node);"
    "color:var(--fv-ink);width:auto;min-width:6em;height:30px;line-height:28px;padding:0 .9em;box-shadow:none}"
    ".fv-widget .jupyter-button:not(:disabled):hover{background:var(--fv-cloud)}"
    ".fv-widget .jupyter-button:is(.fv-main,.mod-active){background:var(--fv-cloud-line);color:var(--fv-on-accent);"
    "border-color:var(--fv-cloud-line);font-weight:600}"
    ".fv-widget .jupyter-button:is(.fv-main,.mod-active):not(:disabled):hover"
    "{background:var(--fv-cloud-line);filter:brightness(1.12)}"
    ".fv-widget .jupyter-button:disabled{opacity:1;background:var(--fv-kernel);color:var(--fv-muted);"
    "border:1px dashed var(--fv-kernel-line);font-weight:400}"
    ".fv-widget .jupyter-widget-Collapse-header{color:var(--fv-ink);padding:.3em .7em}"
)

_TEXTS = (
    ".fv-widget p{margin:.25em 0}"
    ".fv-note{color:var(--fv-muted)}"
    ".fv-line{min-height:3em;margin:.3em 0}"
    f".fv-widget :is(code,pre){{font-family:{MONO};font-size:12.5px;background:none;color:inherit}}"
    ".fv-widget code{background:var(--fv-kernel);padding:0 .25em;border-radius:3px;overflow-wrap:anywhere}"
    ".fv-widget pre{background:var(--fv-kernel);padding:.5em .7em;border-radius:5px;margin:.35em 0;"
    "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4}"
    ".fv-message{margin:.3em 0;padding:.35em .7em;border-left:4px solid var(--fv-lost);"
    "background:var(--fv-node);color:var(--fv-ink);overflow-wrap:anywhere}"
    ".fv-message[data-kind=note]{border-left-color:var(--fv-line)}"
    ".fv-picture{overflow-x:auto;margin:.4em 0}"
    ":is(.fv-picture,.fv-table)[data-more]{mask-image:linear-gradient(to right,#000 calc(100% - 48px),#0003)}"
    ":is(.fv-picture,.fv-table)::-webkit-scrollbar{height:10px}"
    ":is(.fv-picture,.fv-table)::-webkit-scrollbar-thumb{background:var(--fv-line);border-radius:5px}"
    ":is(.fv-picture,.fv-table)::-webkit-scrollbar-track{background:var(--fv-kernel)}"
    ".fv-picture svg{display:block;height:auto}"
    ".fv-result{font-weight:600;margin:.3em 0;padding:.4em .7em;border-left:4px solid var(--fv-wrote);"
    "background:var(--fv-node)}"
    ".fv-result[data-ok=no]{border-left-color:var(--fv-lost)}"
    ".fv-result[data-ok=part]{border-left-color:var(--fv-line)}"
    ".fv-result[data-ok=soon]{border-left-color:var(--fv-pod-line)}"
)

_TABLES = (
    ".fv-table{overflow-x:auto;margin:.4em 0}"
    ".fv-widget .fv-table table{border-collapse:collapse;font-size:13px;width:100%;table-layout:auto;margin:.2em 0}"
    ".fv-widget .fv-table caption{text-align:left;font-weight:600;padding:.3em 0;caption-side:top;color:var(--fv-ink)}"
    ".fv-widget .fv-table :is(th,td){text-align:left;vertical-align:top;padding:.25em .6em .25em 0;"
    "border-bottom:1px solid var(--fv-line);overflow-wrap:break-word;color:var(--fv-ink);max-width:34em;"
    "white-space:normal}"
    ".fv-widget .fv-table th{font-weight:600;color:var(--fv-muted)}"
    ".fv-widget .fv-table td.fv-short{white-space:nowrap}"
    ".fv-widget .fv-table td:not(.fv-short){min-width:7em}"
    ".fv-widget .fv-table td:has(code){min-width:12em}"
    ".fv-widget .fv-table code{overflow-wrap:break-word}"
    ".fv-widget .fv-table tbody tr{background:none}"
    ".fv-widget .fv-table tr[aria-current]{background:var(--fv-there-tint)}"
    ".fv-widget .fv-table tr[aria-current] td:first-child{box-shadow:inset 3px 0 var(--fv-there);padding-left:.6em}"
    ".fv-widget summary{cursor:pointer;font-weight:600;padding:.15em 0}"
)

_QUIZ = (
    ".fv-quiz{border:1px solid var(--fv-line);border-radius:8px;padding:.6em .9em!important;background:var(--fv-node);"
    "overflow:visible}"
    ".fv-question{font-size:15px;font-weight:600}"
    ".fv-quiz .widget-radio{width:100%;height:auto}"
    ".fv-quiz .widget-radio-box{width:100%;max-width:none;height:auto;margin:.2em 0 .4em!important;gap:2px}"
    ".fv-quiz .widget-radio-box label{display:flex;flex-direction:row-reverse;justify-content:flex-end;gap:.6em;"
    "height:auto;line-height:20px;padding:.15em 0;white-space:normal;font-size:14px;overflow:visible;"
    "align-items:flex-start;cursor:pointer}"
    ".fv-quiz .widget-radio-box label input{margin:2px 0 0;flex:none;width:auto;line-height:1;position:static}"
    ".fv-quiz .widget-radio-box label:has(:checked:disabled){font-weight:600}"  # a locked choice is a faint dot
    ".fv-answer{margin-top:.5em;padding:.4em .8em;border-left:4px solid var(--fv-lost);background:var(--fv-bg)}"
    ".fv-answer[data-correct=yes]{border-left-color:var(--fv-wrote)}"
    ".fv-verdict{font-weight:700;color:var(--fv-lost)}"
    ".fv-answer[data-correct=yes] .fv-verdict{color:var(--fv-wrote)}"
)

# A saved page has no kernel behind its controls, and JupyterLab puts a broken chain before each of them. One sentence
# says the same.
_ASLEEP = (
    ".fv-widget .jupyter-widgets-disconnected::before{content:none!important}"
    ".fv-widget.jupyter-widgets-disconnected::before{content:'Saved state. Run this cell, and the controls work.';"
    "color:var(--fv-muted)!important;font:italic 13px var(--jp-ui-font-family,sans-serif);margin:0 2px 4px}"
)

SHEET = "<style>" + "\n".join((_PLACE, _CONTROLS, _TEXTS, _TABLES, _QUIZ, _ASLEEP)) + "</style>"
