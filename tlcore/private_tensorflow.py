"""Every use of private parts of TensorFlow, seen to work with TensorFlow 2.21.

| what | why | how it is seen to work |
|---|---|---|
| `convert_variables_to_constants_v2` | Keras 3 keeps variables where the LiteRT converter does not look | `folded` |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def folded(function: Callable[[tf.Tensor], tf.Tensor], signature: tf.TensorSpec) -> Callable[..., Sequence[tf.Tensor]]:
    """Return a function as one graph with its variables as constants, which TensorFlow can compute with ahead.

    Raises:
        RuntimeError: If variables are left: a file made of it would come out without its weights.
    """
    concrete = tf.function(function, input_signature=[signature]).get_concrete_function()
    graph = convert_variables_to_constants_v2(concrete)
    if any("ReadVariableOp" in node.op for node in graph.graph.as_graph_def().node):
        raise RuntimeError("This TensorFlow folds variables otherwise than 2.21; see tlcore/private_tensorflow.py.")
    result: Callable[..., Sequence[tf.Tensor]] = graph
    return result
