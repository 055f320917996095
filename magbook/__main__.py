"""The command line: `python -m magbook generate`, `bench`, `s-state`, `fan`; `--help` after each says more."""
