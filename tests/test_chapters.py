"""Every chapter runs top to bottom from a fresh kernel, fast, and its numbers are what its prose says of them.

What the build of the site has executed is read, not executed again.
"""

import ast

import magbook_chapters
import pytest

pytestmark = pytest.mark.slow

SECONDS = 120  # beside another chapter

# For each chapter the numbers it glues into its prose, with the range (low, high) in which the prose holds.
RANGES = {
    "05_errors": {
        "l2_degrees": (4.1, 4.4), "angle_mean": (3, 3.3), "angle_99": (12.5, 14.5),
        "part_ae": (0.05, 0.06), "part_pr": (0.05, 0.06), "squares": (0.073, 0.082), "whole": (0.07, 0.078),
        "rises_solver": (0, 0), "rises": (18, 30), "rises_held": (8, 16), "exchange_ratio": (1.5, 1.8),
        "net_1": (0.008, 0.0105), "net_2": (0.021, 0.028), "net_median": (0.0165, 0.0205), "net_95": (0.075, 0.105),
        "spl_1": (0.0042, 0.0047), "spl_2": (0.078, 0.083), "spl_median": (0.0085, 0.0093), "spl_95": (0.09, 0.104),
        "pca_1": (0.013, 0.0155), "pca_2": (0.028, 0.033), "pca_median": (0.019, 0.023), "pca_95": (0.055, 0.07),
        "atlas_1": (0.0007, 0.0013), "atlas_2": (0.009, 0.0145), "atlas_median": (0.003, 0.004), "atlas_95": (0.011, 0.016),
        "atlas_rises": (18, 25), "atlas_l2_1": (0.032, 0.036),
        "added_net": (0.105, 0.125), "added_pca": (0.07, 0.08),
        "spl_l2_1": (0.035, 0.04), "spl_zero": (0.08, 0.13), "spl_rises": (5, 10),
        "rank_net_near": (0.1, 0.44), "rank_net_other": (-0.7, -0.45), "rank_net_both": (0.45, 0.7),
        "rank_spl_near": (0.6, 0.8), "rank_spl_other": (-0.7, -0.45), "rank_spl_both": (0.88, 0.95),
        "time_step": (1e-5, 1e-4), "near_2": (0.42, 0.45), "mumag_1": (0.0009, 0.0012), "mumag_2": (0.0085, 0.01),
        "scatter_1": (0.0084, 0.009), "scatter_2": (0.0145, 0.015),
        "half_grid_median": (0.003, 0.0045), "cheap_1": (0.003, 0.0036), "cheap_2": (0.035, 0.045),
        "cheap_median": (0.013, 0.018), "turned_1": (0.0015, 0.002), "turned_2": (0.03, 0.035),
        "misfit_1": (0.29, 0.39), "misfit_2": (0.06, 0.09), "misfit": (0.42, 0.54),
        "growth_1": (1.5, 2.49), "growth_2": (50, 85), "growth_median": (5, 9), "growth_most": (600, 800), "large_most": (60, 150),
        "ae_mean": (0.165, 0.175), "ae_spread": (0.002, 0.005),
        "net_spread_1": (0.002, 0.004), "net_spread_2": (0.009, 0.015), "net_spread": (0.0005, 0.002),
        "median_low": (0.0135, 0.0165), "median_high": (0.02, 0.024),
        "flattery_20": (0.1, 0.16), "flattery_50": (0.09, 0.13), "flattery_200": (0.01, 0.03),
    },
    "06_neurons": {
        "atlas_modes": (0.53, 0.6), "atlas_2": (0.12, 0.13),
        "lowest": (-1, -1), "highest": (115, 130), "alone": (15, 15), "alone_value": (23, 26), "next_value": (7, 9.5),
        "odd_data": (0, 2e-5), "odd_1": (0.015, 0.03), "odd_2": (0.035, 0.055), "odd_median": (0.22, 0.32),
        "odd_least": (0.02, 0.05), "odd_most": (0.45, 0.6), "even_neuron": (15, 15), "odd_neuron": (5, 5),
        "pair": (0.12, 0.18), "strongest": (0.45, 0.6), "three": (0.4, 0.46), "needed": (13, 15),
        "dead": (0.48, 0.5), "step_dead": (20, 30), "step": (24, 30), "loss_before": (0.09, 0.13), "loss_after": (0.2, 0.26),
        "away_before": (18, 22), "away_after": (22.5, 27), "away_field_1": (9, 13),
        "first_1": (3.87, 3.885), "first_2": (3.885, 3.895), "third": (4.95, 4.97), "grid_shift": (0, 0.005),
        "odd_modes": (6, 6), "ring_even": (0.03, 0.08), "ring_odd": (0.03, 0.08), "peak_miss": (0, 0.05), "peaks": (11, 13),
        "share_s": (0.36, 0.42), "share_mean": (0.25, 0.3), "share_pca": (0.44, 0.5), "share_chance": (4e-4, 9e-4),
        "share_neurons": (0.17, 0.24), "share_more": (0.48, 0.56), "smallest_angle": (7, 11), "within_45": (6, 8),
        "neurons_bent_1": (0.05, 0.06), "neurons_bent_2": (0.155, 0.17), "neurons_flat_1": (0.6, 0.68),
        "neurons_flat_2": (0.72, 0.79), "modes_flat_1": (0.6, 0.65), "modes_flat_2": (0.72, 0.76),
        "all_flat_1": (0.6, 0.63), "all_flat_2": (0.7, 0.73), "pca_flat_1": (0.13, 0.15), "pca_flat_2": (0.21, 0.24),
        "random_flat_1": (0.74, 0.76), "random_flat_2": (0.84, 0.87), "modes_bent_1": (0.48, 0.54),
        "modes_bent_2": (0.6, 0.67), "modes_64_1": (0.12, 0.17), "modes_64_2": (0.33, 0.38),
        "small_modes": (0.15, 0.2), "small_autoencoder": (2.5, 4),
    },
}


def glued(notebook):
    """The values that the chapter handed to the text, by name, and the range in which the text holds where it says one."""
    values, ranges = {}, {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name is not None:
                assert name not in values, f"{name} is glued twice"
                values[name] = next((text for mime, text in output.data.items() if mime.endswith("text/plain")), None)
                ranges[name] = output.metadata.get("magbook", {}).get("range")
    return values, ranges


def number(name, text):
    """The glued number; the site formats plain Python numbers only (`{glue:text}`name:.2f``)."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    assert isinstance(value, (int, float)), f"{name} is {text}: glue(name, float(...), display=False) glues a number"
    return value


@pytest.fixture(scope="module")
def failed(root, request):
    """The errors of the chapters that fail; all that are to be tested have then been executed."""
    chapters = [item.callspec.params["chapter"] for item in request.session.items if "failed" in item.fixturenames]
    return magbook_chapters.execute(chapters, magbook_chapters.folder(root))


def test_chapter(chapter, root, failed):
    if chapter in failed:
        raise failed[chapter]
    notebook, seconds, wrong = magbook_chapters.executed(chapter, magbook_chapters.folder(root))
    assert seconds < SECONDS, f"{seconds:.0f} s"

    for cell in notebook.cells:
        errors = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        assert not errors or "stderr" in cell.metadata.get("tags", []), "".join(errors)

    values, ranges = glued(notebook)
    values = {name: number(name, text) for name, text in values.items()}
    if chapter.stem in RANGES:
        ranges = RANGES[chapter.stem]
    assert values.keys() == ranges.keys(), "the numbers glued, and those with a range"
    outside = {name: value for name, value in values.items() if not ranges[name][0] <= value <= ranges[name][1]}
    assert not outside, f"outside of the range that the prose speaks of: {outside}"
    assert not wrong, "\n\n".join(["solutions that fail, or whose text is wrong of them", *wrong])
