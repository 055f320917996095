"""What all checks share: they call what a student wrote, say in words of physics what holds, and return points.

A check is a function of the answer, of points and of a seed. It draws cases with `generator(seed)`, calls the student's function
on them through `call`, or takes an array through `given`, and hands its laws to `grade`.
"""

import contextlib
import copy
import inspect
import io
import signal
import sys
import textwrap
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import numpy as np

from .._arguments import check_counts, number, said
from .._numpy import NUMPY
from ..film import MU0

CHECK, BALLOT = "\N{CHECK MARK}", "\N{BALLOT X}"

SECONDS, PATIENCE = 12.0, 2
"""What one property may take: so many s of computing, and so many times as long by the clock. On a server that others use too,
a right answer waits."""
_LATE = "Yours did not end within"


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
    meanwhile, under whatever name and as whatever copy; as a text, "stepper.Stepper.rollout", where their module takes seconds to
    import. needs: so many laws, the first, must hold before the others are looked at, so that nothing, such as a field of zeros,
    satisfies a symmetry. After one that takes too long the others are not looked at either.
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
        if wrong and (k < needs or wrong.startswith(_LATE)):
            held = 0 if k < needs else held
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
        return f"{_LATE} {SECONDS:g} s."
    except (Exception, SystemExit) as error:
        return f"Yours stops with {type(error).__name__}: {said(str(error)) if len(str(error)) > 160 else error}"


def tesla(times: float) -> str:
    """What to add where an answer is so many times too large: a sentence if that is mu0 or one over it, else nothing."""
    return " That is mu0, which stands between T and A/m." if np.any(np.abs(times * np.array([MU0, 1 / MU0]) - 1) < 0.02) else ""


def call(f: Callable, *arguments: Any, shape: tuple | None = None, what: str = "Your function") -> Any:
    """What a student's function gives for copies of the arguments: anything, or with a shape an array of finite numbers.

    Raises `Stopped` with a sentence where it raises, changes an array that it was given, or gives something else.
    """
    if not callable(f):
        raise Stopped(f"{what} should be a function; it is {said(f)}.")
    copies = [one.copy() if isinstance(one, np.ndarray) else copy.copy(one) for one in arguments]
    _refuse_copies(f)
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
    """Raise `Late` in a block that computes longer than so many s, or takes `PATIENCE` times as long, where the system has such an alarm."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    computed, began = time.process_time(), time.monotonic()

    def late(*_):
        left = limit - (time.process_time() - computed)
        if left <= 0 or time.monotonic() - began >= PATIENCE * limit:
            raise Late
        signal.setitimer(signal.ITIMER_REAL, max(left, limit / 100))

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_PACKAGE = __package__.partition(".")[0]


def ours(f: Callable) -> Callable:
    """A decorator of functions that know an answer: they serve the checks alone, and raise `Stopped` for whoever else calls them."""
    def serve(*arguments):
        if not sys._getframe(1).f_globals.get("__name__", "").startswith(__package__):
            raise Stopped(f"{f.__name__} is what the check compares yours with, and out of order for all others: write it yourself.")
        return f(*arguments)

    return serve


class _Closed(types.ModuleType):
    """Stands in for a module while it can't be imported."""

    def __getattr__(self, name):
        if name.startswith("__"):  # whoever looks through sys.modules asks for those
            raise AttributeError(name)
        raise _stopped(f"{self.__name__.partition('.')[2]}.{name}", self.__name__)


def _stopped(name, module):
    owner = "the package" if module.startswith(_PACKAGE) else module.partition(".")[0]
    return Stopped(f"{name} is {owner}'s own, and out of order while this check runs: write it yourself.")


def _likeness(code):
    """What a copy of some code has in common with it, be it under another name and as if from another file."""
    return code.co_code, code.co_firstlineno, code.co_linetable


_REFUSED: dict = {}  # what is out of order now: {likeness: the exception that says so}
_LOOKED_AT: list = []  # functions that are no copies of it


def _refuse_copies(f):
    """Raise `Stopped` where a function is, or gets by name at, a copy of one that is out of order."""
    if not _REFUSED or any(one is f for one in _LOOKED_AT):
        return
    todo, seen = [f], set()
    while todo and len(seen) < 1000:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one = one.func if isinstance(one, partial) else getattr(one, "__func__", one)
        code = one if isinstance(one, types.CodeType) else getattr(one, "__code__", None)
        if isinstance(code, types.CodeType):
            if _likeness(code) in _REFUSED:
                raise _REFUSED[_likeness(code)]
            todo += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        if isinstance(one, types.FunctionType):
            inner = [code, *(const for const in code.co_consts if isinstance(const, types.CodeType))]
            todo += [one.__globals__[name] for part in inner for name in part.co_names if name in one.__globals__]
            todo += [cell.cell_contents for cell in one.__closure__ or () if cell != types.CellType()] + list(one.__defaults__ or ())
        elif isinstance(one, (list, tuple, set, dict)) and len(one) < 100:
            todo += one.values() if isinstance(one, dict) else one
        elif hasattr(one, "__dict__") and not isinstance(one, types.ModuleType):  # a class, or an object of one
            todo += [*vars(one).values(), *([] if isinstance(one, type) else [type(one)])]
    _LOOKED_AT.append(f)


@contextlib.contextmanager
def _out_of_order(functions):
    """While a block runs, the functions raise `Stopped`, whatever name they were given: it is their code that is exchanged, and that of copies.

    Of a function that is named by a text the whole module is closed where nobody has imported it yet, which takes no time.
    """
    def refuse(*_, **__):
        raise "the exception"  # type: ignore[misc]  # noqa: B016

    closed, kept = [], []
    for one in functions:
        if isinstance(one, str):
            module, *rest = one.split(".")
            module = f"{_PACKAGE}.{module}"
            if isinstance(sys.modules.setdefault(module, _Closed(module)), _Closed):
                closed.append(module)
                continue
            one = reduce(getattr, rest, sys.modules[module])
        plain = inspect.unwrap(one.__init__ if inspect.isclass(one) else one)  # type: ignore[misc]
        kept.append((plain, plain.__code__))
        stopped = _REFUSED[_likeness(plain.__code__)] = _stopped(one.__qualname__, one.__module__)
        # the exception is a constant of the code, which knows no name outside of itself
        plain.__code__ = refuse.__code__.replace(co_consts=tuple(
            stopped if const == "the exception" else const for const in refuse.__code__.co_consts))
    try:
        yield
    finally:
        _REFUSED.clear()
        _LOOKED_AT.clear()
        for plain, code in kept:
            plain.__code__ = code
        for module in set(closed):
            del sys.modules[module]


def _not_numpys_own():
    """The name of a function of numpy that something else has been put in the place of since the package was imported, or None."""
    return next((name for name, (module, own) in NUMPY.items() if getattr(module, name.rpartition(".")[2], None) is not own), None)
