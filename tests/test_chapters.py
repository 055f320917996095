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
    "03_autoencoder": {
        "pca_l2_1": (0.12, 0.14), "pca_l2_2": (0.2, 0.22), "weights": (1467379, 1467379),
        "full": (0.05, 0.06), "bits8": (0.05, 0.06),
        "paper_ratio": (1024, 1024), "bare_ratio": (6144, 6144), "together_ratio": (1000, 1200), "decoder_mb": (1.4, 1.5),
        "small_error": (0.27, 0.38), "small_pca": (0.32, 0.34),
        "epochs": (60, 60), "short_epochs": (8, 8), "train_l2": (0.1, 0.11), "cosine": (0.14, 0.16), "constant": (0.32, 0.36),
        "loss_train": (0.24, 0.25), "loss_validation": (0.29, 0.31),
        "ae_l2_1": (0.05, 0.06), "ae_l2_2": (0.155, 0.17), "ae_mean_1": (0.0015, 0.0025), "ae_mean_2": (0.008, 0.0095),
        "length_off": (0, 0.005), "test_l2": (0.085, 0.095), "test_pca_l2": (0.18, 0.19), "wins": (19, 19),
        "average_ratio": (1.6, 2), "ends_ratio": (1.7, 2.2), "half_1": (38, 46), "half_2": (41, 50),
        "sweep_aut_4": (0.28, 0.3), "sweep_aut_8": (0.19, 0.22), "sweep_aut_16": (0.16, 0.175), "sweep_aut_32": (0.15, 0.165),
        "sweep_pca_4": (0.34, 0.36), "sweep_pca_8": (0.24, 0.255), "sweep_pca_16": (0.175, 0.19), "sweep_pca_32": (0.12, 0.13),
    },
    "04_predictor": {
        "linear_1": (0.14, 0.17), "linear_2": (0.075, 0.085), "linear_4": (0.065, 0.075),
        "predictor_weights": (12384, 12384), "spread": (15, 25),
        "ahead_1": (0.4, 0.46), "ahead_2": (0.35, 0.42), "ahead_4": (0.25, 0.32), "ahead_8": (0.18, 0.23),
        "ahead_16": (0.13, 0.17), "final": (0.165, 0.18),
        "sp4_1": (0, 0.012), "sp4_2": (0, 0.05), "median": (0.015, 0.02), "p95": (0.09, 0.11),
        "nearest_median": (0.025, 0.03), "wins": (11, 13), "blade_train": (32, 32),
        "roll_ms": (0.1, 10), "states_ms": (10, 500), "states_ratio": (5, 50),
        "roll_us": (1, 300), "roll_ratio": (3e3, 1e5),
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
