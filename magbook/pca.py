"""Principal components: the best linear way to squeeze states into a few numbers. Chapter 3 measures against it.

Also called proper orthogonal decomposition (POD). L. Sirovich, Q. Appl. Math. 45, 561 (1987).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import eigsh

from ._arguments import array, check_counts, instance, is_count, truth
from ._keras import keras, layers
from .dataset import as_float
from .files import arrays
from .film import unit as to_unit


@dataclass(eq=False)
class PCA:
    """A mean state (ny, nx, 3) and orthonormal components (k, ny, nx, 3), the one of the largest variance first.

    variance: of each component's coefficient (k,), as shares of the total.
    """

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray

    def encode(self, m: np.ndarray, k: int | None = None) -> np.ndarray:
        """The first k coefficients (..., k) of states (..., ny, nx, 3); all of them by default."""
        if k is not None:
            check_counts(k=k)
        m = array("m", m, "(..., ny, nx, 3)", ny=self.mean.shape[0], nx=self.mean.shape[1])
        return np.tensordot(as_float(m) - self.mean, self.components[:k], axes=([-3, -2, -1], [-3, -2, -1]))

    def decode(self, c: np.ndarray, unit: bool = False) -> np.ndarray:
        """States (..., ny, nx, 3) of coefficients (..., k). unit: scale the vectors to unit length."""
        c = array("c", c, "(..., k)").astype(np.float32)
        if c.shape[-1] > len(self.components):
            raise ValueError(f"c: got shape {c.shape}; at most {len(self.components)} coefficients are needed")
        m = np.tensordot(c, self.components[:c.shape[-1]], axes=1) + self.mean
        return to_unit(m) if truth("unit", unit) else m


def load() -> PCA:
    """The first 16 principal components of the paper's training states, which ship with the book."""
    return PCA(**{name: array.astype(np.float32) for name, array in arrays("paper_pca.npz").items()})


def fit(states: np.ndarray, k: int = 16) -> PCA:
    """The first k principal components of states (n, ny, nx, 3), as floats or as a data set stores them.

    Of few states by the method of snapshots: the eigenvectors of the n x n matrix of inner products, which is small beside
    the covariance of all cells. Of more states than cells by that covariance. Raises ValueError for a k that is not below n.
    """
    array("states", states, "(n, ny, nx, 3)", finite=True)
    if not (is_count(k) and k < len(states)):
        raise ValueError(f"k: got {k!r}; at least 1 and less than the number of states, {len(states)}, is needed")
    x = as_float(states).reshape(len(states), -1)
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    x = x - mean
    few = len(x) <= x.shape[1]
    inner = x @ x.T if few else x.T @ x
    start = np.random.default_rng(0).standard_normal(len(inner))  # else the signs of the components change from run to run
    values, vectors = eigsh(inner.astype(np.float64), k, v0=start)
    values, vectors = values[::-1], vectors[:, ::-1]
    components = (vectors / np.sqrt(values)).T.astype(np.float32) @ x if few else vectors.T.astype(np.float32)
    shape = np.shape(states)[1:]
    return PCA(mean.reshape(shape), components.reshape(k, *shape), values / np.trace(inner, dtype=np.float64))


def networks(basis: PCA, offset: np.ndarray) -> tuple[keras.Sequential, keras.Sequential]:
    """Encoder and decoder of a reduced order model from principal components, whose coefficients are shifted by an offset (k,)."""
    instance("basis", basis, PCA)
    offset = array("offset", offset, "(k,)", finite=True, k=len(basis.components))
    k, shape = len(basis.components), basis.mean.shape
    flat, mean = basis.components.reshape(k, -1), basis.mean.ravel()
    encoder = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(k)], name="encoder")
    decoder = keras.Sequential([keras.Input((k,)), layers.Dense(mean.size), layers.Reshape(shape)], name="decoder")
    encoder.layers[1].set_weights([flat.T, offset - flat @ mean])
    decoder.layers[0].set_weights([flat, mean - offset @ flat])
    return encoder, decoder
