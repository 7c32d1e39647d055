// The page: pictures and the camera go into the classifier, its answers become bars.
import { openClassifier } from "./classifier.js";
import { isDeepGrey } from "./depth.js";

const part = (id) => document.getElementById(id);
const say = (words) => { part("words").textContent = words; };
let classifier;
let stream;

try {
  classifier = await openClassifier();
  document.title = classifier.title;
  part("title").textContent = classifier.title;
  drawNotes();
  drawRows();
  part("file").disabled = part("camera").disabled = false;
  say("Choose a picture or start the camera. Pictures stay in this browser.");
} catch (error) {
  fail("The model could not be loaded. Run `npm install` and `npm start` in the folder `web`.", error);
}

part("file").addEventListener("change", async () => {
  const [file] = part("file").files;
  part("file").value = ""; // The same file can be chosen again.
  if (file) await showFile(file);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file && classifier) await showFile(file);
});
part("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));

async function showFile(file) {
  stopCamera();
  if (await isDeepGrey(file)) {
    say("This picture has more than 8 bits, which browsers read otherwise than the model learned it. Ask about it in Python: README.txt beside the model shows how.");
    return;
  }
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch (error) {
    fail("This file is no picture that a browser can open. Try a JPEG or PNG file.", error);
    return;
  }
  const shown = part("picture");
  Object.assign(shown, { width: picture.width, height: picture.height, hidden: false });
  shown.getContext("2d").drawImage(picture, 0, 0);
  say("Asking the model…");
  try {
    draw(await classifier.ask(picture));
  } catch (error) {
    fail("The model could not be asked about this picture.", error);
  }
  picture.close();
}

async function startCamera() {
  part("camera").disabled = true;
  try {
    const wish = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" };
    stream = await navigator.mediaDevices.getUserMedia({ video: wish });
  } catch (error) {
    fail("There is no camera, or it may not be used. Allow it in the browser; it needs HTTPS or this computer.", error);
    return;
  } finally {
    part("camera").disabled = false;
  }
  const mine = stream;
  const video = part("video");
  video.srcObject = mine;
  await video.play();
  part("picture").hidden = true;
  video.hidden = false;
  part("camera").textContent = "Stop the camera";
  try {
    while (stream === mine) {
      const answer = await classifier.ask(video);
      if (stream === mine) draw(answer);
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    stopCamera();
    fail("The model could not be asked about the camera's pictures.", error);
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = undefined;
  part("video").hidden = true;
  part("camera").textContent = "Start the camera";
}

/** Says what is the matter with this model. */
function drawNotes() {
  for (const words of classifier.notes) {
    const note = document.createElement("p");
    note.textContent = words;
    part("notes").append(note);
  }
}

/** Makes a row for each class. Names are put in as text, so nothing in them can act as part of the page. */
function drawRows() {
  for (const name of classifier.classes) {
    const row = part("row").content.cloneNode(true);
    row.querySelector(".name").textContent = name;
    part("answers").append(row);
  }
}

function draw(probabilities) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  const knows = probabilities[best] >= classifier.threshold;
  say(knows ? classifier.classes[best] : "I don’t know");
  [...part("answers").children].forEach((row, index) => {
    const value = probabilities[index];
    row.classList.toggle("best", knows && index === best);
    row.dataset.probability = value;
    row.querySelector("meter").value = value;
    row.querySelector(".percent").textContent = `${(100 * value).toFixed(1)} %`;
  });
}

function fail(words, error) {
  say(words);
  console.warn(error);
}
