"""Numbers, tables and drawings for the text."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import magbook as mb


def test_numbers_go_to_the_text_and_are_shown_where_no_book_is_built(monkeypatch, capsys):
    handed = []
    monkeypatch.setattr(mb.text, "display", lambda data, raw, metadata: handed.append((data, metadata)))
    monkeypatch.delenv("MAGBOOK_BUILD", raising=False)
    mb.say(error=(np.float32(0.25), 0, 0.5), count=(np.int64(3), 4, 5))
    data, metadata = zip(*handed)
    assert [list(one.values()) for one in data] == [["0.25"], ["3"]]
    assert [one["magbook"]["range"] for one in metadata] == [[0, 0.5], [4, 5]]
    assert [one["scrapbook"]["name"] for one in metadata] == ["error", "count"]
    assert capsys.readouterr().out == "error = 0.25\ncount = 3  (the text speaks of 4 to 5)\n"
    monkeypatch.setenv("MAGBOOK_BUILD", "1")
    mb.say(error=(0.1, 0, 1))
    assert capsys.readouterr().out == ""


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="error is nan"):
        mb.say(error=(float("nan"), 0, 1))


def test_a_table_shows_eight_columns_and_has_the_others_behind_a_menu():
    rows = {"<a>": {f"c{n}": n + 0.5 for n in range(10)}, "b": {"c0": None, "c1": float("nan"), "c2": "x", "c3": 12345.0, "c4": 0.00123}}
    page = re.sub("<summary>.*</summary>", "", mb.table(rows).data)
    first, rest = ElementTree.fromstring(f"<div>{page}</div>").iter("table")
    assert [["".join(cell.itertext()) for cell in row] for row in first.iter("tr")][2] == ["b", "–", "–", "x", "12,345", "0.0012", "–", "–", "–"]
    assert [["".join(cell.itertext()) for cell in row] for row in rest.iter("tr")] == [["", "c8", "c9"], ["<a>", "8.5", "9.5"], ["b", "–", "–"]]
    assert "<details>" in mb.table(rows).data and "<details>" not in mb.table({"a": {"b": 1}}).data
    assert "&lt;a&gt;" in mb.table(rows).data


@pytest.mark.parametrize("number, digits, text", [(0.0, 2, "0"), (-0.0456, 2, "−0.046"), (123.456, 2, "123"), (9.97e-9, 2, "1.0e-08"),
                                                 (1.5, 1, "2"), (0.1, 3, "0.100")])
def test_numbers_in_tables(number, digits, text):
    assert f"<td>{text}</td>" in mb.table({"a": {"b": number}}, digits=digits).data


def drawings(root):
    return sorted((root / "magbook/show/drawings").glob("*.svg"))


def test_drawings_take_the_ink_of_their_page(root):
    for path in drawings(root):
        svg = ElementTree.fromstring(path.read_text())
        assert svg.get("viewBox") and svg.get("width") is None, path.name
        assert "currentColor" in path.read_text(), path.name
        assert path.read_text() in mb.drawing(path.stem).data


def test_an_unknown_drawing_is_refused():
    with pytest.raises(ValueError, match="name='horse': the drawings are"):
        mb.drawing("horse")
