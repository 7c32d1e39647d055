// Which files browsers read otherwise than the app did when the model learned.

const PNG = [137, 80, 78, 71, 13, 10, 26, 10];

/**
 * Whether a file is a PNG file of grey values with 16 bits. The app chooses which of them are black and white; a
 * browser drops the lower half of the bits without a word.
 * @param {Blob} file
 * @return {Promise<boolean>}
 */
export async function isDeepGrey(file) {
  const start = new Uint8Array(await file.slice(0, 26).arrayBuffer());
  const isPng = start.length === 26 && PNG.every((value, index) => start[index] === value);
  return isPng && start[24] === 16 && start[25] === 0; // bits of a value, and grey without colours
}
