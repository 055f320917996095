"""How a figure is written into a page of the book."""

import json
import os
from collections.abc import Mapping

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer
from plotly.utils import PlotlyJSONEncoder


class PageRenderer(MimetypeRenderer):
    """A figure as a `<div class="magbook-figure">` with its JSON inside, which a script of the page draws.

    The build of the book selects it, so that pages neither hold plotly.js nor fetch it from elsewhere.
    """

    def to_mimebundle(self, fig_dict: dict) -> dict:
        # In a script element only "<" can end it or start a comment, and JSON may write any character as \uXXXX
        figure = json.dumps(fig_dict, cls=PlotlyJSONEncoder, separators=(",", ":")).replace("<", "\\u003c")
        height = int(fig_dict.get("layout", {}).get("height") or 450)
        return {"text/html": f'<div class="magbook-figure" style="min-height:{height}px">'
                             f'<script type="application/json">{figure}</script></div>'}


class NotebookRenderer(MimetypeRenderer):
    """A figure of plotly's own type, which JupyterLab shows, and of HTML, which is all that a notebook turned into a page can show."""

    def to_mimebundle(self, fig_dict: dict) -> dict:
        return {kind: data for name in ("notebook_connected", "plotly_mimetype") for kind, data in pio.renderers[name].to_mimebundle(fig_dict).items()}


def select_renderer(environ: Mapping[str, str] = os.environ) -> None:
    """Select `PageRenderer` where MAGBOOK_BUILD is set, `NotebookRenderer` in a notebook; else leave plotly's own choice."""
    pio.renderers["magbook"], pio.renderers["magbook_notebook"] = PageRenderer(), NotebookRenderer()
    if environ.get("MAGBOOK_BUILD"):
        pio.renderers.default = "magbook"
    elif pio.renderers.default == "plotly_mimetype":
        pio.renderers.default = "magbook_notebook"
