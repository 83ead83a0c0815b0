"""A real JupyterLab server, and one notebook in it as a browser shows it."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, BrowserContext, Locator, Page

from tests.browser.shots import SHOTS
from tools.notebooks import KERNEL

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_ARGS = [
    "--no-sandbox",  # the tests may run as root; they load nothing but pages from this machine
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT = {"width": 1280, "height": 900}
TALLEST = 16_000  # pixels; Chromium paints no larger picture
FOOTER = 80  # pixels below the last cell
KERNEL_PATIENCE = 30_000  # milliseconds until a kernel has answered all, on a busy machine
POLLING = 20  # milliseconds between two looks; looking with each frame keeps the page busy with drawing frames
STARTUP = 60  # seconds until the server answers, on a busy machine
# What JupyterLab itself writes to the console as an error, each with its reason. Keep it short.
ALLOWED_CONSOLE: tuple[str, ...] = ()
# JupyterLab asks every kernel for its widgets; one that has not imported ipywidgets says on stderr that it has none.
NO_WIDGETS_YET = re.compile(r"stderr: .*No such comm|stderr: Traceback.*comm_open", re.DOTALL)

# JupyterLab asks nothing, and no caret blinks: the page draws a frame only where something changes.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/codemirror-extension/plugin": {"defaultConfig": {"cursorBlinkRate": 0}},
}
# What draws without end: the moons of the splash screen, at a change of the theme too, and the icon of the tab, which
# is fetched anew at the beginning and at the end of each message to a kernel.
LEFT_OUT = ("@jupyterlab/apputils-extension:splash", "@jupyterlab/application-extension:faviconbusy")
KERNEL_IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
# A kernel takes what it is sent in order, and it is idle once more when all that came before is answered.
KERNEL_ANSWERS = """patience => {
    const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const late = (_, reject) => setTimeout(reject, patience, new Error(`no answer of the kernel in ${patience} ms`));
    return Promise.race([kernel.requestKernelInfo(), new Promise(late)]).then(() => undefined);
}"""
OPEN = "async path => { await window.jupyterapp.commands.execute('docmanager:open', {path}); }"
KEEP = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
KEPT = f"() => window.jupyterapp.commands.isToggled('{KEEP}')"
# Ends the kernel, and closes the notebook without the question whether to save it.
LEAVE = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.sessionContext.shutdown();
    panel.context.model.dirty = false;
    panel.close();
}"""
# JupyterLab draws cells that are out of sight when it finds the time, and a widget into an empty panel, some time
# after its cell has run.
ALL_DRAWN = """() => window.jupyterapp.shell.currentWidget.content.widgets.every(cell => !cell.isPlaceholder())
    && !document.querySelector('.jp-Notebook .jp-OutputArea-output.lm-Panel:empty')
    && !/Loading widget/.test(document.querySelector('.jp-Notebook').textContent)"""
# Returns where the last cell ends once it stays there, in pixels below the top of the window.
SCROLL_UP_AND_MEASURE = """async () => {
    const bottom = () => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].at(-1).getBoundingClientRect().bottom;
    document.querySelector('.jp-Notebook .jp-WindowedPanel-outer').scrollTop = 0;
    for (let before = NaN; before !== bottom();) {
        before = bottom();
        for (let frames = 0; frames < 3; frames++) await new Promise(resolve => requestAnimationFrame(resolve));
    }
    return bottom();
}"""
# An exception in a widget's callback reaches no cell: only the kernel's message stream tells.
LISTEN_TO_KERNEL = """() => {
    window.kernelErrors = [];
    window.jupyterapp.shell.currentWidget.sessionContext.iopubMessage.connect((_, {header, content}) => {
        if (header.msg_type === 'error')
            window.kernelErrors.push(`${content.ename}: ${content.evalue}`);
        if (header.msg_type === 'stream' && content.name === 'stderr')
            window.kernelErrors.push(`stderr: ${content.text.slice(0, 300)}`);
    });
}"""


def find_chromium() -> str:
    """Return the path of the browser; that there is none is a failure, never a skipped test."""
    for name in (os.environ.get("FV_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    raise RuntimeError("no Chromium here; install it (apt-get install chromium) or set FV_CHROMIUM")


@dataclass(frozen=True)
class Server:
    """Where JupyterLab listens, and where it keeps what it knows; Notebook 7 and Voila answer there too."""

    url: str
    token: str
    scratch: Path


@contextmanager
def serving(python: Path, folder: Path, scratch: Path) -> Iterator[Server]:
    """Run the JupyterLab of `python` on `folder`; everything it writes about itself goes to `scratch`."""
    server = Server(f"http://127.0.0.1:{free_port()}", secrets.token_hex(16), scratch)
    log = scratch / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            lab_command(python, folder, server),
            env=lab_environment(python, scratch),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_up(server, process, log)
        yield server
    finally:
        stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lab_command(python: Path, folder: Path, server: Server) -> list[str]:
    return [
        *(str(python), "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
        "--JupyterNotebookApp.expose_app_in_browser=True",
        f"--config={ROOT / 'tools' / 'jupyter_server_config.py'}",
        *("--ip=127.0.0.1", f"--port={server.url.rpartition(':')[2]}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={server.token}", f"--ServerApp.root_dir={folder}"),
    ]


def lab_environment(python: Path, scratch: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's own Jupyter set-up plays a part."""
    settings = scratch / "settings"
    for name, values in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    page = scratch / "config" / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps({"disabledExtensions": dict.fromkeys(LEFT_OUT, True)}))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST"))}
    return inherited | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_DATA_DIR": str(scratch / "data"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{server.url}/api/status?token={server.token}", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not come up:\n{log.read_text()[-3000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)  # the server shuts its kernels down too
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def write_cells(path: Path, *sources: str) -> None:
    """Write a notebook with one cell for each of `sources`."""
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)


def new_context(browser: Browser) -> BrowserContext:
    """Return a browser profile for many pages, so that JupyterLab's own code is loaded only once."""
    return browser.new_context(viewport=VIEWPORT, reduced_motion="reduce")


@contextmanager
def lab_page(context: BrowserContext, server: Server) -> Iterator["LabPage"]:
    """Yield an empty page; its kernel ends with it."""
    page = LabPage(context.new_page(), server)
    try:
        yield page
    finally:
        page.close()


class LabPage:
    """One notebook in JupyterLab, and everything that went wrong on its page."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.problems: list[str] = []
        page.on("console", lambda message: message.type == "error" and self._note(f"console: {message.text}"))
        page.on("pageerror", lambda error: self._note(f"page: {error}"))
        page.on("request", lambda request: self._check_address(request.url))

    def _note(self, problem: str) -> None:
        if not any(allowed in problem for allowed in ALLOWED_CONSOLE):
            self.problems.append(problem)

    def _check_address(self, url: str) -> None:
        own = (self.server.url, self.server.url.replace("http", "ws", 1))
        if re.match(r"(https?|wss?):", url) and not url.startswith(own):
            self._note(f"a request leaves the machine: {url}")

    def open(self, path: str) -> None:
        """Open the notebook at `path` and wait for its kernel. A new page comes to JupyterLab by the launch address."""
        if self.page.url.startswith(self.server.url):
            self.problems.clear()
            self.page.evaluate(OPEN, path)
        else:
            self.page.goto(f"{self.server.url}/lab/tree/{path}?reset&token={self.server.token}")
        self.page.wait_for_function(KERNEL_IDLE, timeout=60_000, polling=POLLING)
        self.page.evaluate(LISTEN_TO_KERNEL)

    def run_all(self) -> bool:
        """Run every cell; return whether all of them ran without an error."""
        ran = self.command("notebook:run-all-cells")
        self.wait_for_kernel()
        self.page.wait_for_function(ALL_DRAWN, polling=POLLING)
        return bool(ran)

    def command(self, name: str, **arguments: object) -> object:
        """Execute a command of JupyterLab and return what its promise resolves to."""
        script = "([name, args]) => window.jupyterapp.commands.execute(name, args)"
        return self.page.evaluate(script, [name, arguments])

    def keep_widgets(self) -> None:
        """Have notebooks saved with what their widgets show; the menu's entry turns it on and off."""
        if not self.page.evaluate(KEPT):
            self.command(KEEP)
            self.page.wait_for_function(KEPT, polling=POLLING)

    def wait_for_kernel(self) -> None:
        """Wait until the kernel has answered everything that the page has sent to it."""
        self.page.evaluate(KERNEL_ANSWERS, KERNEL_PATIENCE)

    def leave(self) -> None:
        """Close the notebook and end its kernel; JupyterLab stays for the next one."""
        self.page.evaluate(LEAVE)

    def close(self) -> None:
        """Close the page, whatever state it is in, and end its kernel."""
        self.shut_kernel_down()
        self.page.close()

    def shut_kernel_down(self) -> None:
        """End the kernel and leave the notebook open."""
        self.page.evaluate("() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown?.()")

    def kernel_errors(self) -> list[str]:
        """Return what the kernel reported as an error or wrote to stderr since the page was opened."""
        errors = self.page.evaluate("() => window.kernelErrors")
        return [error for error in errors if not NO_WIDGETS_YET.match(error)]

    def broken_widgets(self) -> int:
        """Return how many outputs say that their widget cannot be drawn."""
        outputs = self.page.locator(".jp-OutputArea")
        messages = outputs.get_by_text(re.compile("Error displaying widget|Loading widget"))
        return messages.count() + outputs.locator(".jupyter-widgets-error-widget").count()

    def outputs(self) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell-outputArea")

    def check_clean(self) -> None:
        """Fail if the kernel, a widget, the console or the network has something to complain about."""
        assert self.kernel_errors() == []
        assert self.broken_widgets() == 0
        assert self.problems == []

    def set_theme(self, name: str) -> None:
        """Change to the theme "JupyterLab Light" or "JupyterLab Dark"."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def shoot(self, name: str, themes: Iterable[str] = ("Dark", "Light")) -> None:
        """Save pictures of the whole notebook in each of the themes, the last of which stays, under build/shots/."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self._show(False)
        self._fit_window()
        for theme in themes:
            self._show(False)
            self.set_theme(f"JupyterLab {theme}")
            self._show(True)
            (SHOTS / f"{name}-{theme.lower()}.png").write_bytes(self._picture())
        self.page.set_viewport_size(VIEWPORT)

    def _show(self, shown: bool) -> None:
        """Show the page or hide it: each frame of so tall a window takes its time, and only one is wanted."""
        self.page.evaluate("shown => { document.body.style.visibility = shown ? '' : 'hidden'; }", shown)

    def _picture(self) -> bytes:
        """Return a PNG of the notebook: a quarter larger than it could be, but in two thirds of the time."""
        browser = self.page.context.new_cdp_session(self.page)
        clip = self.page.locator(".jp-NotebookPanel").bounding_box() | {"scale": 1}
        taken = browser.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True, "clip": clip})
        browser.detach()
        return b64decode(taken["data"])

    def _fit_window(self) -> None:
        """Make the window as tall as the notebook; cells get their real height only when they come into view."""
        self.page.set_viewport_size(VIEWPORT | {"height": TALLEST})
        bottom = self.page.evaluate(SCROLL_UP_AND_MEASURE)
        self.page.set_viewport_size(VIEWPORT | {"height": min(int(bottom) + FOOTER, TALLEST)})
        self.page.evaluate(SCROLL_UP_AND_MEASURE)
