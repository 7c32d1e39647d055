// Asks a LiteRT model about pictures, in the browser.
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

const LONGEST_SIDE = 512; // The model learned from pictures that were made no larger than this.

/**
 * Loads a model.
 * @param {string} settingsUrl Where `settings.json` is: the model's file, its classes and its threshold.
 * @param {string} wasmUrl Where the folder `wasm` of `@litertjs/core` is.
 * @return {Promise<Classifier>}
 */
export async function openClassifier(settingsUrl = "settings.json", wasmUrl = "node_modules/@litertjs/core/wasm/") {
  const address = new URL(settingsUrl, document.baseURI);
  const settings = await (await fetched(address)).json();
  const [model] = await Promise.all([
    fetched(new URL(settings.model, address)).then((answer) => answer.arrayBuffer()),
    loadLiteRt(new URL(wasmUrl, document.baseURI).href),
  ]);
  return new Classifier(settings, new Uint8Array(model));
}

/** A model that can be asked about pictures, one after the other. */
class Classifier {
  constructor(settings, bytes) {
    this.title = settings.title;
    this.classes = settings.classes;
    this.threshold = settings.threshold;
    this.notes = settings.notes ?? [];
    this.bytes = bytes;
    this.size = "";
    this.last = Promise.resolve();
    this.canvas = document.createElement("canvas");
  }

  /**
   * Asks the model.
   * @param {CanvasImageSource} picture An image, a bitmap, or a video, whose present frame is taken.
   * @return {Promise<number[]>} The probabilities of the classes, in their order.
   */
  ask(picture) {
    const pixels = this.pixelsOf(picture);
    const answer = this.last.then(() => this.run(pixels));
    this.last = answer.catch(() => {}); // One picture that fails does not stop the next one.
    return answer;
  }

  /** Returns the pixels as the model takes them: red, green, blue, from 0 to 255. */
  pixelsOf(picture) {
    const fullWidth = picture.videoWidth || picture.naturalWidth || picture.width;
    const fullHeight = picture.videoHeight || picture.naturalHeight || picture.height;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(fullWidth, fullHeight));
    const width = Math.max(1, Math.round(fullWidth * scale));
    const height = Math.max(1, Math.round(fullHeight * scale));
    Object.assign(this.canvas, { width, height });
    const drawing = this.canvas.getContext("2d", { willReadFrequently: true });
    drawing.fillStyle = "white"; // What is transparent becomes white.
    drawing.fillRect(0, 0, width, height);
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(picture, 0, 0, width, height);
    const { data } = drawing.getImageData(0, 0, width, height);
    const values = new Float32Array(width * height * 3);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      values[to++] = data[from];
      values[to++] = data[from + 1];
      values[to++] = data[from + 2];
    }
    return { values, width, height };
  }

  async run({ values, width, height }) {
    const size = `${width}x${height}`;
    if (this.size !== size) {
      // The runtime cannot change the size of a picture later. Pictures of a camera all have the same one.
      this.model?.delete();
      this.model = undefined;
      this.size = "";
      this.model = await loadAndCompile(withPictureSize(this.bytes, height, width), { accelerator: "wasm" });
      this.size = size;
    }
    const input = new Tensor(values, [1, height, width, 3]);
    try {
      const outputs = await this.model.run(input);
      const probabilities = Array.from(outputs[0].toTypedArray());
      outputs.forEach((output) => output.delete());
      return probabilities;
    } finally {
      input.delete();
    }
  }
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address.pathname} could not be loaded (${answer.status}).`);
  return answer;
}

/** Returns a copy of a model's file whose input is a picture of this size. A `.tflite` file is a FlatBuffer. */
function withPictureSize(bytes, height, width) {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const follow = (at) => at + view.getUint32(at, true);
  const field = (table, number) => {
    const entries = table - view.getInt32(table, true);
    const entry = 4 + 2 * number;
    const offset = entry < view.getUint16(entries, true) ? view.getUint16(entries + entry, true) : 0;
    return offset ? follow(table + offset) : undefined;
  };
  const graph = follow(field(follow(0), 2) + 4); // the first one of `subgraphs`
  const input = view.getInt32(field(graph, 1) + 4, true); // the first one of `inputs`
  const tensor = follow(field(graph, 0) + 4 + 4 * input);
  for (const shape of [field(tensor, 0), field(tensor, 7)]) { // `shape` and `shape_signature`
    if (shape === undefined) continue;
    view.setInt32(shape + 8, height, true);
    view.setInt32(shape + 12, width, true);
  }
  return copy;
}
