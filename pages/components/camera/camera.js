// The camera: shows it, records pictures while a button is held, asks for answers. One message at a time is under way:
// what cannot be sent by then is left out, so that nothing piles up here or in the server.
const SIDE = 512; // of a picture, in pixels: larger ones are made smaller by the server anyway
const QUALITY = 0.85;
const PATIENCE_MS = 3000; // then a message that was not answered counts as lost
const MIN_PAUSE_MS = 120; // between two questions
const PAUSE_PER_ROUND_TRIP = 1.5; // a server with many people is asked less
const MOVING_MS = 700; // a page that is drawn anew may put the camera elsewhere
const SHOWN_PICTURES = 8;
const STEADY_MS = 1500; // so long an answer lasts before it is read out
const HEAT_MS = 3000; // so long a heat map stays on top without a new one: the camera may look elsewhere by then
const HOLD_KEYS = [" ", "Enter"];
const RELEASES = ["pointerup", "pointercancel", "keyup", "blur"];
const TOUCHES = ["pointerdown", "pointerup", "keydown"];
const QUIET_MS = 300; // Streamlit may take a click that comes in the same moment as a question for a part of it
const HINT = "Move it, turn it, change the light while you hold.";

const cameras = new Map(); // key of the component -> its camera

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let camera = cameras.get(data.key);
  if (!camera) {
    camera = new Camera();
    cameras.set(data.key, camera);
  }
  // A page that is drawn anew shows the camera in several places for a moment, and Streamlit cleans up after a call that
  // another one overtook. So the camera knows all its places, and each of them by its last call.
  const place = { data, send: (message) => setTriggerValue("message", message) };
  camera.places.set(parentElement, place);
  camera.settle();
  return () => {
    if (camera.places.get(parentElement) !== place) return;
    camera.places.delete(parentElement);
    camera.settle();
    if (!camera.places.size) camera.leave(() => cameras.delete(data.key));
  };
}

class Camera {
  constructor() {
    this.places = new Map(); // where it is drawn -> what was last said there
    this.heard = new WeakSet(); // places whose buttons are listened to
    this.notice = { text: "", canTryAgain: false };
    this.stream = null;
    this.starting = 0; // counts attempts, so that an old one that succeeds late is let go
    this.devices = []; // cameras that the browser has
    this.wanted = { facingMode: { ideal: "environment" } };
    this.canvas = document.createElement("canvas");
    this.number = Date.now(); // of the message under way
    this.isWaiting = false;
    this.sentAt = 0;
    this.roundTrip = 0;
    this.answered = []; // when, in the last two seconds
    this.sessions = []; // the last one may still record
    this.added = []; // names of classes without a picture yet
    this.selected = null;
    this.shown = []; // the last pictures, as small canvases
    this.said = "";
    this.total = 0; // pictures in the data set
    this.isPaused = false;
    this.best = { words: "", since: 0, heard: "" };
    this.heatSince = 0;
    // On the window: the page may be drawn anew under the finger, with another button.
    this.onRelease = (event) => {
      if (event.type !== "keyup" || HOLD_KEYS.includes(event.key)) this.release();
    };
    this.touchedAt = 0;
    this.onTouch = () => {
      this.touchedAt = performance.now();
    };
    this.onVisibility = () => {
      this.release();
      if (document.hidden) this.stop();
      else this.start();
    };
  }

  settle() {
    clearTimeout(this.leaving);
    if (!this.places.size) return;
    if (!this.places.has(this.root)) this.moveTo([...this.places.keys()].at(-1));
    this.update(this.places.get(this.root).data);
  }

  moveTo(root) {
    const isNew = !this.root;
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    if (!this.heard.has(root)) this.listen();
    this.heard.add(root);
    this.drawn = "";
    if (isNew) {
      document.addEventListener("visibilitychange", this.onVisibility);
      for (const name of RELEASES) window.addEventListener(name, this.onRelease);
      for (const name of TOUCHES) window.addEventListener(name, this.onTouch, true);
      this.timer = setInterval(() => this.tick(), 20);
      this.start();
    } else {
      this.drawNotice();
      this.showStream();
    }
  }

  leave(forget) {
    this.leaving = setTimeout(() => {
      forget();
      clearInterval(this.timer);
      document.removeEventListener("visibilitychange", this.onVisibility);
      for (const name of RELEASES) window.removeEventListener(name, this.onRelease);
      for (const name of TOUCHES) window.removeEventListener(name, this.onTouch, true);
      this.stop();
    }, MOVING_MS);
  }

  // ---------------------------------------------------------------- the stream

  async start() {
    const attempt = ++this.starting;
    if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
      return this.explain(
        "This address gives the browser no camera. Browsers lend it only to pages on this computer or over https. " +
          "Open the app on the computer where it runs, at localhost, or ask whoever set it up for an address with https.",
        false,
      );
    }
    this.explain("The camera is starting. If the browser asks whether this page may use it, allow it.", false);
    try {
      const video = { width: { ideal: 640 }, height: { ideal: 480 }, ...this.wanted };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      if (attempt !== this.starting) return stream.getTracks().forEach((track) => track.stop());
      this.stream = stream;
    } catch (error) {
      if (attempt !== this.starting) return null;
      return this.explain(reason(error), true);
    }
    const [track] = this.stream.getVideoTracks();
    track.addEventListener("ended", () => {
      this.stop();
      this.explain("The camera was taken away or switched off. Connect it, then try again.", true);
    });
    const devices = await navigator.mediaDevices.enumerateDevices();
    this.devices = devices.filter((device) => device.kind === "videoinput").map((device) => device.deviceId);
    this.showStream();
    return null;
  }

  stop() {
    this.starting += 1;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.find("video").srcObject = null;
  }

  showStream() {
    if (!this.stream) return;
    const video = this.find("video");
    const { facingMode } = this.stream.getVideoTracks()[0].getSettings();
    video.srcObject = this.stream;
    for (const part of [video, this.find(".heat")]) {
      part.classList.toggle("mirrored", facingMode !== "environment"); // as people know themselves
    }
    this.explain("", false);
    this.find(".other").hidden = this.devices.length < 2;
    if (this.isPaused) video.pause();
    else video.play().catch(() => {}); // plays by itself as soon as the page may
  }

  takeOther() {
    const [track] = this.stream?.getVideoTracks() ?? [];
    const { facingMode, deviceId } = track?.getSettings() ?? {};
    if (facingMode) {
      this.wanted = { facingMode: { ideal: facingMode === "environment" ? "user" : "environment" } };
    } else {
      const next = (this.devices.indexOf(deviceId) + 1) % this.devices.length;
      this.wanted = { deviceId: { exact: this.devices[next] } };
    }
    this.stop(); // a telephone lends one camera at a time
    this.start();
  }

  explain(text, canTryAgain) {
    this.notice = { text, canTryAgain };
    this.drawNotice();
  }

  drawNotice() {
    const { text, canTryAgain } = this.notice;
    this.find(".notice p").textContent = text;
    this.find(".notice .again").hidden = !canTryAgain;
    this.find(".notice").hidden = text === "";
  }

  picture() {
    const video = this.find("video");
    const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
    this.canvas.width = Math.round(video.videoWidth * scale);
    this.canvas.height = Math.round(video.videoHeight * scale);
    this.canvas.getContext("2d").drawImage(video, 0, 0, this.canvas.width, this.canvas.height);
    return this.canvas.toDataURL("image/jpeg", QUALITY).split(",")[1];
  }

  // ---------------------------------------------------------------- messages

  tick() {
    const now = performance.now();
    const isReady = this.stream !== null && this.find("video").videoWidth > 0;
    const session = this.recording;
    if (session && isReady && now >= session.next) {
      session.next = Math.max(session.next + 1000 / this.data.per_second, now);
      if (session.pictures.length < this.data.at_once) this.record(session);
    }
    this.readOut(now);
    this.fadeHeat(now);
    if (this.isWaiting && now - this.sentAt < PATIENCE_MS) return;
    const [first] = this.sessions;
    if (first && (first.pictures.length || first.isOver)) {
      if (first.isOver) this.sessions.shift();
      const { id, name, pictures, isOver } = first;
      first.pictures = [];
      this.post({ kind: "pictures", session: id, class_name: name, pictures, is_last: isOver });
    } else if (this.data.asks && isReady && !session && !this.isPaused && now >= this.nextQuestion) {
      this.post({ kind: "question", pictures: [this.picture()] });
    }
  }

  get nextQuestion() {
    const pause = Math.max(MIN_PAUSE_MS, PAUSE_PER_ROUND_TRIP * this.roundTrip);
    return Math.max(this.sentAt + pause, this.touchedAt + QUIET_MS);
  }

  get recording() {
    const last = this.sessions.at(-1);
    return last && !last.isOver ? last : null;
  }

  post(message) {
    this.number += 1;
    this.isWaiting = true;
    this.sentAt = performance.now();
    this.places.get(this.root)?.send({ number: this.number, ...message });
  }

  // ---------------------------------------------------------------- recording

  listen() {
    const button = this.find(".record");
    button.addEventListener("pointerdown", (event) => {
      if (event.button === 0) this.press();
    });
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
    for (const name of ["keydown", "keyup"]) {
      button.addEventListener(name, (event) => {
        if (!HOLD_KEYS.includes(event.key)) return;
        event.preventDefault(); // no click
        if (name === "keydown" && !event.repeat) this.press();
      });
    }
    button.addEventListener("click", (event) => {
      if (event.detail !== 0) return;
      // A press of somebody's help to use the page, which cannot hold: the next one ends it.
      if (this.recording) this.release();
      else this.press();
    });
    this.find(".pause").addEventListener("click", () => this.setPaused(!this.isPaused));
    this.find(".other").addEventListener("click", () => this.takeOther());
    this.find(".again").addEventListener("click", () => this.start());
    const name = this.find(".name input");
    name.addEventListener("change", () => this.rename(name.value));
  }

  press() {
    if (this.recording || !this.stream) return;
    this.setPaused(false);
    const id = `${Date.now()}-${Math.random()}`;
    this.sessions.push({ id, name: this.selected, pictures: [], count: 0, isOver: false, next: performance.now() });
    this.shown = [];
    this.said = "";
    this.drawRecording();
    this.tick(); // a tap is one picture
  }

  record(session) {
    session.pictures.push(this.picture());
    session.count += 1;
    const small = this.shown.length < SHOWN_PICTURES ? document.createElement("canvas") : this.shown.shift();
    small.width = 80;
    small.height = Math.round((80 * this.canvas.height) / this.canvas.width);
    small.getContext("2d").drawImage(this.canvas, 0, 0, small.width, small.height);
    this.shown.push(small);
    this.drawRecording();
  }

  release() {
    const session = this.recording;
    if (!session) return;
    session.isOver = true;
    if (session.count === 0) {
      this.sessions.pop();
      this.said = "Hold a little longer: the camera had no picture yet.";
    }
    this.drawRecording();
  }

  rename(typed) {
    const name = typed.trim().replace(/\s+/g, " ");
    const old = this.selected;
    if (!name || name === old || this.names.includes(name)) {
      this.find(".name input").value = old;
      return;
    }
    if (this.added.includes(old)) {
      this.added[this.added.indexOf(old)] = name;
    } else {
      this.post({ kind: "rename", class_name: old, new_name: name });
      this.renamed = { old, name, number: this.number };
    }
    this.selected = name;
    this.drawClasses();
    this.drawRecording();
  }

  setPaused(isPaused) {
    this.isPaused = isPaused;
    this.find(".pause").textContent = isPaused ? "Go on" : "Pause";
    this.find(".rate").textContent = "";
    this.showStream();
  }

  // ---------------------------------------------------------------- what the server says

  update(data) {
    this.data = data;
    const now = performance.now();
    if (this.isWaiting && data.answered === this.number) {
      this.isWaiting = false;
      this.roundTrip = now - this.sentAt;
      if (data.bars.length) this.answered.push(now);
      if (data.said) this.said = data.said;
    }
    const stored = data.classes.map((label) => label.name);
    const isOver = stored.includes(this.renamed?.name) || data.answered > this.renamed?.number;
    if (isOver) this.renamed = null; // the server says how it is called, whether it took the new name or not
    const total = data.classes.reduce((sum, label) => sum + label.pictures, 0);
    if (total < this.total) this.said = ""; // undone, or deleted
    this.total = total;
    this.added = this.added.filter((name) => !stored.includes(name));
    // Two to begin with, so that nobody must type before there is something to see.
    if (data.records) while (this.names.length < 2) this.addClass();
    if (!this.names.includes(this.selected)) {
      this.selected = this.classes.find((label) => !label.pictures)?.name ?? null;
      this.selected ??= this.names[0] ?? null;
    }
    this.find(".choice").hidden = !data.records;
    this.find(".record").hidden = !data.records;
    this.find(".pause").hidden = !data.asks;
    this.drawClasses();
    this.drawRecording();
    this.drawAnswers(now);
    this.drawHeat(now);
  }

  get classes() {
    const { old, name } = this.renamed ?? {};
    const stored = this.data.classes.map((label) => (label.name === old ? { ...label, name } : label));
    return [...stored, ...this.added.map((added) => ({ name: added, color: "transparent", pictures: 0 }))];
  }

  get names() {
    return this.classes.map((label) => label.name);
  }

  addClass() {
    let number = this.names.length + 1;
    while (this.names.includes(`Class ${number}`)) number += 1;
    this.added.push(`Class ${number}`);
    return this.added.at(-1);
  }

  // ---------------------------------------------------------------- drawing

  drawClasses() {
    if (!this.data.records) return;
    const labels = this.classes;
    const drawn = JSON.stringify([labels, this.selected]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const group = this.find(".classes");
    const hadFocus = group.contains(this.root.activeElement);
    const buttons = labels.map(({ name, color, pictures }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(name === this.selected));
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = color;
      if (color === "transparent") dot.style.boxShadow = "inset 0 0 0 1px currentcolor";
      button.append(dot, `${name} (${pictures})`);
      button.addEventListener("click", () => this.select(name));
      return button;
    });
    const more = document.createElement("button");
    more.type = "button";
    more.textContent = "+ Class";
    more.setAttribute("aria-label", "Add a class");
    more.hidden = labels.length >= this.data.max_classes;
    more.addEventListener("click", () => this.select(this.addClass()));
    group.replaceChildren(...buttons, more);
    if (hadFocus) group.querySelector('[aria-pressed="true"]')?.focus();
    this.find(".name input").value = this.selected;
  }

  select(name) {
    if (this.recording) return;
    this.selected = name;
    this.drawClasses();
    this.drawRecording();
  }

  drawRecording() {
    const session = this.recording;
    this.find(".camera").classList.toggle("recording", session !== null);
    this.find(".counter").hidden = session === null;
    if (session) this.find(".counter").textContent = `${session.count}`;
    this.find(".record").textContent = session ? `Recording into ${session.name}` : `Hold to record: ${this.selected}`;
    this.find(".hint").textContent = session ? HINT : this.data.hint;
    this.find(".strip").replaceChildren(...this.shown);
    if (this.find(".said").textContent !== this.said) this.find(".said").textContent = this.said; // is read out
  }

  drawAnswers(now) {
    const { bars, note, unknown } = this.data;
    const rows = this.find(".bars");
    const shown = this.data.asks ? bars : [];
    while (rows.childElementCount > 3 * shown.length) rows.lastChild.remove();
    while (rows.childElementCount < 3 * shown.length) {
      const [name, track, bar, value] = ["span", "div", "div", "span"].map((tag) => document.createElement(tag));
      [name.className, track.className, bar.className, value.className] = ["class", "track", "bar", "value"];
      track.append(bar);
      rows.append(name, track, value);
    }
    const best = Math.max(...shown.map((row) => row.value));
    shown.forEach((row, index) => {
      const [name, track, value] = [0, 1, 2].map((offset) => rows.children[3 * index + offset]);
      name.textContent = name.title = row.name;
      value.textContent = row.words;
      track.firstChild.style.width = `${100 * row.value}%`;
      track.firstChild.style.background = row.color;
      for (const part of [name, value]) part.classList.toggle("best", row.value === best);
    });
    const words = unknown ? "I don't know" : `Looks like ${shown.find((row) => row.value === best)?.name}`;
    if (shown.length && words !== this.best.words) this.best = { ...this.best, words, since: now };
    this.find(".unknown").textContent = shown.length ? unknown : "";
    this.answered = this.answered.filter((time) => now - time < 2000);
    const rate = Math.round(this.answered.length / 2);
    this.find(".by").textContent = note;
    this.find(".rate").textContent = shown.length ? `${rate} answer${rate === 1 ? "" : "s"} a second` : "";
  }

  drawHeat(now) {
    const { heat, heat_words: words } = this.data;
    const layer = this.find(".heat");
    if (heat && layer.getAttribute("src") !== heat) {
      layer.src = heat;
      this.heatSince = now;
    }
    layer.hidden = !heat;
    this.find(".heat-words").textContent = words;
    this.fadeHeat(now);
  }

  fadeHeat(now) {
    this.find(".heat").classList.toggle("old", now - this.heatSince > HEAT_MS && !this.isPaused);
  }

  readOut(now) {
    const { words, since, heard } = this.best;
    if (!this.data.asks || words === heard || now - since < STEADY_MS) return;
    this.best.heard = words;
    this.find(".heard").textContent = words;
  }
}

function reason(error) {
  const reasons = {
    NotAllowedError:
      "The camera is not allowed for this page. Tap the sign beside the address, allow the camera, then try again. " +
      "If there is nothing to allow, the computer's own settings forbid the browser to use it.",
    NotFoundError: "No camera was found. Connect one, then try again.",
    NotReadableError:
      "The camera does not answer; another program may be using it. Close video calls and other pages with a camera, " +
      "then try again.",
  };
  reasons.SecurityError = reasons.NotAllowedError;
  reasons.OverconstrainedError = reasons.NotFoundError;
  reasons.AbortError = reasons.NotReadableError;
  return reasons[error.name] ?? `The camera did not start (${error.name}). Reload the page, then try again.`;
}
