"""Brings `magbook.show.explorer.Explorer` to pages without Python.

In a build an explorer is a `<div class="magbook-explorer" data-model="...">`; `_assets/explorer.js` gives it life. Here the
scripts that it loads are written beside the pages: the widget's own module, and of each model that some page shows the networks, and
what a solver in the page begins with where the model can be driven, or what the panel of neighbours shows.
"""

import re
from pathlib import Path

DIV = re.compile(r'class="magbook-explorer" data-model="(\w+)"')


def setup(app):
    app.add_js_file("explorer.js", loading_method="defer")
    app.add_css_file("explore.css")
    app.connect("build-finished", write_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def classic(module):
    """A module as a script that any page can load: a browser refuses modules on pages from the disk."""
    body = re.sub(r"^export default", "globalThis.magbookExplorer =", module, flags=re.M)
    return "(() => {\n" + re.sub(r"^export ", "", body, flags=re.M) + "})();\n"


def write_scripts(app, error):
    if error or app.builder.format != "html":
        return
    used = {name for page in Path(app.outdir).rglob("*.html") for name in DIV.findall(page.read_text())}
    if not used:
        return
    static = Path(app.outdir) / "_static"
    key = f"// {Path(app.config.nb_execution_cache_path).name}\n"  # of package and data, as magbook_site.prepare sets it
    stale = lambda script: not script.exists() or script.open().readline() != key
    if stale(static / "explore-module.js"):
        from magbook.show import explorer

        (static / "explore.css").write_text(Path(explorer.__file__).with_name("explorer.css").read_text())
        (static / "explore-module.js").write_text(key + classic(explorer.module()))
    parts = [*((name, "model") for name in used), *((name, "start") for name in used & {"driven"}), *((name, "neighbours") for name in used & {"paper"})]
    for name, part in parts:
        script = static / f"explore-{name}-{part}.js"
        if not stale(script):
            continue
        from magbook.show.explorer import pack  # it starts Keras, which takes seconds

        header, weights = pack.neighbours() if part == "neighbours" else {"model": pack.pack, "start": pack.start}[part](name)
        script.write_text(key + pack.script(f"{name}-{part}", header, weights))
