"""magbook: learning the dynamics of magnetization, a book that runs."""

import importlib
import pkgutil
from pathlib import Path

from . import _numpy as _numpy  # what numpy is before a student's cells
from . import applied, dataset, demag, files, film, llg, metrics, multirate, ovf, sp4, trajectory
from .film import PERMALLOY, Film
from .llg import energies, relax, s_state, simulate
from .trajectory import Trajectory

__version__ = "0.1.0"

# What is slow to import, or starts Keras, comes when it is first used: the processes that compute a data set never do.
# Every module of this folder and of show/ is found here by its name, a new one too.
_LATER = {module.name: prefix + module.name for folder, prefix in (("", "."), ("show", ".show."))
          for module in pkgutil.iter_modules([str(Path(__file__).parent / folder)])
          if not module.name.startswith("_") and module.name not in globals()}
_FROM = {"Explorer": ".show.explorer", "ReducedOrderModel": ".rom", "learn": ".own", "load_rom": ".rom",
         **dict.fromkeys(("drawing", "say", "table"), ".show.text")}

__all__ = ["PERMALLOY", "Film", "Trajectory", "applied", "dataset", "demag", "energies", "files", "film", "llg", "metrics", "multirate", "ovf",
           "relax", "s_state", "simulate", "sp4", "trajectory", *_LATER, *_FROM]


def __getattr__(name):
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name], __name__), name)
    if name in _LATER:
        return importlib.import_module(_LATER[name], __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*__all__, "__version__"})
