"""What the book's site needs beyond jupyter-book.

- Chapters are executed before pages are read, see `magbook_chapters`, so no page shows outputs of older code. They run with
  MAGBOOK_BUILD=1, under which `magbook.show.page` writes a figure as a div that `figures.js` draws.
- A figure gets an accessible name from its cell's metadata; one without alt text or caption is a warning.
- A cell tagged `live` shows a widget in JupyterLab and, on the page, a line that says so, with a link that starts it:
  the page's first launch button where `_config.yml` has `repository` and `launch_buttons`, else how to run the book.
- Chapters have plain links where Sphinx has roles, so that they read in JupyterLab too: `[S-state](glossary.md#term-S-state)`,
  `[Gilbert (2004)](references.md#gilbert2004)`, `[the figure above](#fig-walls)`; here a figure's number takes the place of its words.
- A page has a description, and a card for those who share its address (the card needs `html: baseurl`, an absolute URL).
- Each figure lies in a file of its own, which `figures.js` loads when the figure comes near.
- plotly.js, MathJax and the letters are put beside the pages from the installed packages: no page asks another host.

Warnings fail the build (`jupyter-book build -W`).
"""

import hashlib
import html
import importlib.metadata
import importlib.util
import itertools
import json
import re
import shutil
import textwrap
from pathlib import Path

import fontpkg
import magbook_chapters
import nbformat
from bs4 import BeautifulSoup
from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer
from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinxcontrib.bibtex.citation_target import CitationTarget
from sphinxcontrib.bibtex.roles import CitationRef

LOGGER = logging.getLogger(__name__)
WIDGET = "application/vnd.jupyter.widget-view+json"
PROGRESS = re.compile(r"\[\d\d:\d\d[<,]")  # in the text of tqdm's widget
FIGURE = '<div class="magbook-figure"'
DRAWING = '<div class="magbook-drawing"'
LIVE = "In JupyterLab this cell shows a live widget, which needs a running Python."
CARD = "The film of standard problem 4 reverses within a nanosecond, in six pictures."
POWER = re.compile(r'(<span class="pasted-text">)(-?[\d.]+)e([+-]\d+)</span>')  # a number from a chapter, as Python writes it
REFERENCES = "book/references"
START = "magbook-start"  # the class of the place where the link goes

PLOTLY = Path(importlib.util.find_spec("plotly").origin).parent / "package_data/plotly.min.js"
PLOTLY_NAME = f"plotly-{importlib.metadata.version('plotly')}.min.js"  # a new version is never an old one in a cache
MATHJAX = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax"
# Of MathJax's 24 MB, what a page can ask for: `mathjax3_config` in _config.yml names the parts.
MATHJAX_PARTS = ["startup.js", "core.js", "input/tex.js", "input/tex/extensions", "output/chtml.js",
                 "output/chtml/fonts", "a11y/assistive-mml.js"]
THEME = Path(importlib.util.find_spec("pydata_sphinx_theme").origin).parent / "theme/pydata_sphinx_theme/static"
ICON = re.compile(r'(?:\.fa-[\w-]+:+before,?)+\{content:"\\[0-9a-f]+"\}')  # in the theme's style sheet, 1,400 of them
LETTERS = [*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x370, 0x3D0), *range(0x2010, 0x2040), 0x2192, 0x2212, 0x2248]
# What the theme ships and no page asks for: sources of its scripts, other languages, a second format of its icons.
UNUSED = ["scripts/*.map", "styles/*.map", "locales", "vendor/fontawesome/webfonts/*.ttf"]


def setup(app):
    # Another one than last time: pages are written again, or read again.
    app.add_config_value("magbook_assets", magbook_chapters.digest(app.confdir, ["book/_assets/*"]), "html")
    app.add_config_value("magbook_extension", magbook_chapters.digest(app.confdir, ["book/_ext/*.py"]), "env")
    app.add_js_file("figures.js", loading_method="defer", **{"data-plotly": PLOTLY_NAME})
    app.add_js_file("scrolling.js", loading_method="defer")
    app.connect("config-inited", prepare)
    app.connect("env-before-read-docs", execute)
    app.connect("source-read", take_captions)
    app.connect("doctree-read", finish_cells)
    app.connect("doctree-read", understand_links)
    app.connect("env-updated", name_references, priority=900)  # once the list of references is made
    app.connect("html-page-context", store_figures)
    app.connect("html-page-context", describe_page)
    app.connect("html-page-context", let_search_read)
    app.connect("html-page-context", mend_body, priority=900)  # after the theme's launch buttons
    app.connect("build-finished", finish_static)
    app.connect("build-finished", write_texts)
    app.connect("build-finished", forget_failures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def prepare(app, config):
    """Choose the folder of executed chapters, and take away those of older code."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)  # nobody could start anything: the book has no address
    kept = magbook_chapters.folder(app.srcdir)
    for old in kept.parent.glob("*/"):
        if old != kept:
            shutil.rmtree(old, ignore_errors=True)
    # Sphinx also reads every page again when this value is another than last time.
    config.nb_execution_cache_path = str(kept)


def execute(app, env, docnames):
    """Execute the chapters among the pages to be read; a cell that fails ends the build, after the other chapters."""
    if app.config.nb_execution_mode != "cache":
        return
    chapters = [path for path in map(Path, map(env.doc2path, docnames)) if path.suffix == ".ipynb"]
    errors = magbook_chapters.execute(chapters, app.config.nb_execution_cache_path, LOGGER.info)
    if errors:
        raise ExtensionError("\n\n".join(f"{path.name}: {error}" for path, error in errors.items()))


def take_captions(app, docname, source):
    """Put the captions where myst-nb looks for them."""
    if app.env.doc2path(docname).endswith(".ipynb"):
        source[0] = nbformat.writes(magbook_chapters.with_captions(nbformat.reads(source[0], as_version=4)))


def finish_cells(app, doctree):
    """Name the figures, and put a line in place of live widgets."""
    # The state of widgets would be embedded in the page, for a manager that is not there.
    getattr(app.env, "nb_metadata", {}).get(app.env.docname, {}).pop("js_files", None)

    for cell in list(doctree.findall(lambda node: node.get("nb_element") == "cell_code"
                                     if isinstance(node, nodes.container) else False)):
        metadata = cell.get("cell_metadata", {})
        if "live" in metadata.get("tags", []):
            panel = metadata.get("magbook", {})
            _replace_widget(cell, panel.get("live", LIVE), panel.get("page"))
            continue
        for view in [node for node in cell.findall(nodes.container) if node.get("mime_type") == WIDGET]:
            if not PROGRESS.search(view.parent.astext()):
                LOGGER.warning("a widget is dead on a page without Python: tag its cell `live`", location=cell,
                               type="magbook", subtype="widget")
            view.parent.parent.remove(view.parent)
        alt = metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
        for node in cell.findall(nodes.raw):
            if FIGURE in node.astext() or DRAWING in node.astext():
                _name_figure(node, alt)
        for node in cell.findall(nodes.image):
            if not node.get("alt"):
                LOGGER.warning("a picture without alt text: mystnb.image.alt in its cell's metadata", location=cell,
                               type="magbook", subtype="alt")


def understand_links(app, doctree):
    """Let a plain link name a term, a citation or a figure; MyST itself knows headings alone, and warns of other names."""
    env = app.env
    slugs = env.metadata[env.docname].setdefault("myst_slugs", {})
    slugs |= {name: (None, name, term.astext()) for term in doctree.findall(nodes.term) for name in term["ids"]}
    for link in list(doctree.findall(lambda node: isinstance(node, nodes.reference | addnodes.pending_xref))):
        target = link.get("refid") or link.get("reftarget", "")  # MyST has found those on this page
        if target.startswith("fig-"):
            link.replace_self(addnodes.pending_xref("", *link.children, refdomain="std", reftype="numref", reftarget=target,
                                                    refdoc=env.docname, refexplicit=False))
        elif target == REFERENCES and link.get("reftargetid"):  # the list has what is cited
            env.get_domain("cite").citation_refs.append(
                CitationRef("", env.docname, link.line, [CitationTarget(link["reftargetid"], "", "")]))


def name_references(app, env):
    """Let a link name an entry of the list of references by its key."""
    for citation in env.get_domain("cite").citations:
        env.metadata[citation.bibliography_key.docname].setdefault("myst_slugs", {})[citation.key] = (None, citation.citation_id, "")
    return []


def _replace_widget(cell, note, panel=None):
    """A line in place of a live widget, or where the page has one that does without Python, that: options of `Explorer`."""
    for output in [node for node in cell.children if node.get("nb_element") == "cell_code_output"]:
        cell.remove(output)
    if panel:
        options = {"field": [0, 0] if panel["panels"] == ["drive"] else [-0.0355, -0.0063], "time": 3e-10, "latent": []} | panel
        cell += nodes.raw("", f'<div class="magbook-explorer" data-model="{panel["model"]}" data-options="{html.escape(json.dumps(options))}">'
                              f"<p>{html.escape(note)}</p></div>", format="html")
        return
    paragraph = nodes.paragraph()
    for index, part in enumerate(note.split("`")):  # `code` is all the markup that a line needs
        paragraph += nodes.literal(part, part) if index % 2 else nodes.Text(part)
    paragraph += [nodes.Text(" "), nodes.inline(classes=[START])]
    cell += nodes.container("", paragraph, classes=["magbook-live"])


def store_figures(app, name, template, context, doctree):
    """Move each figure's JSON from the page into a script of its own, which a browser also loads from the disk."""
    folder = Path(app.outdir) / "_static/figures"

    def store(match):
        text = f"document.currentScript.figure = {match[2]};"
        path = folder / f"{Path(name).name}-{next(count)}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]  # a browser keeps what it has only while it is the same
        url = context["pathto"](path.relative_to(app.outdir).as_posix(), resource=True)
        return match[1].replace(FIGURE, f'{FIGURE} data-source="{url}?v={digest}"') + "</div>"

    count = itertools.count(1)
    context["body"] = re.sub(rf'({FIGURE}[^>]*>.*?)<script type="application/json">(.*?)</script></div>', store,
                             context.get("body") or "", flags=re.S)


def mend_body(app, name, template, context, doctree):
    """End the line in place of a widget with a link that starts the chapter, or says how to; write powers of ten; right a role."""
    groups = [button["buttons"] for button in context.get("header_buttons", []) if button.get("label") == "launch-buttons"]
    links = [button for group in groups for button in group if button["type"] == "link"]
    url, text = (links[0]["url"], f"Start it on {links[0]['text']}") if links else (
        context["pathto"](app.config.root_doc) + "#run-it", "How to start it")
    context["body"] = (context.get("body") or "").replace(
        f'<span class="{START}"></span>', f'<a class="{START}" href="{html.escape(url)}">{text}</a>').replace(
        # Sphinx calls the references a list, but not its entries list items.
        '<div role="list" class="citation-list">', '<div class="citation-list">')
    minus = lambda number: str(number).replace("-", "−")
    context["body"] = POWER.sub(lambda match: f"{match[1]}{minus(match[2])} × 10<sup>{minus(int(match[3]))}</sup></span>", context["body"])


def describe_page(app, name, template, context, doctree):
    """Say what the page is, to search engines and to those who show a preview of its address."""
    if doctree is None:
        return
    if not app.env.doc2path(name).endswith(".ipynb") and not list(doctree.findall(lambda node: isinstance(node, nodes.math | nodes.math_block))):
        context["script_files"] = [file for file in context["script_files"] if "mathjax" not in str(getattr(file, "filename", ""))]
    title = doctree.next_node(nodes.title).astext()
    first = next((node for node in doctree.findall(nodes.paragraph) if isinstance(node.parent, nodes.section)), None)
    about = textwrap.shorten(first.astext() if first else title, 200, placeholder=" ...")
    tags = {"description": about, "og:type": "website", "og:site_name": app.config.html_title, "og:title": title,
            "og:description": about, "twitter:card": "summary_large_image"}
    if app.config.html_baseurl:
        picture = f"{app.config.html_baseurl.rstrip('/')}/_static/card.png"
        tags |= {"og:url": context["pageurl"], "og:image": picture, "og:image:alt": CARD}
    context["metatags"] += "".join(f'<meta {"property" if key.startswith("og:") else "name"}="{key}"'
                                   f' content="{html.escape(text)}" />\n' for key, text in tags.items())


def _name_figure(node, alt):
    if not alt:
        LOGGER.warning("a figure without alt text: mystnb.image.alt in its cell's metadata", location=node,
                       type="magbook", subtype="alt")
    parent = node.parent
    while parent is not None and not isinstance(parent, nodes.figure):
        parent = parent.parent
    if parent is None:
        LOGGER.warning("a figure without caption: a Markdown cell tagged `caption` under it", location=node,
                       type="magbook", subtype="caption")
    alt = html.escape(" ".join(alt.split()))
    named = re.sub(FIGURE + "([^>]*)>", lambda match: f'{FIGURE} role="group" aria-label="{alt}"{match[1]}>'
                   f"<noscript><p>This figure is drawn by a script. {alt}</p></noscript>", node.astext())
    named = named.replace(DRAWING, f'{DRAWING} role="img" aria-label="{alt}"')
    node.children = [nodes.Text(named)]
    node.rawsource = named


def let_search_read(app, name, template, context, doctree):
    """Give the search the pages' words: from the disk it cannot read the pages that it finds, and all words weigh less than the pages."""
    if name == "search":
        app.add_js_file("page-texts.js")
        app.add_js_file(None, body=r"""globalThis.fetch = async (url) =>
            new Response(`<p role="main">${magbookTexts[url.replace(/^\.\/|\.html.*$/g, "")]}</p>`)""")


def write_texts(app, error):
    """Write `page-texts.js`, the words of every page that the search may find."""
    if error or app.builder.format != "html":
        return
    texts, target = {}, Path(app.outdir) / "_static/page-texts.js"
    pages = {name: Path(app.builder.get_outfilename(name)) for name in sorted(app.env.found_docs)}
    if target.exists() and target.stat().st_mtime > max(page.stat().st_mtime for page in pages.values()):
        return
    for name, page in pages.items():
        article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find("article")
        for node in article.select("script, style, svg, .headerlink, .cell_input"):
            node.decompose()
        words = re.sub(r"\\[()\[\]]|\\[a-z]+ ?|[{}]", "", article.get_text(" "), flags=re.I)  # of formulas the letters
        texts[name] = html.escape(" ".join(words.split()))
    target.write_text(f"globalThis.magbookTexts = {json.dumps(texts, ensure_ascii=False)};\n", encoding="utf-8")


def finish_static(app, error):
    """Put the libraries and letters beside the pages, and take away what no page asks for."""
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for path in [path for pattern in UNUSED for path in static.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # It draws the icons once more, as SVG, in 1.4 MB. The theme's style sheet has drawn them already.
    (static / "scripts/fontawesome.js").write_text("")
    sources = {static / PLOTLY_NAME: PLOTLY}
    for part in MATHJAX_PARTS:
        path = MATHJAX / part
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        sources |= {static / "mathjax" / file.relative_to(MATHJAX): file for file in files}
    for target, source in sources.items():
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for style, name in [("normal", "literata.woff2"), ("italic", "literata-italic.woff2")]:
        source = fontpkg.path("Literata", style=style)
        if not (static / name).exists() or (static / name).stat().st_mtime < source.stat().st_mtime:
            cut_font(source, static / name, LETTERS, {"wght": (400, 700), "opsz": 14})
    cut_icons(static)


def cut_font(source, target, letters, axes=None):
    """Of a font the letters that the book uses; of Literata, 1 MB, those from regular to bold at the size of text: 45 kB."""
    font, options = TTFont(source), subset.Options(flavor="woff2")
    kept = subset.Subsetter(options)
    kept.populate(unicodes=letters)
    kept.subset(font)
    subset.save_font(instancer.instantiateVariableFont(font, axes) if axes else font, target, options)


def cut_icons(static):
    """Of the theme's icons, 200 kB with their rules, those that a page, a script or another rule asks for."""
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in [*static.parent.rglob("*.html"), *static.glob("scripts/*.js")])
    used = set(re.findall(r"fa-([\w-]+)", text))
    style = ICON.sub(lambda rule: rule[0] if used & set(re.findall(r"\.fa-([\w-]+):", rule[0])) else "",
                     (THEME / "styles/pydata-sphinx-theme.css").read_text(encoding="utf-8"))
    (static / "styles/pydata-sphinx-theme.css").write_text(style, encoding="utf-8")
    rules = style + "".join(path.read_text(encoding="utf-8") for path in static.glob("*.css"))
    codes = [int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", rules)]
    name = "vendor/fontawesome/webfonts/fa-solid-900.woff2"
    cut_font(THEME / name, static / name, codes)


def forget_failures(app, error):
    """After warnings, read every page again: the next build must not pass by skipping those at fault."""
    if error or app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)
