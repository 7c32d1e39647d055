"""Keras without what it need not import, while everybody else may."""

import subprocess
import sys

from tlcore.jobs.processes import ROOT_DIR

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
