"""Private parts of Keras: what they bring, and that a Keras that takes another way is noticed."""

import random
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

from tlcore.jobs.processes import ROOT_DIR
from tlcore.private_keras import fixed_draws, run_through

PROGRAM = """
import sys
from tlcore.private_keras import leave_out_of_keras, lost_effects
leave_out_of_keras()
leave_out_of_keras()
import keras
print(lost_effects())
print([name for name in ("pandas", "sklearn", "scipy.stats") if name in sys.modules])
import numpy, pandas, sklearn.linear_model
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
print(pandas.DataFrame({"a": [1]}).shape, model.predict(numpy.zeros((3, 2)), verbose=0).shape)
print(len(lost_effects()))  # as if Keras had imported it
"""


def test_keras_is_imported_without_them_and_others_get_them() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "(1, 1) (3, 1)", "1"]


def test_a_keras_that_draws_its_first_weights_otherwise_is_noticed() -> None:
    random.seed(1)
    drawn = random.random()
    random.seed(1)
    with pytest.raises(RuntimeError, match="draws its first weights otherwise"), fixed_draws(2):
        pass  # nothing asks Python's `random`
    assert random.random() == drawn


def test_two_threads_that_draw_first_weights_take_turns() -> None:
    """A feature pass with random weights may build its own copy of the network while the run builds another."""
    with fixed_draws(3):
        alone = [random.random(), random.random()]
    began, drawn = threading.Event(), []

    def draw() -> None:
        with fixed_draws(3):
            began.set()
            drawn.extend([random.random(), random.random()])

    other = threading.Thread(target=draw)
    with fixed_draws(3):
        first = random.random()
        other.start()
        assert not began.wait(0.2)
        assert [first, random.random()] == alone
    other.join()
    assert drawn == alone


def test_a_keras_that_leaves_out_an_operation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = keras.Input((2,))
    model = keras.Model(pixels, keras.layers.ReLU()(keras.layers.Dense(1)(pixels)))
    called = []

    def call(operation: keras.Operation, *args: object, **kwargs: object) -> object:
        called.append(operation.name)
        return operation(*args, **kwargs)

    run_through(model, np.zeros((1, 2), np.float32), call)
    assert called == [layer.name for layer in model.layers[1:]]
    monkeypatch.setattr(type(model), "_run_through_graph", lambda *_args, **_options: None)
    with pytest.raises(RuntimeError, match="goes through networks otherwise"):
        run_through(model, np.zeros((1, 2), np.float32), call)
