"""One kind of progress bar for everything that takes long."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

from ._arguments import truth


def bar(iterable: Iterable | None = None, *, show: bool = True, **options: Any) -> tqdm:
    """A tqdm bar, as a widget in a notebook, that appears after two seconds. show: False for none.

    A page of the built book has no use for a bar that stands still, so there is none in a build.
    """
    return tqdm(iterable, delay=2, disable=not truth("progress", show) or bool(os.environ.get("MAGBOOK_BUILD")), **options)
