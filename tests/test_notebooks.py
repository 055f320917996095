"""How a chapter is written: clean, in small cells, with figures that can be read in every way."""

import ast
import re
import statistics

import magbook_chapters
import nbformat
import pytest
import yaml
from pybtex.database import parse_file

HIDDEN = {"remove-input", "hide-input", "remove-cell", "hide-cell"}
# What a line is about that is not about the subject: a picture, a table, a number for the text, an array's file.
PLUMBING = re.compile(r"\b(glue|say|table|drawing|HTML|display|print)\(|\b(go|fig|figure|plots|look|panels|export|pd|json)\."
                      r"|\bfigure\b|\bmake_subplots\(|\barrays\(|np\.load\(|\bfig\b|\bpath\b|\bpd\.|shipped\(|__version__")


def visible(notebook):
    """The code cells that a page shows before anybody clicks."""
    return [cell for cell in code_cells(notebook) if not HIDDEN & set(cell.metadata.get("tags", []))]


def about_the_subject(source):
    """How many lines of a cell's code are about the chapter's subject, and how many there are."""
    source = re.sub(r"^(\s*)%.*$", r"\1pass", source, flags=re.M)
    text, plumbing = source.splitlines(), set()

    def look(statement):
        body = getattr(statement, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) and body[0].lineno > statement.lineno else statement.end_lineno
        if isinstance(statement, (ast.Import, ast.ImportFrom)) or PLUMBING.search("\n".join(text[statement.lineno - 1:last])):
            plumbing.update(range(statement.lineno - 1, last))
        for part in ("body", "orelse", "finalbody") if isinstance(body, list) else ():
            for inner in getattr(statement, part, []):
                look(inner)

    for statement in ast.parse(source).body:
        look(statement)
    lines = {number for number, line in enumerate(text) if line.strip() and not line.strip().startswith("#")}
    return len(lines - plumbing), len(lines)


@pytest.fixture
def notebook(chapter):
    return nbformat.read(chapter, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def test_the_table_of_contents_lists_every_chapter(root):
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    listed = [chapter["file"] for chapter in toc["parts"][0]["chapters"]]
    assert listed == [f"book/{path.stem}" for path in sorted((root / "book").glob("*.ipynb"))]


def test_it_is_a_valid_notebook_for_any_python_kernel(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_it_is_committed_without_outputs(notebook):
    for cell in code_cells(notebook):
        assert not cell.outputs and cell.execution_count is None, cell.source


def test_its_cells_are_small(notebook):
    sizes = [len(lines(cell)) for cell in code_cells(notebook)]
    assert statistics.median(sizes) <= 6 and max(sizes) <= 40, sizes


@pytest.mark.parametrize("source, lines", [
    ("import numpy as np\na = 1", (1, 2)), ("fig = go.Figure()\nfig.add_scatter(y=a,\n  x=b)\nc = a\n# why", (1, 4)),
    ("def f(x):\n    y = x\n    mb.plots.film(y)\n    return y", (3, 4)),
    ("for k in a:\n    mb.say(x=(k, 0, 1))", (1, 2)), ("m = mb.simulate(b)\nm.mean", (2, 2))])
def test_what_is_about_the_subject(source, lines):
    assert about_the_subject(source) == lines


def test_what_it_shows_is_about_its_subject(notebook):
    counts = [about_the_subject(cell.source) for cell in visible(notebook)]
    about, shown = map(sum, zip(*counts))
    assert about >= 0.8 * shown, f"{about} of {shown} lines; {[count for count in counts if count[0] < count[1]]}"
    assert max(count[1] for count in counts) <= 20, "no long cell"


def test_its_first_cell_imports(notebook):
    first = next(cell for cell in code_cells(notebook) if "bootstrap" not in cell.metadata.get("tags", []))
    code = [line for line in lines(first) if not line.startswith("#")]
    assert code[0].startswith(("import ", "from ")), code[0]


def test_it_begins_with_a_title_and_ends_as_all_do(notebook):
    text = re.sub(r"^```.*?^```", "", prose(notebook), flags=re.M | re.S)
    assert text.startswith("# ") and len(re.findall(r"^# ", text, re.M)) == 1
    sections = re.findall(r"^## +(.+?) *$", text, re.M)
    assert sections[-3:] == ["Summary", "Exercises", "Where to read on"]
    exercises = text.split("## Exercises")[1].split("## Where to read on")[0]
    assert ":class: dropdown" in exercises, "solutions are there, and folded"


def test_it_says_under_its_title_what_it_needs_and_gives(notebook):
    head = r"# [^\n]+\n\n- \*\*Needs\*\* [^\n]+\.\n- \*\*Gives\*\* [^\n]+\.\n- \*\*Takes\*\* [^\n]+\.\n\n"
    assert notebook.cells[0].cell_type == "markdown" and re.match(head, notebook.cells[0].source)


def test_its_figures_have_a_caption_a_name_and_alt_text(notebook):
    names = []
    for cell, below in zip(notebook.cells, [*notebook.cells[1:], None]):
        shown = cell.metadata.get("mystnb", {})
        caption = below is not None and "caption" in below.metadata.get("tags", [])
        assert caption == ("figure" in shown or "image" in shown), f"a caption stands under a figure, where JupyterLab shows it: {cell.source}"
        if not caption:
            continue
        assert below.cell_type == "markdown" and below.source.strip()
        assert "caption" not in shown["figure"], "it is written once"
        assert shown["figure"]["name"].startswith("fig-"), cell.source
        assert len(shown["image"]["alt"].split()) >= 8, f"alt text that describes, for {shown['figure']['name']}"
        names.append(shown["figure"]["name"])
    assert len(set(names)) == len(names), names
    # A figure made but not described in the metadata fails the build of the site.


def test_the_site_takes_a_caption_from_the_cell_under_its_figure():
    figure = nbformat.v4.new_code_cell("1", metadata={"mystnb": {"figure": {"name": "fig-one"}, "image": {"alt": "one"}}})
    text, caption, more = map(nbformat.v4.new_markdown_cell, ("Look.", "It is *one*.", "So."))
    caption.metadata["tags"] = ["caption"]
    read = magbook_chapters.with_captions(nbformat.v4.new_notebook(cells=[text, figure, caption, more]))
    assert [cell.source for cell in read.cells] == ["Look.", "1", "So."]
    assert read.cells[1].metadata["mystnb"] == {"figure": {"name": "fig-one", "caption": "It is *one*."}, "image": {"alt": "one"}}


def test_its_live_cells_say_what_they_do(notebook):
    for cell in code_cells(notebook):
        if "live" in cell.metadata.get("tags", []):
            assert "JupyterLab" in cell.metadata["magbook"]["live"], cell.source


def test_its_glued_numbers_are_not_inside_formulas(notebook):
    assert not re.findall(r"(?<![\\$])\$[^$\n]*\{glue[^$\n]*\$", prose(notebook)), "shown as they stand"


def test_what_it_names_reads_in_jupyterlab(notebook):
    """Roles would show as keys there. Numbers come from the code, and equations are numbered where they stand."""
    assert set(re.findall(r"\{([\w:+-]+)\}`", prose(notebook))) <= {"glue:text", "eq"}


def test_its_citations_say_whom_they_cite(notebook, root):
    entries = parse_file(root / "book/references.bib").entries
    for words, key in re.findall(r"\[([^][]+)\]\(references\.md#(\w+)\)", prose(notebook)):
        first, year = str(entries[key].persons["author"][0].rich_last_names[0]), entries[key].fields["year"]
        assert first in words and year in words, f"[{words}] is of {first} ({year})"


def test_the_time_in_its_head(notebook):
    """As read aloud: 150 words a minute, half a minute for a figure and for a formula, and ten lines of code a minute."""
    text = prose(notebook).split("## Exercises")[0]
    formulas = len(re.findall(r"\$\$.*?\$\$", text, flags=re.S))
    figures = sum("figure" in cell.metadata.get("mystnb", {}) for cell in code_cells(notebook))
    words = len(re.sub(r"\$\$.*?\$\$", "", text, flags=re.S).split())
    minutes = words / 150 + (formulas + figures) / 2 + sum(len(lines(cell)) for cell in visible(notebook)) / 10
    said = int(re.search(r"\*\*Takes\*\* about (\d+) minutes to read", notebook.cells[0].source)[1])
    assert abs(said - minutes) <= 5, minutes
