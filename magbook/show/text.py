"""Numbers, tables and drawings for the text of a chapter."""

import html
import math
import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.display import HTML, display

from .._arguments import array, check_counts, number, said

if TYPE_CHECKING:  # the solver needs none
    import pandas as pd

_GLUE = "application/papermill.record/text/plain"  # what myst-nb looks for where the text has {glue:text}
COLUMNS = 8
"""So many columns of a table stand in the text, the others behind a menu."""


def say(**numbers: tuple[float, float, float]) -> None:
    """Hand numbers to the text, each with the range in which what the text says of it is true.

    numbers: name=(value, low, high). The text has it as ``{glue:text}`name:.2f` ``. A test of the book holds the value in its range.
    Where no book is built, as in JupyterLab, the numbers are shown with their names, and whether the text still holds.
    Raises ValueError for a number that is not one.
    """
    lines = []
    for name, given in numbers.items():
        value, low, high = array(name, given, "(3,)").astype(float).tolist()
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}, not a number that a text could give")
        value = int(value) if value.is_integer() and abs(value) < 1e15 else value
        display({_GLUE: repr(value)}, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": _GLUE.removesuffix("text/plain")},
                                                         "magbook": {"range": [low, high]}})
        lines.append(f"{name} = {value:.4g}" + ("" if low <= value <= high else f"  (the text speaks of {low:g} to {high:g})"))
    if not os.environ.get("MAGBOOK_BUILD"):
        print("\n".join(lines))


def table(rows: "Mapping[str, Mapping[str, object]] | pd.DataFrame", digits: int = 2, corner: str = "") -> HTML:
    """A table: a row a key, with numbers of so many significant digits; the columns after the eighth behind a menu.

    rows: a dictionary of dictionaries, or a data frame. corner: what the names of the rows are. NaN and None are a dash.
    Raises ValueError or TypeError, naming the argument.
    """
    import pandas as pd

    if not isinstance(rows, pd.DataFrame) and not (isinstance(rows, Mapping) and all(isinstance(row, Mapping) for row in rows.values())):
        raise TypeError(f"rows: got {said(rows)}; a dictionary of dictionaries, or a data frame, is needed")
    check_counts(digits=digits)
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame.from_dict(rows, orient="index")
    frame = frame.map(lambda value: rounded(value, digits))

    def part(columns):
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in [corner, *columns])
        body = "".join(f"<tr><th>{html.escape(str(name))}</th>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
                       for name, row in zip(frame.index, frame[columns].values))
        return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    columns = list(frame.columns)
    more = f"<details><summary>{len(columns) - COLUMNS} more columns</summary>{part(columns[COLUMNS:])}</details>" * (len(columns) > COLUMNS)
    return HTML(part(columns[:COLUMNS]) + more)


def rounded(value: float | str | None, digits: int = 2) -> str:
    """A number as a text with so many significant digits; NaN and None are a dash, a text is itself."""
    check_counts(digits=digits)
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Real) and value != value:
        return "–"
    if isinstance(value, Real) and abs(value) == math.inf:
        return "∞" if value > 0 else "−∞"
    value = number("value", value, "a number, a text or None is")
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "−") if places < 7 else f"{value:.{digits - 1}e}"


def drawing(name: str) -> HTML:
    """A drawing of the book, in the ink of the page that it stands on, so that it reads on light and dark.

    name: one of the files of `magbook/show/drawings`, without its suffix. Raises ValueError for any other.
    """
    folder = Path(__file__).with_name("drawings")
    known = sorted(path.stem for path in folder.glob("*.svg"))
    if not (isinstance(name, str) and name in known):
        raise ValueError(f"name={name!r}: the drawings are {', '.join(known)}")
    return HTML(f'<div class="magbook-drawing">{(folder / name).with_suffix(".svg").read_text(encoding="utf-8")}</div>')
