"""Public functions say the types of their arguments and of what they return."""

import ast

import pytest

# Modules whose hints are still to be written; a module that is not here has them all.
LATER = {'__main__.py', '_progress.py', 'applied.py', 'autoencoder.py', 'baselines.py', 'bench.py', 'dataset.py', 'demag.py', 'fidimag.py', 'files.py', 'film.py', 'llg.py', 'metrics.py', 'modes.py', 'ovf.py', 'pca.py', 'pod.py', 'reproduce.py', 'rom.py', 'show/explorer/pack.py', 'show/export.py', 'show/panels.py', 'show/plots.py', 'sp4.py', 'stepper.py', 'training.py', 'trajectory.py'}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def bare(body, owner=""):
    """The public functions and methods without a hint for each argument (but *args and **kwargs) and for the result."""
    for node in body:
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from bare(node.body, f"{node.name}.")
            continue
        static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
        arguments = [*node.args.posonlyargs, *node.args.args][bool(owner) and not static:] + node.args.kwonlyargs
        missing = [argument.arg for argument in arguments if argument.annotation is None]
        missing += ["its result"] if node.returns is None else []
        if missing:
            yield f"{owner}{node.name} (line {node.lineno}): {', '.join(missing)}"


@pytest.mark.parametrize("source, missing", [
    ("def f(a: int, *args, b: str = '', **rest) -> None: ...", []),
    ("def f(a, *, b): ...", ["f (line 1): a, b, its result"]),
    ("def _f(a): ...", []),
    ("class C:\n    def __init__(self, a): ...\n    def m(self, a): ...", ["C.m (line 3): a, its result"]),
    ("class C:\n    @staticmethod\n    def m(a) -> int: ...", ["C.m (line 3): a"]),
    ("class _C:\n    def m(self, a): ...", [])])
def test_what_is_bare(source, missing):
    assert list(bare(ast.parse(source).body)) == missing


def test_public_functions_have_hints(root):
    package = root / "magbook"
    found = {str(path.relative_to(package)): list(bare(ast.parse(path.read_text()).body)) for path in package.rglob("*.py")}
    wrong = [f"{name}: {line}" for name, lines in sorted(found.items()) if name not in LATER for line in lines]
    assert not wrong, "\n" + "\n".join(wrong)
