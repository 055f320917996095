"""Keras, started quietly: TensorFlow greets whoever imports it with lines that no setting of its own turns off."""

import contextlib
import logging
import os
import sys


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
    import keras
    from keras import layers, ops

    ops.zeros(1)  # it looks for a GPU now, and says what it found

# Each network is traced when it is first used, as it must be; of five in a row TensorFlow thinks that one is traced again
logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())

__all__ = ["keras", "layers", "ops"]
