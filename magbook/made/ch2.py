"""Chapter 2: what it draws of the paper's data set."""

import numpy as np

from .. import applied, dataset, metrics
from .._progress import bar
from .common import command, write_npz


@command(reads=["set/paper"], seed=applied.SEED, writes={
    "paper_summary.npz": "fields, film averages and twists of the 200 trajectories of the paper's data set"})
def summary() -> None:
    """Compute film averages and twists of the paper's data set from its states."""
    data = dataset.load("paper")
    runs = [dataset.trajectory(data, i) for i in bar(range(data.sizes["run"]), unit="field")]
    write_npz("paper_summary.npz", t=data["t"].values, field=data["field"].values,
              mean=np.array([run.mean for run in runs], np.float32),
              twist=np.array([metrics.twist(run.m) for run in runs], np.float32))
