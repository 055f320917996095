"""Kill a data set and a training at random moments, again and again, and count what is lost: `python tests/kills.py [N M K]`.

N kills of `generate` (100), M of a training (20), and K times two of `generate` at once on one new folder (10). After each kill, what was complete must be complete and undamaged, and at the end
the result must be that of a run that nobody disturbed. It takes ten minutes or so and is no part of `make test`.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

GENERATE = """
from magbook import applied, dataset
from magbook.film import Film
if __name__ == "__main__":
    dataset.generate(sys.argv[1], applied.fan(400), Film((64e-9, 32e-9, 3e-9), (16, 8)), duration=1e-9, workers=2, progress=False)
"""
TRAIN = """
import test_training
if __name__ == "__main__":
    test_training.train(sys.argv[1], epochs=60)
"""


def disturbed(folder, text, kills, seconds, count):
    """Start a script until it ends by itself, killing it `kills` times; returns the number of things lost."""
    script, lost, there = folder.with_suffix(".py"), 0, 0
    script.write_text(f"import sys\nsys.path[:0] = {sys.path[:2]!r}\n{text}")
    for k in range(kills + 1):
        process = subprocess.Popen([sys.executable, script, folder], stderr=subprocess.DEVNULL)
        if k < kills:
            time.sleep(random.uniform(*seconds))
            process.send_signal(signal.SIGKILL)
        process.wait()
        now = count(folder)
        lost += max(0, there - now)
        there = max(there, now)
        print(f"\r{k} kills, {there} complete, {lost} lost", end="", flush=True)
    print()
    return lost


def two_at_once(place, rounds):
    """Start a script twice on one new folder, again and again; returns how often one died, none waited, or something is missing."""
    script, failed = place / "both.py", 0
    script.write_text(f"import sys\nsys.path[:0] = {sys.path[:2]!r}\n{GENERATE.replace('400', '12')}")
    for k in range(rounds):
        both = []
        for _ in range(2):
            both.append(subprocess.Popen([sys.executable, script, place / f"both-{k}"], stderr=subprocess.PIPE, text=True))
            time.sleep(random.uniform(0, 0.3))
        said = [process.communicate()[1] for process in both]
        one_waited = sum("another process is at work on" in one for one in said) == 1
        failed += any(process.returncode for process in both) or not one_waited or trajectories(place / f"both-{k}") != 12
        print(f"\r{k + 1} times two at once, {failed} failed", end="", flush=True)
    print()
    return failed


def trajectories(folder):
    from magbook import dataset

    try:
        state = dataset.check(folder)
    except FileNotFoundError:
        return 0
    assert not state["damaged"], state["damaged"]
    return len(state["complete"])


def epochs(folder):
    import json

    file = folder / "history.json"
    return len(json.loads(file.read_text())["history"]) if file.exists() else 0


if __name__ == "__main__":
    random.seed(0)
    n, m, k = [int(a) for a in sys.argv[1:]] or (100, 20, 10)
    with tempfile.TemporaryDirectory() as place:
        lost = disturbed(Path(place) / "set", GENERATE, n, (1.5, 4), trajectories)
        print(f"generate: {n} kills, {lost} trajectories lost")
        lost += disturbed(Path(place) / "training", TRAIN, m, (4, 9), epochs)
        import test_training

        model, _ = test_training.train(Path(place) / "undisturbed", epochs=60)
        with np.load(Path(place) / "training" / "best.npz") as z:
            same = all(np.allclose(a, b, rtol=1e-5) for a, b in zip(z.values(), model.get_weights()))
        failed = two_at_once(Path(place), k)
        print(f"training: {m} kills, {'the same' if same else 'other'} weights as undisturbed")
    sys.exit(lost > 0 or failed > 0 or not same)
