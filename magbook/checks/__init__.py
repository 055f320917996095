"""Checks that know physics, one for each assignment of `book/assignments`.

`checks.exchange(f)` calls what a student wrote on films and states that are drawn, and prints a line with a tick or a cross
for each law that must hold, whatever the code looks like. It returns points. Students call it with seed 0, a course with a
seed of its own (`python -m magbook course`).
"""

from .drawn import damping, field_of, film_of, loudest, ringing, stiffening, turns
from .fields import anisotropy, coupling, decay, exchange, stray, wall
from .judging import Suspect, measures, named, own_run, suspect, verdict
from .learning import autoencoder, descent, latent_numbers, look_ahead, loss_gradient, predictor, rollout, vector_loss
from .moment import critical, switching, torque
from .stepping import integrate, precession, step

__all__ = [
    "Suspect", "anisotropy", "autoencoder", "coupling", "critical", "damping", "decay", "descent", "exchange", "field_of", "film_of",
    "integrate", "latent_numbers", "look_ahead", "loss_gradient", "loudest", "measures", "named", "own_run", "precession", "predictor",
    "ringing", "rollout", "step", "stiffening", "stray", "suspect", "switching", "torque", "turns", "vector_loss", "verdict", "wall"]
