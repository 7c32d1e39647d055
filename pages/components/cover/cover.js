// A picture of which a person covers a part: drag to draw a cover, drag the cover to move it, or use the keys. The browser
// draws the cover at once, as the server covers the picture too; the answer comes when the hand rests.
const SMALLEST = 0.05; // side of a cover, as a part of the picture's
const FIRST = 0.25;
const STEP = 0.04;
const TAP = 0.02; // who moves less has tapped: the cover comes there
const REST_MS = 250; // after the last key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SIZES = { "+": 1, "=": 1, "-": -1 };

const covers = new WeakMap(); // where it is drawn -> what is drawn there

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  let cover = covers.get(parentElement);
  if (!cover) {
    cover = new Cover(parentElement);
    covers.set(parentElement, cover);
  }
  cover.send = (box) => setStateValue("box", box);
  cover.update(data);
  return () => clearTimeout(cover.resting);
}

class Cover {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector);
    this.stage = this.find(".stage");
    this.box = null;
    this.drag = null;
    this.stage.addEventListener("pointerdown", (event) => this.press(event));
    this.stage.addEventListener("pointermove", (event) => this.move(event));
    this.stage.addEventListener("pointerup", () => this.release());
    this.stage.addEventListener("pointercancel", () => this.release());
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.find(".clear").addEventListener("click", () => {
      this.set(null);
      this.stage.focus();
    });
  }

  update(data) {
    if (this.find("img").src !== data.picture) {
      this.find("img").src = data.picture;
      this.find(".box").style.backgroundImage = `url("${data.fill}")`;
      this.find("img").alt = data.alt;
      this.stage.setAttribute("aria-label", data.label);
      this.box = data.box;
    }
    const isOfThisBox = JSON.stringify(data.box) === JSON.stringify(this.box);
    this.find(".cover").classList.toggle("waiting", !isOfThisBox);
    if (isOfThisBox && this.find(".words").textContent !== data.words) {
      this.find(".words").textContent = data.words; // is read out
    }
    this.draw();
  }

  at(event) {
    const place = this.stage.getBoundingClientRect();
    return [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height].map(within);
  }

  press(event) {
    if (event.button !== 0) return;
    const [x, y] = this.at(event);
    const { left, top, width, height } = this.box ?? {};
    const isInside = this.box && x >= left && x <= left + width && y >= top && y <= top + height;
    this.drag = { x, y, before: this.box, moves: isInside };
    this.stage.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.drag) return;
    const [x, y] = this.at(event);
    const { before, moves } = this.drag;
    if (Math.max(Math.abs(x - this.drag.x), Math.abs(y - this.drag.y)) < TAP && !this.drag.began) return;
    this.drag.began = true;
    if (moves) {
      this.box = inside({ ...before, left: before.left + x - this.drag.x, top: before.top + y - this.drag.y });
    } else {
      const [left, top] = [Math.min(x, this.drag.x), Math.min(y, this.drag.y)];
      const [width, height] = [Math.abs(x - this.drag.x), Math.abs(y - this.drag.y)];
      this.box = inside({ left, top, width: Math.max(width, SMALLEST), height: Math.max(height, SMALLEST) });
    }
    this.draw();
  }

  release() {
    if (!this.drag) return;
    const { began, moves, x, y, before } = this.drag;
    this.drag = null;
    if (!began && moves) return;
    if (!began) {
      const { width, height } = before ?? { width: FIRST, height: FIRST };
      this.box = inside({ left: x - width / 2, top: y - height / 2, width, height });
    }
    this.set(this.box);
  }

  key(event) {
    const [x, y] = ARROWS[event.key] ?? [0, 0];
    const growth = SIZES[event.key] ?? 0;
    if (event.ctrlKey || event.metaKey || event.altKey || !(x || y || growth)) return;
    event.preventDefault(); // the page does not scroll
    if (!this.box) {
      this.box = { left: (1 - FIRST) / 2, top: (1 - FIRST) / 2, width: FIRST, height: FIRST };
    } else {
      const { left, top, width, height } = this.box;
      this.box = inside({
        left: left + STEP * x - (STEP * growth) / 2,
        top: top + STEP * y - (STEP * growth) / 2,
        width: Math.max(SMALLEST, width + STEP * growth),
        height: Math.max(SMALLEST, height + STEP * growth),
      });
    }
    this.draw();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.set(this.box), REST_MS);
  }

  set(box) {
    clearTimeout(this.resting);
    this.box = box && Object.fromEntries(Object.entries(box).map(([name, value]) => [name, Number(value.toFixed(4))]));
    this.draw();
    this.find(".cover").classList.add("waiting");
    this.send(this.box);
  }

  draw() {
    const element = this.find(".box");
    element.hidden = !this.box;
    this.find(".clear").hidden = !this.box;
    if (!this.box) return;
    const { left, top, width, height } = this.box;
    const percent = (value) => `${100 * value}%`;
    Object.assign(element.style, {
      left: percent(left),
      top: percent(top),
      width: percent(width),
      height: percent(height),
      // The part of the blurred picture that lies under the cover.
      backgroundSize: `${100 / width}% ${100 / height}%`,
      backgroundPosition: `${share(left, width)}% ${share(top, height)}%`,
    });
  }
}

function within(value) {
  return Math.min(1, Math.max(0, value));
}

function inside(box) {
  const width = Math.min(1, box.width);
  const height = Math.min(1, box.height);
  const left = Math.min(1 - width, Math.max(0, box.left));
  const top = Math.min(1 - height, Math.max(0, box.top));
  return { left, top, width, height };
}

function share(start, length) {
  return length < 1 ? (100 * start) / (1 - length) : 0;
}
