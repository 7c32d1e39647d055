"""Short programs that ask an exported model about a picture, in several languages."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tlcore.export.formats import FORMATS, FormatSpec
from tlcore.export.source import ExportSource
from tlcore.export.web import SETTINGS_FILE, grey_words, page_format
from tlcore.results.prediction_code import LABELS_FILE, PIXELS_FILE
from tlcore.storage.requests import ExportResult, FormatName, FormatReport

Language = Literal["python", "kotlin", "swift", "javascript"]

COMMENT_WIDTH = 110

_PIXELS = PIXELS_FILE.removesuffix(".py")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program.

    Attributes:
        title: What it is for, in words.
        language: What it is written in.
        code: The program.
    """

    title: str
    language: Language
    code: str


def snippets_for(source: ExportSource, result: ExportResult) -> tuple[Snippet, ...]:
    """Return the programs for the formats that were made.

    Those in Python run in the folder of the bundle, beside a picture `picture.jpg`.

    Args:
        source: What leaves.
        result: What was made of it.
    """
    made = {report.format: report for report in result.reports if report.is_made}
    threshold = source.settings.threshold
    found: list[Snippet] = []

    def add(name: FormatName, title: str, language: Language, code: str) -> None:
        notes = [_warning(made[name])]
        if language != "python":  # those in Python read deeper pictures as the app does
            notes.append(grey_words(source))
        found.append(Snippet(title, language, _comment(notes, language) + code))

    if "keras" in made:
        add("keras", "Python with Keras", "python", _python_keras(source, threshold))
    if "savedmodel" in made:
        add("savedmodel", "Python with TensorFlow", "python", _python_tensorflow(source, threshold))
    for name, spec in FORMATS.items():
        if spec.runtime == "litert" and name in made:
            add(name, f"Python with {spec.title}", "python", _python_litert(source, spec, threshold))
    if "onnx" in made:
        add("onnx", "Python with ONNX Runtime", "python", _python_onnx(source, threshold))
    any_size = page_format(result)
    if any_size is not None:
        file = FORMATS[any_size].file
        add(any_size, "Android (Kotlin)", "kotlin", _kotlin(file, threshold))
        add(any_size, "iOS (Swift)", "swift", _swift(file, threshold))
        add(any_size, "JavaScript in a browser", "javascript", _javascript_browser())
    if "onnx" in made:
        add("onnx", "JavaScript with ONNX Runtime (Node.js)", "javascript", _javascript_node(threshold))
    return tuple(found)


def _warning(report: FormatReport) -> str:
    """Return that a file failed its certificate; without its own warning, which may have typed names in it."""
    if not report.warning:
        return ""
    asked = f" (the same answer as the original for {report.agreed:,} of {report.total:,})" if report.total else ""
    return f"WARNING: {FORMATS[report.format].file} failed its certificate{asked}. README.txt says how."


def _comment(notes: Sequence[str], language: Language) -> str:
    mark = "# " if language == "python" else "// "
    lines = (line for note in notes for line in textwrap.wrap(note, COMMENT_WIDTH))
    return "".join(f"{mark}{line}\n" for line in lines)


def _picture(source: ExportSource, spec: FormatSpec) -> str:
    """Return the lines that read `picture.jpg` as the app does, upright and in RGB."""
    grey_range = source.dataset.grey_range
    if spec.takes_any_size:
        arguments = "image" if grey_range is None else f"image, {grey_range}"
        return f"""\
with open_picture("picture.jpg") as image:
    picture = np.array(upright_rgb({arguments}))  # values from 0 to 255
"""
    part = source.parts[0].spec
    side, mode = part.prefix.image_size, part.resize_mode
    arguments = f'"picture.jpg", {side}, "{mode}"' + ("" if grey_range is None else f", grey_range={grey_range}")
    return f"picture = read_square({arguments})  # values from 0 to 255\n"


def _python_imports(spec: FormatSpec) -> str:
    names = "open_picture, upright_rgb" if spec.takes_any_size else "read_square"
    return f"from {_PIXELS} import {names}"


def _python_answer(threshold: float) -> str:
    names = f'class_names = open("{LABELS_FILE}", encoding="utf-8").read().splitlines()\n'
    if threshold:
        names += f'if probabilities.max() < {threshold:g}:\n    print("I don\'t know")\n'
    return f"""\
{names}for name, probability in sorted(zip(class_names, probabilities), key=lambda pair: -pair[1]):
    print(f"{{probability:6.1%}} {{name}}")
"""


def _python_keras(source: ExportSource, threshold: float) -> str:
    spec = FORMATS["keras"]
    return f"""\
import keras
import numpy as np
{_python_imports(spec)}

model = keras.saving.load_model("{spec.file}")
{_picture(source, spec)}
probabilities = model.predict(picture[None].astype("float32"), verbose=0)[0]
{_python_answer(threshold)}"""


def _python_tensorflow(source: ExportSource, threshold: float) -> str:
    spec = FORMATS["savedmodel"]
    return f"""\
import numpy as np
import tensorflow as tf
{_python_imports(spec)}

model = tf.saved_model.load("{spec.file.rstrip("/")}")
{_picture(source, spec)}
probabilities = model.serve(picture[None].astype("float32")).numpy()[0]
{_python_answer(threshold)}"""


def _python_litert(source: ExportSource, spec: FormatSpec, threshold: float) -> str:
    resizing = 'interpreter.resize_tensor_input(source["index"], (1, *picture.shape))\n' if spec.takes_any_size else ""
    numpy = "import numpy as np\n" if spec.takes_any_size else ""
    read = 'interpreter.get_tensor(answer["index"])[0]'
    reading = f"probabilities = {read}\n"
    if spec.is_calibrated:
        reading = f"""\
scale, zero = answer["quantization"]
probabilities = scale * ({read}.astype("float32") - zero)
"""
    return f"""\
{numpy}from ai_edge_litert.interpreter import Interpreter
{_python_imports(spec)}

interpreter = Interpreter("{spec.file}")
source, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
{_picture(source, spec)}
{resizing}interpreter.allocate_tensors()
interpreter.set_tensor(source["index"], picture[None].astype("{spec.dtype}"))
interpreter.invoke()
{reading}{_python_answer(threshold)}"""


def _python_onnx(source: ExportSource, threshold: float) -> str:
    spec = FORMATS["onnx"]
    return f"""\
import numpy as np
import onnxruntime
{_python_imports(spec)}

session = onnxruntime.InferenceSession("{spec.file}")
{_picture(source, spec)}
name = session.get_inputs()[0].name
probabilities = session.run(None, {{name: picture[None].astype("float32")}})[0][0]
{_python_answer(threshold)}"""


def _kotlin(file: str, threshold: float) -> str:
    answer = "labels[best]"
    if threshold:
        answer = f'if (probabilities[best] < {threshold:g}f) "I don\'t know" else {answer}'
    return f"""// build.gradle: implementation("com.google.ai.edge.litert:litert:1.4.1")
// Put {file} and {LABELS_FILE} into src/main/assets. The bitmap must be upright, and not much larger than 512 pixels.
import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

fun classify(context: Context, bitmap: Bitmap): String {{
    val bytes = context.assets.open("{file}").use {{ it.readBytes() }}
    val model = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes)
    val labels = context.assets.open("{LABELS_FILE}").bufferedReader().use {{ it.readLines() }}
    val pixels = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    val picture = ByteBuffer.allocateDirect(4 * 3 * pixels.size).order(ByteOrder.nativeOrder())
    for (pixel in pixels) for (shift in intArrayOf(16, 8, 0)) picture.putFloat((pixel shr shift and 255).toFloat())
    model.rewind()
    picture.rewind()
    val answers = arrayOf(FloatArray(labels.size))
    Interpreter(model).use {{
        it.resizeInput(0, intArrayOf(1, bitmap.height, bitmap.width, 3))
        it.run(picture, answers)
    }}
    val probabilities = answers[0]
    val best = probabilities.indices.maxByOrNull {{ probabilities[it] }}!!
    return {answer}
}}
"""


def _swift(file: str, threshold: float) -> str:
    answer = "labels[best]"
    if threshold:
        answer = f'probabilities[best] < {threshold:g} ? "I don\'t know" : {answer}'
    name = file.removesuffix(".tflite")
    return f"""// Podfile: pod "TensorFlowLiteSwift". Add {file} and {LABELS_FILE} to the app.
// rgb: the picture upright, row by row, red, green and blue of each pixel; not much larger than 512 pixels.
import Foundation
import TensorFlowLite

func classify(rgb: [UInt8], height: Int, width: Int) throws -> String {{
    let file = Bundle.main.path(forResource: "{name}", ofType: "tflite")!
    let names = Bundle.main.path(forResource: "{LABELS_FILE.removesuffix(".txt")}", ofType: "txt")!
    let labels = try String(contentsOfFile: names, encoding: .utf8).split(separator: "\\n").map(String.init)
    let interpreter = try Interpreter(modelPath: file)
    try interpreter.resizeInput(at: 0, to: [1, height, width, 3])
    try interpreter.allocateTensors()
    let values = rgb.map(Float32.init)
    try interpreter.copy(values.withUnsafeBufferPointer {{ Data(buffer: $0) }}, toInputAt: 0)
    try interpreter.invoke()
    let probabilities = try interpreter.output(at: 0).data.withUnsafeBytes {{ Array($0.bindMemory(to: Float32.self)) }}
    let best = probabilities.indices.max {{ probabilities[$0] < probabilities[$1] }}!
    return {answer}
}}
"""


def _javascript_browser() -> str:
    return f"""// In a page of the folder web, after `npm install` there; index.html shows the import map that it needs.
import {{ openClassifier }} from "./classifier.js";

const classifier = await openClassifier("{SETTINGS_FILE}");
const picture = document.querySelector("img"); // or a video, or a canvas
await picture.decode();
const probabilities = await classifier.ask(picture);
const best = probabilities.indexOf(Math.max(...probabilities));
console.log(probabilities[best] < classifier.threshold ? "I don't know" : classifier.classes[best]);
"""


def _javascript_node(threshold: float) -> str:
    answer = "labels[best]"
    if threshold:
        answer = f'probabilities[best] < {threshold:g} ? "I don\'t know" : {answer}'
    return f"""// npm install onnxruntime-node sharp
import {{ readFileSync }} from "node:fs";
import * as ort from "onnxruntime-node";
import sharp from "sharp";

const labels = readFileSync("{LABELS_FILE}", "utf8").split("\\n");
const session = await ort.InferenceSession.create("{FORMATS["onnx"].file}");
const upright = sharp("picture.jpg").rotate().flatten({{ background: "white" }}).toColourspace("srgb");
const small = upright.resize(512, 512, {{ fit: "inside", withoutEnlargement: true }});
const {{ data, info }} = await small.raw().toBuffer({{ resolveWithObject: true }});
const picture = new ort.Tensor("float32", Float32Array.from(data), [1, info.height, info.width, 3]);
const answers = await session.run({{ [session.inputNames[0]]: picture }});
const probabilities = answers[session.outputNames[0]].data;
const best = probabilities.indexOf(Math.max(...probabilities));
console.log({answer});
"""
