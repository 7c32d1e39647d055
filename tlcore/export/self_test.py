"""Asks each file of this folder about the pictures in `examples`: it must be the file that was certified.

Run it with `python self_test.py`. Formats whose program is not installed are left out; the table says what to install.
Each file is compared with what it answered itself when it was certified. How near that is to the original, and what its
certificate warns of, is said below it. It ends with code 1 if a file answers otherwise, or if none could be tried.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent

Ask = Callable[[Any], Any]
"""Takes one picture, uint8 of shape `(height, width, 3)`; returns the probabilities."""


def open_keras(path: Path) -> Ask:
    """Load a `.keras` file; it needs `pip install keras tensorflow`."""
    import keras

    model = keras.saving.load_model(path, compile=False)
    return lambda picture: np.asarray(model(picture[None].astype("float32"), training=False))[0]


def open_tensorflow(path: Path) -> Ask:
    """Load a SavedModel; it needs `pip install tensorflow`."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda picture: np.asarray(model.serve(tf.constant(picture[None], tf.float32)))[0]


def open_litert(path: Path) -> Ask:
    """Load a LiteRT file; it needs `pip install ai-edge-litert`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    before, after = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def ask(picture: Any) -> Any:
        interpreter.resize_tensor_input(before["index"], (1, *picture.shape))
        interpreter.allocate_tensors()
        interpreter.set_tensor(before["index"], picture[None].astype(before["dtype"]))
        interpreter.invoke()
        values = interpreter.get_tensor(after["index"])[0].astype("float32")
        scale, zero = after["quantization"]  # of answers in whole numbers; otherwise 0
        return (values - zero) * scale if scale else values

    return ask


def open_onnx(path: Path) -> Ask:
    """Load an ONNX file; it needs `pip install onnxruntime`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: session.run(None, {name: picture[None].astype("float32")})[0][0]


OPENERS = {"keras": open_keras, "tensorflow": open_tensorflow, "litert": open_litert, "onnx": open_onnx}
PACKAGES = {
    "keras": "keras tensorflow",
    "tensorflow": "tensorflow",
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
}


def as_seen(picture: Any, model: Any) -> Any:
    """Return the square picture that the model sees; it needs `pip install opencv-python-headless`."""
    from pixels import square

    return square(picture, model["image_size"], model["resize_mode"])


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder over the names and the contents of its files, in the order of names."""
    if path.is_file():
        with path.open("rb") as file:
            whole = hashlib.sha256()
            while block := file.read(1 << 20):
                whole.update(block)
        return whole.hexdigest()
    whole = hashlib.sha256()
    for name in sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()):
        whole.update(f"{name}\0{hash_of(path / name)}\n".encode())
    return whole.hexdigest()


def distance(answers: Any, others: Any) -> float:
    """Return how far the answers are from others, at most."""
    return float(np.abs(np.array(answers) - np.array(others)).max())


def try_format(one: Any, pictures: list[Any], model: Any) -> tuple[bool | None, list[str]]:
    """Return whether a file is and answers as when it was certified (`None`: not tried), and the lines for it."""
    path = FOLDER / one["file"]
    if one["sha256"] and path.exists() and hash_of(path) != one["sha256"]:
        return False, ["FAILED: it is not the file that was certified (its SHA-256 is another one)"]
    answers = []
    try:
        ask = OPENERS[one["runtime"]](path)
        for expected in pictures:
            with Image.open(FOLDER / "examples" / expected["file"]) as image:
                picture = np.array(image.convert("RGB"))
            answers.append(np.asarray(ask(picture if one["takes_any_size"] else as_seen(picture, model))))
        largest = distance(answers, one["answers"])
        original = [expected["probabilities"] for expected in pictures]
        away = distance(answers, original)
    except ImportError:
        needed = PACKAGES[one["runtime"]] + ("" if one["takes_any_size"] else " opencv-python-headless")
        return None, [f"not tried: pip install {needed}"]
    except Exception as error:  # noqa: BLE001, whatever a program says of a damaged file
        return False, [f"FAILED: it cannot be loaded or asked ({type(error).__name__}: {str(error)[:100]})"]
    good = largest <= one["tolerance"]  # false for an answer that is no number, too
    same = sum(int(np.argmax(said) == np.argmax(meant)) for said, meant in zip(answers, original))  # noqa: B905
    lines = [
        f"{'as certified' if good else 'FAILED'}: differs by {largest:.4f}, allowed {one['tolerance']:.4f}",
        f"from the original: {away:.4f} at most; the same answer to {same} of {len(pictures)} pictures here, "
        f"to {one['agreed']} of {one['total']} in the certificate",
    ]
    return good, lines + ([f"WARNING: {one['warning']}"] if one["warning"] else [])


def main() -> int:
    """Print the table; return the code with which to end."""
    model = json.loads((FOLDER / "model.json").read_text("utf-8"))
    expected = json.loads((FOLDER / "examples" / "expected.json").read_text("utf-8"))
    results = []
    for one in expected["formats"]:
        good, lines = try_format(one, expected["pictures"], model)
        results.append(good)
        for number, line in enumerate(lines):
            # Class names in it may have letters that a terminal does not know.
            print(f"{'' if number else one['file']:24} {line}".encode("ascii", "backslashreplace").decode())
    if False in results:
        print("A file is not as it was certified. Unpack the ZIP again, or make the export again.")
    elif True not in results:
        print("No file could be tried. Install what one of them needs, then run this again.")
    else:
        tried = sum(good is not None for good in results)
        print(f"{tried} of {len(results)} files were tried, and all of these answer as when they were certified.")
    return 0 if True in results and False not in results else 1


if __name__ == "__main__":
    sys.exit(main())
