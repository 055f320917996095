"""States from the decoder of `autoencoder.build`, twice as fast as Keras has them: what is worked on stays in the processor's cache.

A convolution whose stride is its kernel's length gives each cell a patch of its own. It is a product of matrices, and the cells of a patch
may stay together, in the place of the cell that they come from: nothing is moved between the layers. The last layer's patches overlap, and
are added where they belong.
"""

from functools import lru_cache

import numpy as np

from . import autoencoder
from ._keras import keras, layers
from ._tanh import tangent
from .demag import compiled

AT_ONCE, TOGETHER = 16, 3
"""The first layers, so many, take so many states at once: theirs are few cells and large matrices, which are read once for all of them.
Those that follow take one state, whose many cells then stay in the cache."""

HALF, TWO = np.float32(0.5), np.float32(2)


def products(decoder: keras.Model) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """The layers of a decoder of `autoencoder.build` as matrices (channels, all numbers of a patch), each with a bias (all numbers of a patch,).

    None where a network has other layers, or weights that are not finite, of which compiled functions need not pass on a NaN.
    """
    (dense, reshape, between, last), kinds = _known(), _kinds(decoder)
    if type(decoder) is not keras.Sequential or kinds != [dense, reshape, *[between] * (len(kinds) - 3), last] or decoder.output_shape[-1] != 3:
        return None
    weights = decoder.get_weights()
    if not all(np.isfinite(one).all() for one in weights):
        return None
    matrices = [weights[0], *(kernel.reshape(-1, kernel.shape[-1]).T for kernel in weights[2::2])]
    return [(matrix, np.tile(bias, matrix.shape[1] // len(bias))) for matrix, bias in zip(matrices, weights[1::2])]


def decode(products: list[tuple[np.ndarray, np.ndarray]], c: np.ndarray, ny: int, nx: int) -> np.ndarray:
    """States (n, ny, nx, 3) of latent states (n, latent) in single precision, by the `products` of a decoder of such states."""
    *products, (last, shift) = products
    half = 2 ** len(products)
    y, x = (place.ravel() for place in np.indices((ny // half, nx // half)))
    for _ in products[1:]:  # four cells in the place of one
        y, x = np.add.outer(2 * y, [0, 0, 1, 1]).ravel(), np.add.outer(2 * x, [0, 1, 0, 1]).ravel()
    states, shift = np.empty((len(c), ny, 3 * nx), np.float32), np.tile(shift[:3], nx)
    for i in range(0, len(c), AT_ONCE):
        some = c[i:i + AT_ONCE]
        for k, cells in enumerate(_through(products[:TOGETHER], some).reshape(len(some), -1), i):
            cells = _through(products[TOGETHER:], cells).reshape(-1, len(last))
            _overlap((cells @ last).reshape(-1, 4, 12), y, x, shift, states[k])
    return states.reshape(-1, ny, nx, 3)


def _through(products, cells):
    """What cells are after some layers; cells of a patch follow each other."""
    for matrix, bias in products:
        cells = cells.reshape(-1, len(matrix)) @ matrix
        _elu(cells, bias)
    return cells


def _kinds(network):
    """What the layers of a network do, whatever their sizes and weights; nothing is dropped out but in training."""
    names = ("activation", "use_bias", "kernel_size", "strides", "padding", "output_padding", "dilation_rate")
    return [(type(layer), layer.dtype_policy.name, *(getattr(layer, name, None) for name in names))
            for layer in network.layers if type(layer) is not layers.Dropout]


@lru_cache(maxsize=1)
def _known():
    """The kinds of the layers in a small decoder: dense, reshape, one convolution, and the last."""
    return _kinds(autoencoder.build(1, (4, 4, 3), (1, 1))[1])


@compiled
def _elu(x, bias):
    """Add bias (n,) to numbers x (cells, n) and bend them, in place: exp(v) - 1 below zero, by the tangent of v / 2."""
    for i in range(len(x)):
        for j in range(len(bias)):
            v = x[i, j] + bias[j]
            above, below = tangent(HALF * v)
            x[i, j] = v if v > 0 else TWO * above / (below - above)


@compiled
def _overlap(patches, y, x, bias, state):
    """Fill a state (ny, 3 nx) with the tangent of what patches (cells, 4, 12), of four rows of four cells, add up to. y, x: (cells,)."""
    ny, nx = state.shape
    total = np.zeros((ny + 2, nx + 6), np.float32)  # with a frame, on which the outer patches lie
    for cell in range(len(y)):
        for i in range(4):
            row = total[2 * y[cell] + i, 6 * x[cell]:6 * x[cell] + 12]
            for j in range(12):
                row[j] += patches[cell, i, j]
    for i in range(ny):
        for j in range(nx):
            above, below = tangent(total[i + 1, j + 3] + bias[j])
            state[i, j] = above / below
