"""How a chapter is written: clean, in small cells, with figures that can be read in every way."""

import re
import statistics

import nbformat
import pytest
import yaml


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
    head = r"# [^\n]+\n\n- \*\*Needs\*\* [^\n]+\.\n- \*\*Gives\*\* [^\n]+\.\n\n"
    assert notebook.cells[0].cell_type == "markdown" and re.match(head, notebook.cells[0].source)


def test_its_figures_have_a_caption_a_name_and_alt_text(notebook):
    names = []
    for cell in code_cells(notebook):
        shown = cell.metadata.get("mystnb", {})
        if "figure" not in shown and "image" not in shown:
            continue
        assert shown["figure"]["caption"].strip(), cell.source
        assert shown["figure"]["name"].startswith("fig-"), cell.source
        assert len(shown["image"]["alt"].split()) >= 8, f"alt text that describes, for {shown['figure']['name']}"
        names.append(shown["figure"]["name"])
    assert len(set(names)) == len(names), names
    # A figure made but not described in the metadata fails the build of the site.


def test_its_live_cells_say_what_they_do(notebook):
    for cell in code_cells(notebook):
        if "live" in cell.metadata.get("tags", []):
            assert "JupyterLab" in cell.metadata["magbook"]["live"], cell.source


def test_its_glued_numbers_are_not_inside_formulas(notebook):
    assert not re.findall(r"(?<![\\$])\$[^$\n]*\{glue[^$\n]*\$", prose(notebook)), "shown as they stand"
