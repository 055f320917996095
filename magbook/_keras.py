"""Keras, started quietly: TensorFlow greets whoever imports it with lines that no setting of its own turns off."""

import contextlib
import logging
import os
import sys
from typing import Any


@contextlib.contextmanager
def _silence():
    """What is written to the terminal's error stream meanwhile is lost; exceptions are not written there."""
    sys.stderr.flush()
    stream, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stream, 2)
        os.close(stream)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
with _silence():
    try:
        import keras
    except ImportError as error:
        raise ImportError(f"the networks need Keras and one of TensorFlow, JAX or PyTorch ({error}); the solver works without. "
                          "`pip install tensorflow`, or set KERAS_BACKEND to jax or torch") from error
    from keras import layers, ops

    keras.config.set_image_data_format("channels_last")  # what the networks and their files mean, whatever the user's settings

    ops.zeros(1)  # it looks for a GPU now, and says what it found

# Each network is traced when it is first used, as it must be; of five in a row TensorFlow thinks that one is traced again
logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())

@keras.saving.register_keras_serializable("magbook")
def gelu(x: Any) -> Any:
    """The Gaussian error linear unit, by its formula with tanh: the exact one has no counterpart in ONNX.

    D. Hendrycks and K. Gimpel, arXiv:1606.08415 (2016).
    """
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable("magbook")
def sine(x: Any) -> Any:
    """sin(x), for a first layer that sees fine detail in its few inputs. M. Tancik et al., arXiv:2006.10739 (2020)."""
    return ops.sin(x)


@keras.saving.register_keras_serializable("magbook")
class Conv2DTranspose(layers.Conv2DTranspose):
    """Keras's transposed convolution, as a product of matrices where the strides are as long as the kernel: patches that do not overlap.

    TensorFlow takes ten times as long for the first of the paper's, of four cells and 512 channels.
    """

    def call(self, x: Any) -> Any:
        """Cells (n, a ny, b nx, filters) of cells (n, ny, nx, channels), where the kernel is of a x b."""
        (a, b), (ny, nx, channels), n = self.kernel_size, x.shape[1:], self.filters
        if self.strides != (a, b):
            return super().call(x)
        patches = ops.matmul(x, ops.reshape(ops.transpose(self.kernel, (3, 0, 1, 2)), (channels, a * b * n)))
        patches = ops.transpose(ops.reshape(patches, (-1, ny, nx, a, b * n)), (0, 1, 3, 2, 4))
        return self.activation(ops.reshape(patches, (-1, a * ny, b * nx, n)) + self.bias)


__all__ = ["Conv2DTranspose", "gelu", "keras", "layers", "ops", "sine"]
