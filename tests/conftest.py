"""What the tests of the book share."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]

# What takes more than a second or two, left to `make test`: files, fixtures with all that use them, and single tests.
SLOW_FILES = {"test_chapters", "test_fidimag", "test_hosted", "test_lab", "test_reproduce", "test_site"}
SLOW_FIXTURES = {"browser", "onnx", "sp4_double", "sp4_runs", "stepless", "stepped", "trained", "undisturbed"}
SLOW_TESTS = {
    "test_a_disk_that_is_really_full", "test_a_flipped_byte_is_found_or_harmless", "test_a_folder_that_can_not_be_written",
    "test_a_full_disk_leaves_what_was_there", "test_a_killed_worker_is_an_error_that_says_so", "test_a_local_dask_cluster",
    "test_a_residual_network_learns", "test_a_rollout_that_runs_away_counts_as_bad_not_as_no_number",
    "test_a_training_that_diverges_says_so", "test_against_another_integrator", "test_animation",
    "test_content_is_what_simulate_gives", "test_decoder_agrees_with_keras", "test_generate_makes_and_resumes",
    "test_help_lists_the_commands", "test_it_hears_python_and_tells_it", "test_it_learns_a_function_of_field_and_time",
    "test_killed", "test_killed_and_resumed", "test_many_networks_are_used_without_a_word",
    "test_memory_of_a_run_at_full_size", "test_more_epochs_later", "test_more_fields_are_better", "test_none_is_left_out",
    "test_onnx_of_field_and_time", "test_own_processes", "test_pdf_and_a_film_of_any_shape", "test_play_is_small",
    "test_relaxing_is_where_damping_ends", "test_renderer_is_chosen_by_the_build_alone",
    "test_rollout_and_averages_agree_with_keras", "test_steps_are_stable_and_right", "test_steps_follow_the_field",
    "test_stopped_and_resumed_the_same", "test_stopped_between_epochs", "test_stopped_while_an_epoch_is_written",
    "test_the_page_s_script_is_whole", "test_the_shipped_modes", "test_third_order_in_time", "test_very_elongated_cells",
    "test_where_to_ask_for_more_accuracy", "test_within_the_published_band",
}
FIRST = ["test_lab", "test_site"]  # the longest


def pytest_collection_modifyitems(items):
    for item in items:
        if (item.path.stem in SLOW_FILES or SLOW_FIXTURES & set(item.fixturenames) or item.originalname in SLOW_TESTS):
            item.add_marker("slow")
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


def pytest_generate_tests(metafunc):
    """A test with an argument `chapter` runs once for each notebook of the book."""
    if "chapter" in metafunc.fixturenames:
        metafunc.parametrize("chapter", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def browser():
    names = ["chromium", "chromium-browser", "google-chrome"]
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        reason = f"no browser: install Debian's chromium, or name one in $CHROMIUM (looked for {', '.join(names)})"
        pytest.fail(reason) if os.environ.get("MAGBOOK_NEEDS_BROWSER") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
