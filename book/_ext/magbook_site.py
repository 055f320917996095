"""What the book's site needs beyond jupyter-book.

- Chapters run with MAGBOOK_BUILD=1, under which `magbook.plots` writes a figure as a div that `figures.js` draws.
- Executed chapters are kept under a key of the package and its data, so no page shows outputs of older code.
- A figure gets an accessible name from its cell's metadata; one without alt text or caption is a warning.
- A cell tagged `live` shows a widget in JupyterLab and, on the page, a line that says so.
- plotly.js and MathJax are copied beside the pages from the installed packages: no page asks another host.

Warnings fail the build (`jupyter-book build -W`).
"""

import hashlib
import html
import importlib.metadata
import importlib.util
import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS = re.compile(r"\[\d\d:\d\d[<,]")  # in the text of tqdm's widget
FIGURE = '<div class="magbook-figure"'
LIVE = "This cell shows a live widget, which needs a running Python: start it with `make lab`."

PLOTLY = Path(importlib.util.find_spec("plotly").origin).parent / "package_data/plotly.min.js"
PLOTLY_NAME = f"plotly-{importlib.metadata.version('plotly')}.min.js"  # a new version is never an old one in a cache
MATHJAX = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
# Of MathJax's 24 MB, what a page with TeX input can ask for.
MATHJAX_PARTS = ["tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions", "a11y", "sre/mathmaps/en.json",
                 "sre/mathmaps/base.json"]


def setup(app):
    app.add_config_value("magbook_assets", _digest(app.confdir, ["book/_assets/*", "book/_ext/*.py"]), "html")
    app.add_js_file("figures.js", loading_method="defer", **{"data-plotly": PLOTLY_NAME})
    # From the disk the search cannot read the pages that it finds: it lists them without an excerpt.
    app.add_js_file(None, body="if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false")
    app.connect("config-inited", prepare)
    app.connect("doctree-read", finish_cells)
    app.connect("build-finished", copy_libraries)
    app.connect("build-finished", forget_failures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _digest(root, patterns):
    """A short hash of the files under `root` that match."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in Path(root).glob(pattern) if path.is_file()):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def prepare(app, config):
    """Set what the chapters' kernels see, and choose the folder of executed chapters."""
    os.environ["MAGBOOK_BUILD"] = "1"
    key = _digest(app.srcdir, ["magbook/**/*.py", "data/*", "requirements.lock"])
    executed = Path(app.outdir).parent / ".jupyter_cache"
    if executed.is_dir():
        for old in executed.iterdir():
            if old.name != key:
                shutil.rmtree(old, ignore_errors=True)
    # Sphinx also reads every page again when this value is another than last time.
    config.nb_execution_cache_path = str(executed / key)


def finish_cells(app, doctree):
    """Name the figures, and put a line in place of live widgets."""
    # The state of widgets would be embedded in the page, for a manager that is not there.
    getattr(app.env, "nb_metadata", {}).get(app.env.docname, {}).pop("js_files", None)

    for cell in list(doctree.findall(lambda node: node.get("nb_element") == "cell_code"
                                     if isinstance(node, nodes.container) else False)):
        metadata = cell.get("cell_metadata", {})
        if "live" in metadata.get("tags", []):
            _replace_widget(cell, metadata.get("magbook", {}).get("live", LIVE))
            continue
        for view in [node for node in cell.findall(nodes.container) if node.get("mime_type") == WIDGET]:
            if not PROGRESS.search(view.parent.astext()):
                LOGGER.warning("a widget is dead on a page without Python: tag its cell `live`", location=cell,
                               type="magbook", subtype="widget")
            view.parent.parent.remove(view.parent)
        alt = metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
        for node in cell.findall(nodes.raw):
            if FIGURE in node.astext():
                _name_figure(node, alt)
        for node in cell.findall(nodes.image):
            if not node.get("alt"):
                LOGGER.warning("a picture without alt text: mystnb.image.alt in its cell's metadata", location=cell,
                               type="magbook", subtype="alt")


def _replace_widget(cell, note):
    for output in [node for node in cell.children if node.get("nb_element") == "cell_code_output"]:
        cell.remove(output)
    paragraph = nodes.paragraph()
    for index, part in enumerate(note.split("`")):  # `code` is all the markup that a line needs
        paragraph += nodes.literal(part, part) if index % 2 else nodes.Text(part)
    cell += nodes.container("", paragraph, classes=["magbook-live"])


def _name_figure(node, alt):
    if not alt:
        LOGGER.warning("a figure without alt text: mystnb.image.alt in its cell's metadata", location=node,
                       type="magbook", subtype="alt")
    parent = node.parent
    while parent is not None and not isinstance(parent, nodes.figure):
        parent = parent.parent
    if parent is None:
        LOGGER.warning("a figure without caption: mystnb.figure.caption in its cell's metadata", location=node,
                       type="magbook", subtype="caption")
    alt = html.escape(" ".join(alt.split()))
    named = re.sub(FIGURE + "([^>]*)>", lambda match: f'{FIGURE} role="img" aria-label="{alt}"{match[1]}>'
                   f"<noscript><p>This figure is drawn by a script. {alt}</p></noscript>", node.astext())
    node.children = [nodes.Text(named)]
    node.rawsource = named


def copy_libraries(app, error):
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    sources = {static / PLOTLY_NAME: PLOTLY}
    for part in MATHJAX_PARTS:
        path = MATHJAX / part
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        sources |= {static / "mathjax" / file.relative_to(MATHJAX): file for file in files}
    for target, source in sources.items():
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def forget_failures(app, error):
    """After warnings, read every page again: the next build must not pass by skipping those at fault."""
    if error or app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)
