"""What all checks share: they call what a student wrote, say in words of physics what holds, and return points.

A check is a function of the answer, of points and of a seed. It draws cases with `generator(seed)`, calls the student's function
on them through `call`, or takes an array through `given`, and hands its laws to `grade`.
"""

import contextlib
import copy
import inspect
import io
import signal
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._arguments import check_counts, number, said
from .._numpy import NUMPY

CHECK, BALLOT = "\N{CHECK MARK}", "\N{BALLOT X}"

SECONDS = 12.0
"""That one property may take."""


class Stopped(Exception):
    """What the student's function did instead of giving an answer, in words."""


class Late(BaseException):  # so that no `except Exception` of a student's holds it
    """It took too long."""


def generator(seed: int) -> np.random.Generator:
    """What a check draws its cases with."""
    check_counts(0, seed=seed)
    return np.random.default_rng(seed)


def grade(laws: list[Callable[[], str | None]], points: float, *, forbidden: tuple = (), needs: int = 1) -> float:
    """Look at each property, print a tick or a cross with its law, and return points for those that hold.

    laws: functions without arguments. The docstring of one is the law in words; it returns None where the law holds, and
    else a sentence about what it saw. points: for all of them. forbidden: functions of the package that are out of order
    meanwhile, under whatever name. needs: so many laws, the first, must hold before the others are looked at, so that
    nothing, such as a field of zeros, satisfies a symmetry.
    """
    number("points", points, "a number of at least 0 is", 0)
    if changed := _not_numpys_own():
        _say(f"{BALLOT} ", f"numpy.{changed} is not numpy's own any more. Restart the kernel, and leave numpy as it is.")
        print(f"0 of {points:g} points")
        return 0.0
    held = 0
    for k, law in enumerate(laws):
        with _out_of_order(forbidden):
            wrong = _look(law)
        _say(f"{BALLOT if wrong else CHECK} ", (law.__doc__ or law.__name__))
        _say("  ", wrong or "")
        held += not wrong
        if wrong and k < needs:
            held = 0
            if others := len(laws) - k - 1:
                print(f"  The other {'property waits' if others == 1 else f'{others} properties wait'} until this one holds.")
            break
    earned = float("%.2f" % (points * held / len(laws)))
    print(f"{earned:g} of {points:g} points")
    return earned


def _say(begin, text):
    """Print a sentence in lines that fit a page: JupyterLab breaks longer ones within a word."""
    for line in textwrap.wrap(" ".join(text.split()), 78, initial_indent=begin, subsequent_indent="  "):
        print(line)


def _look(law):
    """What is wrong with a property: a sentence, or None."""
    quiet = io.StringIO()  # what a student's function prints or warns of is not part of the check's answer
    try:
        with alarm(SECONDS), warnings.catch_warnings(), np.errstate(all="ignore"), \
                contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            return law()
    except Stopped as why:
        return str(why)
    except Late:
        return f"Yours did not end within {SECONDS:g} s."
    except (Exception, SystemExit) as error:
        return f"Yours stops with {type(error).__name__}: {said(str(error)) if len(str(error)) > 160 else error}"


def call(f: Callable, *arguments: Any, shape: tuple | None = None, what: str = "Your function") -> Any:
    """What a student's function gives for copies of the arguments: anything, or with a shape an array of finite numbers.

    Raises `Stopped` with a sentence where it raises, changes an array that it was given, or gives something else.
    """
    if not callable(f):
        raise Stopped(f"{what} should be a function; it is {said(f)}.")
    copies = [one.copy() if isinstance(one, np.ndarray) else copy.copy(one) for one in arguments]
    try:
        answer = f(*copies)
    except Stopped:
        raise
    except (Exception, SystemExit) as error:
        raise Stopped(f"{what} stops with {type(error).__name__}: {error}") from error
    for before, after in zip(arguments, copies):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
            raise Stopped(f"{what} changes the array that it is given; work on a copy, x.copy().")
    if answer is None and shape is not None:
        raise Stopped(f"{what} returns None; is there a return?")
    return answer if shape is None else given(answer, shape, f"What {what[0].lower()}{what[1:]} returns")


def given(answer: Any, shape: tuple, what: str = "Your answer") -> np.ndarray:
    """An array of finite numbers of a shape, () for one number. Raises `Stopped` with a sentence for anything else."""
    try:
        array = np.asarray(answer, dtype=None if answer is None else float) + 0.0  # None is no number
    except (TypeError, ValueError):
        raise Stopped(f"{what} is {said(answer)}; {f'numbers of shape {shape} are' if shape else 'a number is'} needed.") from None
    if array.shape != shape:
        raise Stopped(f"{what} has shape {array.shape}; {shape or 'a number'} is needed.")
    if not np.isfinite(array).all():
        raise Stopped(f"{what} is not finite everywhere (nan or inf).")
    return array


@contextlib.contextmanager
def alarm(limit: float) -> Iterator[None]:
    """Raise `Late` in a block that takes longer than so many s, where the system has such an alarm."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_):
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _out_of_order(functions):
    """While a block runs, the functions raise `Stopped`, whatever name they were given: it is their code that is exchanged."""
    def refuse(*_, **__):
        raise "the exception"  # type: ignore[misc]  # noqa: B016

    kept = []
    for one in functions:
        plain = inspect.unwrap(one.__init__ if inspect.isclass(one) else one)  # type: ignore[misc]
        kept.append((plain, plain.__code__))
        owner = "the package" if one.__module__.startswith(__package__.partition(".")[0]) else one.__module__.partition(".")[0]
        stopped = Stopped(f"{one.__qualname__} is {owner}'s own, and out of order while this check runs: write it yourself.")
        # the exception is a constant of the code, which knows no name outside of itself
        plain.__code__ = refuse.__code__.replace(co_consts=tuple(
            stopped if const == "the exception" else const for const in refuse.__code__.co_consts))
    try:
        yield
    finally:
        for plain, code in kept:
            plain.__code__ = code


def _not_numpys_own():
    """The name of a function of numpy that something else has been put in the place of since the package was imported, or None."""
    return next((name for name, (module, own) in NUMPY.items() if getattr(module, name.rpartition(".")[2], None) is not own), None)
