"""What is made: the files in `data/`, by chapter, each by one command of `python -m magbook`."""
