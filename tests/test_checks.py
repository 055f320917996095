"""What all checks do, whatever they check."""

import functools
import inspect
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from test_arguments import BAD

import magbook as mb
from magbook import checks
from magbook.checks import _check
from magbook.checks._check import call, given, grade


def heard(capsys):
    """What a check has said, as one line."""
    return " ".join(capsys.readouterr().out.split())


def holds():
    """It holds."""
    return None


def fails():
    """It does not."""
    return "It saw that."


def test_points_are_shared_and_lines_are_ticked(capsys):
    assert grade([holds, fails, holds, fails], 6) == 3
    assert capsys.readouterr().out == ("✓ It holds.\n✗ It does not.\n  It saw that.\n✓ It holds.\n✗ It does not.\n  It saw that.\n"
                                       "3 of 6 points\n")


def test_what_is_needed_first_gives_all_or_nothing(capsys):
    assert grade([fails, holds, holds], 4) == 0
    assert "The other 2 properties wait" in heard(capsys)
    assert grade([holds, fails, holds, holds], 4, needs=2) == 0


def test_the_packages_function_is_out_of_order_under_any_name(capsys):
    alias = mb.llg.exchange_field
    film, m = mb.Film(cells=(4, 2)), np.ones((2, 4, 3))

    def lazy():
        """Written by hand."""
        call(lambda: alias(m, film))

    assert grade([lazy], 4, forbidden=(mb.llg.exchange_field,)) == 0
    assert "exchange_field is the package's own, and out of order" in heard(capsys)
    assert alias(m, film).shape == m.shape, "and is in order again"


def copied(f):
    """Its code in another function."""
    return types.FunctionType(f.__code__, f.__globals__, "mine", f.__defaults__, f.__closure__)


LAZY = copied(mb.llg.exchange_field)
CODE = mb.llg.exchange_field.__code__.replace(co_name="mine", co_filename="mine.py")


class Mine:
    field = staticmethod(LAZY)


def hidden(f=LAZY):
    return lambda m, film: f(m, film)


@pytest.mark.parametrize("f", [
    LAZY, lambda m, film: LAZY(m, film), lambda m, film: Mine.field(m, film), hidden(), functools.partial(hidden()),
    lambda m, film: types.FunctionType(CODE, vars(mb.llg))(m, film), lambda m, film: [g(m, film) for g in (LAZY,)][0]])
def test_a_copy_of_its_code_is_out_of_order_too(f, capsys):
    m, film = np.ones((2, 4, 3)), mb.Film(cells=(4, 2))
    assert f(m, film).shape == m.shape
    assert checks.exchange(f) == 0
    assert "exchange_field is the package's own, and out of order" in heard(capsys)
    assert f(m, film).shape == m.shape, "and is in order again"


@pytest.mark.slow
def test_a_module_that_is_slow_to_import_is_closed_without_an_import(root):
    done = subprocess.run([sys.executable, "-c", """
import sys, magbook as mb
from magbook import checks
def lazy(step, first, field):
    from magbook.stepper import Stepper
    return Stepper(None, 1.0).rollout(first[None], field[None])[0]
print(checks.rollout(lazy), checks.rollout(lambda step, first, field: mb.stepper._roll(step, first, field)), "keras" in sys.modules)
from magbook.stepper import Stepper
print(Stepper.__name__)"""], capture_output=True, text=True, cwd=root)
    out = " ".join(done.stdout.split())
    assert "stepper.Stepper is the package's own, and out of order" in out and "0.0 0.0 False Stepper" in out, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["drawn._rings", "drawn._most_turns", "stepping._damped", "moment._turns", "fields._dipoles", "judging._drawn"])
def test_what_a_check_compares_with_serves_nobody_else(name):
    module, function = name.split(".")
    with pytest.raises(_check.Stopped, match=f"{function} is what the check compares yours with"):
        getattr(getattr(checks, module), function)(1)


def test_a_class_too():
    def lazy():
        call(lambda: mb.demag.Demag(mb.Film(cells=(4, 2))))

    assert grade([lazy], 4, forbidden=(mb.demag.Demag,)) == 0
    mb.demag.Demag(mb.Film(cells=(4, 2)))


@pytest.mark.parametrize("module, name", [(np, "allclose"), (np, "abs"), (np.linalg, "norm"), (np.testing, "assert_allclose")])
def test_a_numpy_that_is_not_numpys_own_earns_nothing(monkeypatch, capsys, module, name):
    monkeypatch.setattr(module, name, lambda *_, **__: True)
    assert grade([holds], 4) == 0
    assert f"{name} is not numpy's own" in heard(capsys)


@pytest.mark.parametrize("wait", [lambda: None, lambda: time.sleep(0.01)])
def test_an_endless_loop_ends(monkeypatch, capsys, wait):
    monkeypatch.setattr(_check, "SECONDS", 0.2)

    def endless():
        """It ends."""
        while True:
            try:
                wait()
            except Exception:
                pass

    assert grade([holds, endless, holds, holds], 4) == 1
    said = heard(capsys)
    assert "did not end within 0.2 s" in said and "The other 2 properties wait" in said


@pytest.mark.slow
def test_a_right_answer_that_had_to_wait_for_its_core_is_right(monkeypatch):
    monkeypatch.setattr(_check, "SECONDS", 1.0)

    def slow():
        """It ends."""
        time.sleep(1.2)

    assert grade([slow, holds], 4) == 4


def test_what_a_student_prints_and_warns_of_is_not_heard(capsys):
    def loud():
        """It holds."""
        print("here")
        print("there", file=sys.stderr)
        np.zeros(1) / np.zeros(1)

    grade([loud], 4)
    out = capsys.readouterr()
    assert out.out.startswith("✓ It holds.") and "here" not in out.out and not out.err, "a line on stderr is zero points for nbgrader"


@pytest.mark.parametrize("f, sentence", [
    (3, "should be a function"), (lambda x: None, "is there a return"), (lambda x: x[0], "has shape"), (lambda x: x * np.nan, "finite"),
    (lambda x: "text", "numbers of shape"), (lambda x: x.sort() or x, "changes the array"), (lambda: 0, "TypeError"), (lambda x: 1 / 0, "ZeroDivisionError")])
def test_sentences_on_what_is_no_answer(f, sentence, capsys):
    def law():
        call(f, np.array([3.0, 1.0, 2.0]), shape=(3,))

    assert grade([law], 4) == 0
    assert sentence in heard(capsys)


def test_an_answer_is_taken_as_numbers():
    assert given([1, 2], (2,)).dtype == float
    assert given(np.float32(3), ()) == 3
    with pytest.raises(_check.Stopped, match="a number is needed"):
        given("3 nm", ())


CHECKS = [name for name in checks.__all__ if "points" in inspect.signature(getattr(checks, name)).parameters]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_whatever_is_handed_in_earns_nothing_and_stops_nothing(name, capsys):
    """Numbers, texts, arrays of any shape, functions that give a text: a sentence, and no points."""
    check = getattr(checks, name)
    more = {"number": 1, "film": mb.Film(cells=(8, 2)), "K": 1e5}
    others = [more.get(argument) for argument in inspect.signature(check).parameters if argument not in ("points", "seed", "share")][1:]
    for label, value in BAD.items():
        assert check(value, *others) == 0, label
        assert "\N{BALLOT X}" in heard(capsys), label


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_points_and_seeds_are_looked_at(name):
    check = getattr(checks, name)
    answer = [None] * (check.__code__.co_argcount)
    for wrong in (dict(points=-1), dict(points="4"), dict(seed=-1), dict(seed=1.5)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            check(*answer, **wrong)
