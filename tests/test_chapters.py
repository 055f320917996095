"""Every chapter runs top to bottom from a fresh kernel, fast, and its numbers are what its prose says of them.

What the build of the site has executed is read, not executed again.
"""

import ast

import magbook_chapters
import pytest

pytestmark = pytest.mark.slow

SECONDS = 120  # beside another chapter

# Chapter 7's second table: errors of each model where the ground is smooth, where it is rough, and on all fields.
WORLDS = {
    "spline": {("smooth", "me"): (0.0017, 0.0021), ("smooth", "95"): (0.004, 0.006), ("rough", "me"): (0.012, 0.016),
               ("rough", "95"): (0.05, 0.07), ("all", "me"): (0.0034, 0.0041), ("all", "95"): (0.04, 0.05)},
    "networks": {("smooth", "me"): (0.0022, 0.0028), ("smooth", "95"): (0.005, 0.0065), ("rough", "me"): (0.0075, 0.0095),
                 ("rough", "95"): (0.025, 0.035), ("all", "me"): (0.0039, 0.0045), ("all", "95"): (0.018, 0.023)},
    "atlas": {("smooth", "me"): (0.0017, 0.0021), ("smooth", "95"): (0.004, 0.006), ("rough", "me"): (0.0075, 0.0095),
              ("rough", "95"): (0.025, 0.035), ("all", "me"): (0.0034, 0.0041), ("all", "95"): (0.018, 0.023)},
    "decoder": {("smooth", "me"): (0.0011, 0.0016), ("smooth", "95"): (0.0025, 0.004), ("rough", "me"): (0.0025, 0.004),
                ("rough", "95"): (0.005, 0.008), ("all", "me"): (0.0018, 0.0026), ("all", "95"): (0.005, 0.007)},
    "all": {("smooth", "me"): (0, 0.002), ("smooth", "95"): (0, 0.006), ("rough", "me"): (0.005, 0.02), ("rough", "95"): (0.03, 0.08),
            ("all", "me"): (0.002, 0.0026), ("all", "95"): (0.035, 0.05)},
    "beyond": {("smooth", "me"): (0, 0.002), ("smooth", "95"): (0, 0.006), ("rough", "me"): (0.0075, 0.0095),
               ("rough", "95"): (0.025, 0.035), ("all", "me"): (0.002, 0.0035), ("all", "95"): (0.018, 0.023)},
}

# For each chapter the numbers it glues into its prose, with the range (low, high) in which the prose holds.
RANGES = {
    "03_autoencoder": {
        "pca_l2_1": (0.12, 0.14), "pca_l2_2": (0.2, 0.22), "weights": (1467379, 1467379),
        "full": (0.05, 0.06), "bits8": (0.05, 0.06),
        "paper_ratio": (1024, 1024), "bare_ratio": (6144, 6144), "together_ratio": (1000, 1200), "decoder_mb": (1.4, 1.5),
        "small_error": (0.32, 0.4), "small_pca": (0.32, 0.34),
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
        "roll_us": (1, 300), "roll_ratio": (3e3, 1e5), "break_even": (1e3, 2e4),
    },
    "07_better": {
        "odd": (1e-6, 1e-3), "limit": (0.03, 0.04), "share_rough": (0.4, 0.55), "low": (0.001, 0.003), "high": (0.3, 0.5),
        "paper_1": (0, 0.012), "paper_2": (0.015, 0.022), "paper_median": (0.015, 0.02), "paper_95": (0.09, 0.11),
        "spline8_1": (0.0007, 0.0013), "spline8_2": (0.045, 0.06), "spline8_median": (0.003, 0.0045), "spline8_95": (0.05, 0.07),
        "networks8_1": (0.001, 0.002), "networks8_2": (0.018, 0.028), "networks8_median": (0.0035, 0.005), "networks8_95": (0.02, 0.035),
        "atlas8_1": (0.0007, 0.0013), "atlas8_2": (0.0195, 0.026), "atlas8_median": (0.003, 0.0045), "atlas8_95": (0.02, 0.035),
        "spline_1": (0.0007, 0.0013), "spline_2": (0.03, 0.04), "spline_median": (0.003, 0.004), "spline_95": (0.028, 0.04),
        "networks_1": (0.001, 0.0025), "networks_2": (0.008, 0.015), "networks_median": (0.0035, 0.0045), "networks_95": (0.011, 0.016),
        "atlas_1": (0.0007, 0.0013), "atlas_2": (0.008, 0.015), "atlas_median": (0.003, 0.004), "atlas_95": (0.011, 0.016),
        "decoder_1": (0.0007, 0.001), "decoder_2": (0.004, 0.0055), "decoder_median": (0.002, 0.003), "decoder_95": (0.004, 0.006),
        "times_1": (5, 9), "times_2": (1.3, 2.2), "times_median": (4, 6), "times_95": (6.5, 9),
        **{f"{name}_{where}_{share}": between for name, rows in WORLDS.items() for (where, share), between in rows.items()},
        "asked_networks": (40, 50), "l2_1": (0.03, 0.04), "l2_2": (0.15, 0.18),
        "length_off": (0, 1e-6), "blade_median": (0.008, 0.013), "else_median": (0.002, 0.0035), "blade_count": (35, 35),
        "faster": (5, 10), "slope_atlas_1": (-0.45, -0.3), "slope_atlas_2": (-0.6, -0.45), "slope_atlas_m": (-0.75, -0.6),
        "slope_atlas_95": (-0.55, -0.4), "slope_spline_1": (-1.1, -0.9), "slope_spline_2": (-0.3, -0.15),
        "slope_spline_m": (-0.95, -0.75), "slope_spline_95": (-0.3, -0.15),
        "fewest_2": (0.1, 0.11), "most_2": (0.02, 0.03), "there_2": (0.02, 0.03), "everywhere_2": (0.035, 0.045), "early_2": (0.065, 0.08),
        "both_50": (0.023, 0.028), "both_800": (0.021, 0.025), "both_200": (0.02, 0.027), "both_2_50": (0.09, 0.11),
        "both_2_400": (0.06, 0.075), "both_2_200": (0.024, 0.034), "alone_low": (0.03, 0.04), "alone_high": (0.08, 0.1),
        "shipped_2": (0.015, 0.025), "shipped_median": (0.016, 0.019), "shipped_95": (0.09, 0.11),
        "long_2": (0.035, 0.055), "long_median": (0.015, 0.0175), "long_95": (0.07, 0.09), "unstepped": (0.0045, 0.006),
        "held_low": (0.145, 0.16), "held_high": (0.17, 0.19), "held_long": (0.095, 0.11),
        "slope_both_m": (-0.06, -0.02), "slope_alone_m": (-0.1, -0.04),
        "there_median": (0.012, 0.013), "everywhere_median": (0.008, 0.009), "part_whole": (0.007, 0.008),
        "part_nounit": (0.007, 0.0085), "part_noclosure": (0.015, 0.02), "part_coarse": (0.01, 0.012), "part_step": (0.018, 0.023),
        "coverage": (2, 2.4), "covered": (0.86, 0.9), "least": (0.6, 0.8),
        "single_median": (0.005, 0.0065), "ensemble_median": (0.0038, 0.0046), "seeds_1": (0, 0.002), "seeds_2": (0, 0.005),
        "grid_1": (0.001, 0.0015), "grid_2": (0.012, 0.014), "degrees_2": (0.02, 0.05),
        "roll_paper": (0.01, 1), "roll_spline": (0.01, 5), "roll_networks": (0.5, 30),
        "states_paper": (10, 1000), "states_spline": (5, 500), "states_networks": (5, 500),
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
