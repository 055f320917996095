"""The chapters in JupyterLab: panels answer hand and keyboard, solutions are folded, and a chapter saves and closes.

The server works on copies. Chapters run whole for the site; a copy has the cells with a panel, those that they rest on, and the
solutions. One page shows all chapters. Notebooks are opened, run, saved and closed by the commands behind the menus, panels are
moved by mouse and keys.
"""

import ast
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import symtable
import sys
import time
from urllib.request import urlopen

import nbformat
import pytest

pytestmark = pytest.mark.slow

EPOCHS = 3  # of a training in the copy
QUIET = {"fetchNews": "false", "checkForUpdates": False}  # no question in the corner, no other host
SECONDS = 300  # for a chapter, while other tests run

OPEN = """async path => {
    const widget = await jupyterapp.commands.execute("docmanager:open", {path});
    await widget.context.ready;
    await widget.sessionContext.ready;
    (window.chapters ??= {})[path] = {widget};
}"""
RUN = """path => {
    jupyterapp.commands.execute("notebook:run-all-cells").then(() => chapters[path].done = true);
}"""
CELLS = "path => chapters[path].widget.content.widgets.map(cell => [cell.model.type, cell.model.sharedModel.source])"
SCROLL = """async ([path, index]) => {
    const {content} = chapters[path].widget;
    await content.scrollToItem(index, "start");
    const output = content.widgets[index].node.querySelector(".jp-Cell-outputWrapper");
    output?.scrollIntoView({block: "start"});
    return output?.querySelector(".js-plotly-plot, .magbook-explorer-panel") ? output : null;
}"""
FOLDED = """async ([path, index]) => {
    const {content} = chapters[path].widget;
    await content.scrollToItem(index, "start");
    return content.widgets[index].node.querySelectorAll("details:not([open])").length;
}"""
CLOSE = """async path => {
    const {widget} = chapters[path];
    await jupyterapp.commands.execute("docmanager:save");
    await widget.sessionContext.shutdown();
    await jupyterapp.commands.execute("application:close");
}"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(page, what, message):
    """Wait until `what()` is true, and return it."""
    for _ in range(240):
        if found := what():
            return found
        page.wait_for_timeout(250)
    raise AssertionError(message)


class Lab:
    """A page of JupyterLab, on a server of its own, with the chapters in `folder`."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder

    def open(self, name):
        """Open a chapter, run its cells, and return their kinds and sources."""
        self.page.evaluate(OPEN, name)
        cells = self.page.evaluate(CELLS, name)
        self.page.evaluate(RUN, name)
        self.page.wait_for_function("path => chapters[path].done", arg=name, timeout=SECONDS * 1000)
        return cells

    def output(self, name, index):
        """The output of a cell with a panel, scrolled into view: what is far from view is not drawn."""
        look = lambda: self.page.evaluate_handle(SCROLL, [name, index]).as_element()
        return until(self.page, look, f"a panel in cell {index} of {name}")

    def close(self, name):
        """Save, stop the kernel, close the tab."""
        self.page.evaluate(CLOSE, name)
        self.page.wait_for_function("path => chapters[path].widget.isDisposed", arg=name)


def has_panel(source):
    return "mb.panels." in source or "mb.Explorer" in source


def names(statement):
    """The names that a statement binds, those of things that it changes, and those that it takes from above."""
    def symbols(table):
        return [*table.get_symbols(), *(symbol for inner in table.get_children() for symbol in symbols(inner))]

    table = symtable.symtable(ast.unparse(statement), "a cell", "exec")
    bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    changed = {name.id for node in ast.walk(statement) if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store)
               for name in ast.walk(node) if isinstance(name, ast.Name)}
    used = {symbol.get_name() for symbol in symbols(table) if symbol.is_global() and symbol.is_referenced()}
    return bound, changed, used


def needed(cells):
    """The indices of the code cells with a panel, and of those that make what these use."""
    wanted, found = set(), []
    for index, (kind, source) in reversed(list(enumerate(cells))):
        if kind != "code" or source.lstrip().startswith("%") or "MAGBOOK_REPOSITORY" in source:
            continue
        statements = [names(statement) for statement in ast.parse(source).body]
        if has_panel(source) or any((bound | changed) & wanted for bound, changed, _ in statements):
            found.insert(0, index)
            for bound, _, used in reversed(statements):
                wanted = wanted - bound | used
    return found


def shortened(chapter):
    """A chapter with no more than its panels need, and its solutions. It trains for a moment."""
    kept = needed([(cell.cell_type, cell.source) for cell in chapter.cells])
    chapter.cells = [cell for index, cell in enumerate(chapter.cells) if index in kept or ":class: dropdown" in cell.source]
    for cell in chapter.cells:
        cell.source = re.sub(r"(epochs\W+)20\b", rf"\g<1>{EPOCHS}", cell.source)
    return chapter


@pytest.fixture(scope="module")
def lab(browser, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(root / "book", folder / "book")
    for chapter in (folder / "book").glob("*.ipynb"):
        nbformat.write(shortened(nbformat.read(chapter, as_version=4)), chapter)
    settings = folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    port, token = free_port(), secrets.token_hex()
    own = {name: str(folder / name.lower()) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    environment = {**os.environ, **own, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "PYTHONPATH": str(root)}
    environment.pop("MAGBOOK_BUILD", None)
    command = [sys.executable, root / "tests/forked.py", "jupyterlab", "book", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
               f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True"]
    with open(folder / "log", "w+") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                time.sleep(0.1)
                try:
                    urlopen(f"http://127.0.0.1:{port}/api?token={token}").close()
                    break
                except OSError:
                    assert server.poll() is None, (folder / "log").read_text()
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(60_000)
            page.goto(f"http://127.0.0.1:{port}/lab?token={token}")
            page.wait_for_function("window.jupyterapp")
            page.evaluate("jupyterapp.restored.then(() => null)")
            yield Lab(page, folder / "book")
            page.close()
        finally:
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a thread that has just saved a file may wait for more to do
                server.wait(10)
            server.kill()


# ---------------------------------------------------------------------------- what a panel must do

DATA = """panel => [...panel.querySelectorAll(".js-plotly-plot")].filter(figure => figure._fullData).map(
    figure => JSON.stringify(figure._fullData.map(trace => [trace.source ?? null, Array.from(trace.y ?? [])])))"""
POINTS = """figure => {  // the coloured dots, those farthest from their neighbours first, and where they are on the screen
    const trace = figure._fullData.find(trace => trace.marker?.coloraxis), {xaxis, yaxis} = figure._fullLayout;
    const box = figure.getBoundingClientRect();
    const dots = Array.from(trace.x, (x, i) => ({x: box.left + xaxis._offset + xaxis.d2p(x),
        y: box.top + yaxis._offset + yaxis.d2p(trace.y[i]), field: [x, trace.y[i]]}));
    const gap = one => Math.min(...dots.filter(dot => dot !== one).map(dot => Math.hypot(dot.x - one.x, dot.y - one.y)));
    return dots.toSorted((a, b) => gap(b) - gap(a));
}"""
PIXELS = """panel => [...panel.querySelectorAll("canvas")].map(canvas => canvas.toDataURL())"""


def drawn(page, panel, n):
    """The data of a panel's n figures, once they are drawn."""
    return until(page, lambda: len(data := panel.evaluate(DATA)) == n and data, f"{n} figures")


WIDE = """panel => [...panel.querySelectorAll(".js-plotly-plot")].every(
    figure => Math.abs(figure._fullLayout.width - figure.clientWidth) <= 1 && figure.clientWidth <= panel.clientWidth)"""


def field(page, panel):
    """As wide as its cell; another moment, another film; another field, other curves."""
    film, curves = drawn(page, panel, 2)
    until(page, lambda: panel.evaluate(WIDE), "figures as wide as the panel")
    direction, _, moment = panel.query_selector_all(".noUi-handle")
    for _ in range(6):  # five steps each
        moment.press("PageUp")
    until(page, lambda: "0.30 ns" in panel.inner_text(), "a clock that says 0.30 ns")
    until(page, lambda: panel.evaluate(DATA)[0] != film, "another film")
    direction.press("ArrowRight")
    until(page, lambda: "170.50" in panel.inner_text(), "a slider at 170.5 degrees")
    until(page, lambda: panel.evaluate(DATA)[1] != curves, "other curves")


def compare(page, panel):
    """Another field, other curves of both, and another error."""
    (curves,) = drawn(page, panel, 1)
    before = panel.inner_text().split("average: ")[1][:6]
    panel.query_selector(".noUi-handle").press("ArrowRight")
    until(page, lambda: panel.evaluate(DATA)[0] != curves, "other curves")
    until(page, lambda: panel.inner_text().split("average: ")[1][:6] != before, "another error")


def error_map(page, panel):
    """A click on a field, and its name, its curves and its states appear."""
    chart, curves, states = drawn(page, panel, 3)
    figure = panel.query_selector(".js-plotly-plot")
    figure.scroll_into_view_if_needed()
    dot = figure.evaluate(POINTS)[0]
    page.mouse.move(dot["x"] - 3, dot["y"])
    page.mouse.move(dot["x"], dot["y"])
    page.wait_for_timeout(300)
    page.mouse.click(dot["x"], dot["y"])
    name = "mu0*H = ({:.1f}, {:.1f}) mT".format(*dot["field"])
    until(page, lambda: name in panel.inner_text(), f"a label that begins with {name}")
    until(page, lambda: (now := panel.evaluate(DATA))[1] != curves and now[2] != states, "other curves and states")


def losses(page, panel):
    """The curves hold a point for each epoch of the training that has just ended."""
    (curves,) = drawn(page, panel, 1)
    assert [len(y) for _, y in json.loads(curves)] == [EPOCHS, EPOCHS]


def explorer(page, panel):
    """A key on its last slider, and the film is another; a button, and the field is another."""
    slider = until(page, lambda: panel.query_selector_all("input[type=range]"), "sliders")[-1]
    before = panel.evaluate(PIXELS)
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight")
    until(page, lambda: panel.evaluate(PIXELS) != before, "another film")
    if button := panel.query_selector("button:has-text('SP4 field 1')"):
        button.click()
        until(page, lambda: "25.0 mT at 170.1°" in panel.inner_text(), "field 1")


PANELS = {"mb.panels.field": field, "mb.panels.compare": compare, "mb.panels.error_map": error_map,
          "mb.panels.Losses": losses, "mb.Explorer": explorer}


def test_what_a_panel_needs():
    cells = ["import magbook as mb\nimport re", "a = 1\nb = 2", "d = 3", "c = {}", "def f(d):\n    return d + a", "c['b'] = [f(d) for d in (a, b)]", "e = d",
             "b = 5", "mb.panels.field(c)"]
    assert needed([("code", cell) for cell in cells] + [("markdown", "mb.panels.field")]) == [0, 1, 3, 4, 5, 8]


def test_chapter(lab, chapter):
    name, before = chapter.name, nbformat.read(lab.folder / chapter.name, as_version=4)
    cells = lab.open(name)
    for index, (kind, source) in enumerate(cells):
        if kind == "code" and has_panel(source):
            check = next(check for panel, check in PANELS.items() if panel in source)
            check(lab.page, lab.output(name, index))
    solutions = next(index for index, (_, source) in enumerate(cells) if ":class: dropdown" in source)
    until(lab.page, lambda: lab.page.evaluate(FOLDED, [name, solutions]), "solutions that are folded")
    lab.close(name)

    saved = nbformat.read(lab.folder / name, as_version=4)
    assert [cell.source for cell in saved.cells] == [cell.source for cell in before.cells]
    for cell in saved.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, f"it did not run: {cell.source}"
            wrong = [o for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
            assert not wrong or "stderr" in cell.metadata.get("tags", []), wrong
            assert not [o for o in cell.outputs if o.get("data", {}).get("text/plain", "").startswith("Figure({") and len(o.data) == 1], "a figure as text"


FOUR = ["import plotly.graph_objects as go\nimport magbook as mb\nmb.panels.Figure"] + [
    f"mb.panels.Figure(go.Figure(go.Scatter(y=[1, 3, {k}])))" for k in range(4)]
RUN_ALL = """async path => {
    jupyterapp.shell.activateById(chapters[path].widget.id);
    await jupyterapp.commands.execute("notebook:clear-all-cell-outputs");
    jupyterapp.commands.execute("notebook:run-all-cells");
}"""
FIGURES = """path => [...chapters[path].widget.node.querySelectorAll(".js-plotly-plot")].filter(
    figure => figure.querySelector(".scatterlayer path.js-line") && figure.clientWidth <= figure.closest(".jp-OutputArea").clientWidth).length"""


def test_no_panel_is_blank_on_a_busy_machine_and_in_half_a_window(lab):
    """Opened twice, each run four times, and while the page still draws: all four are there, no wider than their cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in FOUR])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    lab.page.set_viewport_size({"width": 700, "height": 1800})
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        for name in (f"four-{k}.ipynb" for k in range(2)):
            nbformat.write(notebook, lab.folder / name)
            lab.page.evaluate(OPEN, name)
            for k in range(4):
                lab.page.evaluate(RUN_ALL, name)
                until(lab.page, lambda name=name: lab.page.evaluate(FIGURES, name) == 4, f"four figures in run {k + 1} of {name}")
            lab.close(name)
    finally:
        lab.page.set_viewport_size({"width": 1280, "height": 900})
        for process in busy:
            process.kill()
