"""Every chapter runs top to bottom from a fresh kernel, fast, and its numbers are what its prose says of them."""

import ast
import time

import nbformat
from nbclient import NotebookClient

SECONDS = 120

# For each chapter the numbers it glues into its prose, with the range (low, high) in which the prose holds.
RANGES = {
}


def glued(notebook):
    """The values that the chapter handed to `myst_nb.glue`, by name."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None:
                assert name not in values, f"{name} is glued twice"
                values[name] = next((text for mime, text in output.data.items() if mime.endswith("text/plain")), None)
    return values


def number(name, text):
    """The glued number; the site formats plain Python numbers only (`{glue:text}`name:.2f``)."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    assert isinstance(value, (int, float)), f"{name} is {text}: glue(name, float(...), display=False) glues a number"
    return value


def test_chapter(chapter, monkeypatch):
    monkeypatch.setenv("MAGBOOK_BUILD", "1")
    notebook = nbformat.read(chapter, as_version=4)
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3",
                            resources={"metadata": {"path": str(chapter.parent)}})
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    assert seconds < SECONDS, f"{seconds:.0f} s"

    for cell in notebook.cells:
        errors = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        assert not errors or "stderr" in cell.metadata.get("tags", []), "".join(errors)

    ranges = RANGES.get(chapter.stem, {})
    values = {name: number(name, text) for name, text in glued(notebook).items()}
    assert values.keys() == ranges.keys(), "the numbers glued, and those with a range"
    outside = {name: value for name, value in values.items() if not ranges[name][0] <= value <= ranges[name][1]}
    assert not outside, f"outside of the range that the prose speaks of: {outside}"
