"""Every chapter runs top to bottom from a fresh kernel, fast, and its numbers are what its prose says of them.

What the build of the site has executed is read, not executed again.
"""

import ast

import magbook_chapters
import pytest

pytestmark = pytest.mark.slow

SECONDS = 240  # beside another chapter: two minutes where nobody else has the cores, and twice that where they are shared


def glued(notebook):
    """The values that the chapter handed to the text, by name, and for each the range in which the text holds."""
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
    assert isinstance(value, (int, float)), f"{name} is {text}: mb.say hands over numbers"
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
    assert None not in ranges.values(), f"numbers without a range: {ranges}"
    outside = {name: value for name, value in values.items() if not ranges[name][0] <= value <= ranges[name][1]}
    assert not outside, f"outside of the range that the prose speaks of: {outside}"
    assert not wrong, "\n\n".join(["solutions that fail, or whose text is wrong of them", *wrong])
