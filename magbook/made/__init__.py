"""What is made: the files in `data/`, by chapter, each by one command of `python -m magbook`.

They read data sets and trainings from the cache folder, and trainings resume there.
"""

from . import ch1, ch2, ch3, ch4, ch5, ch6, ch7, ch8  # noqa: F401  each declares its commands, in the order of the book
from .common import COMMANDS, Command, plan

__all__ = ["COMMANDS", "Command", "plan"]
