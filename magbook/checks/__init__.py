"""Checks that know physics, one for each assignment of `book/assignments`.

`checks.exchange(f)` calls what a student wrote on films and states that are drawn, and prints a line with a tick or a cross
for each law that must hold, whatever the code looks like. It returns points. Students call it with seed 0, a course with a
seed of its own (`python -m magbook course`).
"""

from .drawn import damping, field_of, film_of, loudest, ringing, stiffening, turns
from .fields import anisotropy, coupling, decay, exchange, stray, wall
from .moment import critical, switching, torque
from .stepping import integrate, precession, step

__all__ = [
    "anisotropy", "coupling", "critical", "damping", "decay", "exchange", "field_of", "film_of", "integrate", "loudest", "precession",
    "ringing", "step", "stiffening", "stray", "switching", "torque", "turns", "wall"]
