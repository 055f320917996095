"""Every chapter runs top to bottom from a fresh kernel, fast, and its numbers are what its prose says of them."""

import ast
import time

import nbformat
from nbclient import NotebookClient

SECONDS = 120

# For each chapter the numbers it glues into its prose, with the range (low, high) in which the prose holds.
RANGES = {
    "01_llg_and_sp4": {
        "torque": (0, 5e-6),
        "omega_max": (11.9, 12.1),
        "limit_ps": (0.23, 0.24),
        "time_order": (2.8, 3.3),
        "seconds": (0.1, 30),
        "fidimag_1": (0, 1e-4), "fidimag_2": (0, 1e-4),
        "zero_1": (0.1383, 0.1386), "zero_2": (0.1366, 0.1370),
        "band_1": (0.95, 1), "band_2": (0.8, 0.95),
        "worst_cell": (2.4e-4, 5e-3),
        "space_order": (1.8, 2.3), "off_128": (0.0015, 0.003), "off_32": (0.03, 0.05),
    },
    "02_data_generation": {
        "int16_error": (1e-5, 2e-5), "float16_error": (2e-4, 2.5e-4),
        "fastest": (0.07, 0.09), "slowest": (0.36, 0.40), "never": (1, 1),
        "with_walls": (35, 43), "longest_wall": (0.25, 0.31),
        "share": (0.2, 0.25), "hard": (0.09, 0.11), "easy": (0.02, 0.026), "ratio": (3.5, 5),
        "honest": (0.15, 0.18), "nearest_state": (0.13, 0.15), "flattering": (0.07, 0.09),
    },
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
