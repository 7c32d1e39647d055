// Takes folders and files, sends them in pieces, begins the job that uses them, and then tells the page.
// What is under way is kept here, not in the page: Streamlit may draw the place anew, or another page, meanwhile.
const uploads = new Map(); // id of a place -> Upload
const MAX_PARTS = 500; // files in one piece
const MAX_HEADS = 500; // files whose beginnings are looked at before they are sent
const SHOWN_REFUSALS = 5;
const PIECE_BYTES = [250e3, 8e6]; // the smallest piece and the largest
const PIECE_SECONDS = [0.5, 2]; // what a piece may take before the next ones are larger, or smaller
const PIECES_AT_ONCE = 3;
const RETRY_SECONDS = [0.5, 1, 2, 4, 8];

class Refused extends Error {} // its text is for the person; trying again would not help

class Upload {
  phase = "idle"; // then "reading", "sending", "sent"
  message = null; // what went wrong, with a list of refused files
  view = null; // the place that shows it; none while another page is open

  start(sources, data) {
    if (this.phase !== "idle") return;
    Object.assign(this, { phase: "reading", message: null, data, stopping: new AbortController(), folder: null });
    Object.assign(this, { files: [], found: 0, doneFiles: 0, doneBytes: 0, isRetrying: false, announced: -1 });
    this.show();
    this.run(sources)
      .catch((error) => {
        this.giveUp();
        if (this.stopping.signal.aborted) return;
        const text = error instanceof Refused ? error.message : `The files could not be sent (${error.message}).`;
        this.message = { text, refused: [] };
        this.stopping.abort(); // the other pieces on their way
      })
      .finally(() => {
        if (this.phase !== "sent") this.phase = "idle";
        this.show();
        this.deliver();
      });
  }

  async run(sources) {
    const named = await this.list(sources);
    if (!named.length) throw new Refused("There are no files in it. Drop a folder that holds pictures.");
    named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    const begun = await this.begin(named);
    this.folder = begun.folder;
    this.key = begun.key;
    for (const [number] of begun.refused) named[number].isLeftOut = true;
    if (begun.refused.length) {
      const refused = begun.refused.map(([number, reason]) => `${named[number].name}: ${reason}`);
      const others = begun.refused.length < named.length;
      this.message = { text: others ? "Not used:" : "This cannot be used:", refused };
    }
    this.files = named;
    const wanted = named.filter((file) => !file.isLeftOut);
    if (!wanted.length && begun.refused.length) return this.giveUp();
    if (!wanted.length) throw new Refused("The browser can read none of these files.");
    this.totalFiles = wanted.length;
    this.totalBytes = wanted.reduce((sum, { file }) => sum + file.size, 0);
    this.phase = "sending";
    this.began = performance.now();
    this.show();
    this.pieceBytes = 1e6;
    const waiting = this.pieces();
    const sendAll = async () => {
      for (let next = waiting.next(); !next.done; next = waiting.next()) await this.send(next.value);
    };
    await Promise.all(Array.from({ length: PIECES_AT_ONCE }, sendAll));
    const ended = await this.ask("POST", `${this.data.address}/${this.folder}?${this.data.asked}`, this.key);
    this.job = (await ended.json()).job ?? "";
    this.folder = null; // it belongs to the job now
    this.phase = "sent";
  }

  // All files below what was dropped or chosen, with the names of their folders.
  async list(sources) {
    const named = [];
    const add = (file, name, isLeftOut = false) => {
      const shown = this.data.class_name === null ? name : name.split("/").pop(); // its class is chosen already
      named.push({ file, name: shown, isLeftOut });
      this.found = named.length;
    };
    const walk = async (entry, parent) => {
      this.stopping.signal.throwIfAborted();
      if (entry.isFile) {
        const name = parent + entry.name;
        const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
        return file ? add(file, name) : add(new File([], name), name, true); // the job says that it was not readable
      }
      const reader = entry.createReader();
      for (;;) {
        const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!batch.length) return;
        await Promise.all(batch.filter((each) => each.isFile).map((each) => walk(each, `${parent}${entry.name}/`)));
        for (const each of batch.filter((each) => !each.isFile)) await walk(each, `${parent}${entry.name}/`);
        this.show();
      }
    };
    for (const source of sources) {
      if (source instanceof File) add(source, source.webkitRelativePath || source.name);
      else await walk(source, "");
    }
    return named;
  }

  async begin(named) {
    const listed = [];
    let heads = 0;
    for (const { file, name } of named) {
      const isPicture = this.data.picture_endings.some((ending) => name.toLowerCase().endsWith(ending));
      const isLooked = !isPicture && !name.includes("/") && heads++ < MAX_HEADS;
      listed.push([name, file.size, isLooked ? await beginning(file, this.data.head_bytes) : ""]);
    }
    const answer = await this.ask("POST", this.data.address, this.data.key, JSON.stringify(listed));
    return answer.json();
  }

  // The pieces, each a list of [number of the file, where to begin, bytes].
  *pieces() {
    let parts = [];
    let bytes = 0;
    for (const [number, { file, isLeftOut }] of this.files.entries()) {
      let start = 0;
      while (!isLeftOut) {
        const length = Math.min(file.size - start, Math.max(1, this.pieceBytes - bytes));
        parts.push([number, start, length]);
        start += length;
        bytes += length;
        if (bytes >= this.pieceBytes || parts.length >= MAX_PARTS) {
          yield parts;
          parts = [];
          bytes = 0;
        }
        if (start >= file.size) break;
      }
    }
    if (parts.length) yield parts;
  }

  // Send one piece: a list of [number of the file, where to begin, bytes].
  async send(parts) {
    const began = performance.now();
    const readable = (part) => !this.files[part[0]].isLeftOut;
    for (;;) {
      const header = new TextEncoder().encode(JSON.stringify(parts.filter(readable)));
      const length = new DataView(new ArrayBuffer(4));
      length.setUint32(0, header.length);
      const slices = parts.filter(readable).map(([number, start, bytes]) => {
        return this.files[number].file.slice(start, start + bytes);
      });
      const sound = slices.length;
      const address = `${this.data.address}/${this.folder}`;
      const body = new Blob([length, header, ...slices]);
      if (sound) await this.ask("PUT", address, this.key, body, () => this.leaveOutUnreadable(parts.filter(readable)));
      if (parts.filter(readable).length === sound) break; // else some of them cannot be read: without those
    }
    const seconds = (performance.now() - began) / 1000;
    // So that the bar moves on a slow network too, and few requests do on a fast one.
    const factor = seconds < PIECE_SECONDS[0] ? 2 : seconds > PIECE_SECONDS[1] ? 0.5 : 1;
    this.pieceBytes = Math.min(PIECE_BYTES[1], Math.max(PIECE_BYTES[0], factor * this.pieceBytes));
    for (const [number, start, bytes] of parts) {
      this.doneBytes += bytes;
      if (start + bytes >= this.files[number].file.size) this.doneFiles += 1;
    }
    this.show();
  }

  // Note which files were taken away or changed since they were listed; return whether any was.
  async leaveOutUnreadable(parts) {
    let found = false;
    for (const [number, start] of parts) {
      const named = this.files[number];
      try {
        if (named.file.size) await named.file.slice(start, start + 1).arrayBuffer();
      } catch {
        named.isLeftOut = found = true; // the job says so
      }
    }
    return found;
  }

  // One request, tried again while the connection or the server is the reason. `isHopeless` may end that.
  async ask(method, address, key, body, isHopeless = async () => false) {
    const signal = this.stopping.signal;
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await fetch(address, { method, body, signal, headers: { [this.data.key_header]: key } });
        if (answer.ok) {
          this.isRetrying = false;
          return answer;
        }
        const told = await answer.json().catch(() => ({}));
        const text = told.message ?? `The server answered ${answer.status}. Bring the files again later.`;
        if (answer.status < 500 || answer.status === 507) throw new Refused(text);
        if (attempt >= RETRY_SECONDS.length) throw new Refused(text);
      } catch (error) {
        if (signal.aborted || error instanceof Refused) throw error;
        if (await isHopeless()) return null;
        if (attempt >= RETRY_SECONDS.length) {
          throw new Refused("The server cannot be reached. Look whether it still runs, then bring the files again.");
        }
      }
      this.isRetrying = true;
      this.show();
      await new Promise((resolve) => setTimeout(resolve, 1000 * RETRY_SECONDS[attempt]));
      signal.throwIfAborted();
    }
  }

  stop() {
    this.stopping.abort();
  }

  // Let the server forget what has come so far, also while the page is being closed.
  giveUp() {
    if (!this.folder) return;
    const address = `${this.data.address}/${this.folder}`;
    const headers = { [this.data.key_header]: this.key };
    fetch(address, { method: "DELETE", headers, keepalive: true }).catch(() => {});
    this.folder = null;
  }

  // Let the page show the import, as soon as the place is on the page.
  deliver() {
    if (this.phase !== "sent" || !this.view || this.isTold) return;
    this.isTold = true;
    this.view.setTriggerValue("begun", this.job);
  }

  // The page shows it: the place is empty again.
  reset() {
    Object.assign(this, { phase: "idle", isTold: false, files: [] });
  }

  status() {
    const number = (value) => value.toLocaleString("en");
    if (this.phase === "reading") return this.found ? `Reading the folder: ${number(this.found)} files` : "Reading";
    if (this.phase === "sent") return `All files are here. ${this.data.then}`;
    if (this.isRetrying) return "The connection is lost. Trying again.";
    const megabytes = (bytes) => number(Math.round(bytes / 1e6));
    const files = `${number(this.doneFiles)} of ${number(this.totalFiles)} files, `;
    const amount = `${megabytes(this.doneBytes)} of ${number(Math.ceil(this.totalBytes / 1e6))} MB`;
    return (this.totalFiles > 1 ? files : "") + amount + this.timeLeft();
  }

  timeLeft() {
    const seconds = (performance.now() - this.began) / 1000;
    if (seconds < 2 || !this.doneBytes || this.doneBytes >= this.totalBytes) return "";
    const left = (seconds * (this.totalBytes - this.doneBytes)) / this.doneBytes;
    if (left < 90) return `, about ${Math.max(1, Math.round(left))} s left`;
    return `, about ${Math.ceil(left / 60)} min left`;
  }

  show() {
    if (!this.view) return;
    const { root } = this.view;
    const find = (selector) => root.querySelector(selector);
    const isBusy = this.phase !== "idle";
    const hadFocus = root.activeElement;
    find(".zone").hidden = isBusy;
    find(".sending").hidden = !isBusy;
    find(".stop").hidden = this.phase === "sent";
    if (hadFocus?.matches(".buttons button") && isBusy) find(".stop").focus();
    if (hadFocus?.matches(".stop") && !isBusy) find(".files").focus();
    if (isBusy) {
      const fraction = this.phase === "sending" ? this.doneBytes / Math.max(1, this.totalBytes) : this.phase === "sent";
      const percent = Math.round(100 * fraction);
      find(".status").textContent = this.status();
      find(".bar div").style.width = `${percent}%`;
      find(".bar").setAttribute("aria-valuenow", percent);
      find(".bar").setAttribute("aria-valuetext", this.status());
      const quarter = this.phase === "sending" ? Math.floor(percent / 25) : this.phase;
      if (quarter !== this.announced) find(".live").textContent = this.status();
      this.announced = quarter;
    }
    const message = find(".message");
    message.hidden = !this.message;
    message.replaceChildren();
    if (!this.message) return;
    const { text, refused } = this.message;
    message.appendChild(document.createElement("p")).textContent = text;
    if (!refused.length) return;
    const list = message.appendChild(document.createElement("ul"));
    for (const line of refused.slice(0, SHOWN_REFUSALS)) {
      list.appendChild(document.createElement("li")).textContent = line;
    }
    const more = refused.length - SHOWN_REFUSALS;
    if (more > 0) list.appendChild(document.createElement("li")).textContent = `and ${more.toLocaleString("en")} more`;
  }
}

async function beginning(file, bytes) {
  try {
    return btoa(String.fromCharCode(...new Uint8Array(await file.slice(0, bytes).arrayBuffer())));
  } catch {
    return ""; // it cannot be read, which shows when it is sent
  }
}

const isBusy = (upload) => upload.phase === "reading" || upload.phase === "sending";
window.addEventListener("beforeunload", (event) => {
  if ([...uploads.values()].some(isBusy)) event.preventDefault(); // the browser asks whether to leave
});
window.addEventListener("dragover", (event) => {
  // Files that miss a place for them would replace the whole page.
  if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
});
window.addEventListener("pagehide", () => {
  for (const upload of uploads.values()) upload.giveUp();
});

export default function (component) {
  const { data, parentElement: root, setTriggerValue } = component;
  const upload = uploads.get(data.id) ?? new Upload();
  uploads.set(data.id, upload);
  const view = { root, setTriggerValue };
  upload.view = view;
  if (upload.isTold && upload.handled !== data.handled) upload.reset();
  upload.isTold = false; // the page may have missed it while the connection was lost; hearing it twice does no harm
  upload.handled = data.handled;

  const find = (selector) => root.querySelector(selector);
  const zone = find(".zone");
  zone.setAttribute("aria-label", data.title);
  zone.classList.toggle("disabled", data.disabled);
  find(".title").textContent = data.title;
  find(".hint").textContent = data.hint;
  const pickFolder = find(".pick-folder");
  const pickFiles = find(".pick-files");
  find("button.folder").hidden = !data.folders || !("webkitdirectory" in pickFolder);
  for (const [button, input] of [["button.folder", pickFolder], ["button.files", pickFiles]]) {
    find(button).disabled = data.disabled;
    find(button).onclick = () => input.click();
    input.onchange = () => {
      const files = [...input.files];
      input.value = ""; // the same files can be chosen again
      if (files.length) upload.start(files, data);
    };
  }
  find(".stop").onclick = () => upload.stop();

  zone.ondragover = (event) => {
    event.preventDefault();
    zone.classList.toggle("over", !data.disabled);
  };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (data.disabled) return;
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const sources = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()).filter(Boolean);
    if (sources.length) upload.start(sources, data);
  };
  upload.show();
  upload.deliver();
  return () => {
    if (upload.view === view) upload.view = null;
  };
}
