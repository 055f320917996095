"""How a figure is written into a page of the book: whole, harmless, and in a build alone."""

import ast
import json
import os
import re
import subprocess
import sys

import plotly.graph_objects as go
import pytest

from magbook.show.page import PageRenderer


def test_page_renderer():
    title = "</script><!-- \\u002f &amp; m<sub>x</sub>"
    fig = go.Figure(go.Scatter(y=[1, 2]), dict(height=321, title_text=title))
    page = PageRenderer().to_mimebundle(fig.to_dict())["text/html"]
    whole = re.fullmatch(r'<div class="magbook-figure" style="min-height:(\d+)px">'
                         r'<script type="application/json">(.*)</script></div>', page, re.S)
    assert int(whole[1]) == fig.layout.height and "<" not in whole[2]
    assert json.loads(whole[2])["layout"] == json.loads(fig.to_json())["layout"]


@pytest.mark.slow
def test_renderer_is_chosen_by_the_build_alone():
    ask = ("import plotly.io as pio; before = pio.renderers.default; import magbook.show.look; "
           "print([before, pio.renderers.default])")
    for build in ("", "1"):
        out = subprocess.run([sys.executable, "-c", ask], env={**os.environ, "MAGBOOK_BUILD": build}, check=True,
                             capture_output=True, text=True).stdout
        before, after = ast.literal_eval(out)
        assert after == ("magbook" if build else before)


@pytest.mark.slow
def test_an_executed_notebook_turned_into_a_page_has_its_figures():
    import nbclient
    import nbconvert
    import nbformat

    cells = ["import magbook as mb\nrun = mb.simulate((0, 0), mb.dataset.COARSE, duration=2e-11, progress=False)", "mb.plots.means(run)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    env = {name: value for name, value in os.environ.items() if name != "MAGBOOK_BUILD"}
    nbclient.NotebookClient(notebook, timeout=120).execute(env=env)
    kinds = [set(output.get("data", {})) for cell in notebook.cells for output in cell.outputs]
    assert kinds == [{"application/vnd.plotly.v1+json", "text/html"}], "what JupyterLab shows, and what a page shows, and nothing else"
    assert nbconvert.HTMLExporter().from_notebook_node(notebook)[0].count('class="plotly-graph-div"') == 1
