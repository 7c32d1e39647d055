// Draws a Plotly figure and later changes it in place: zoom, hover and hidden curves survive every update.
const latest = new WeakMap(); // element -> number of its newest update
const clicks = new WeakMap(); // element -> its last click
const SAME_TAP_MILLISECONDS = 500;
const pointers = new WeakMap(); // element -> where a pointer was last put down on it
const drawing = new WeakSet(); // elements whose drawing changes now
let loading = null;

function loadPlotly(address) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  if (!loading) {
    loading = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => {
        loading = null; // the next update tries again
        script.remove();
        reject(new Error("Plotly did not load"));
      };
      document.head.appendChild(script);
    });
  }
  return loading;
}

function themed(layout, element, height) {
  const style = getComputedStyle(element);
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const text = read("--st-text-color", "#31333f");
  const grid = read("--st-border-color-light", read("--st-border-color", "#dddddd"));
  const font = { color: text, family: read("--st-font", "sans-serif"), size: 14, ...layout.font };
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true };
  return {
    ...layout,
    height,
    font,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: {
      bgcolor: read("--st-secondary-background-color", "#f0f2f6"),
      bordercolor: grid,
      font: { color: text, family: font.family },
      ...layout.hoverlabel,
    },
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    // A finger that swipes over a chart wants to scroll the page.
    dragmode: window.matchMedia("(pointer: coarse)").matches ? false : (layout.dragmode ?? "zoom"),
  };
}

// A browser keeps some sixteen WebGL contexts and takes the oldest away, so none is left to whoever collects rubbish.
function release(context) {
  context.getExtension("WEBGL_lose_context")?.loseContext();
}

let webgl = null; // whether the browser draws it; not known before the first chart that asks
function drawsWebgl() {
  if (webgl === null) {
    const context = document.createElement("canvas").getContext("webgl");
    webgl = context !== null;
    if (context) release(context);
  }
  return webgl;
}

// Where the browser draws no WebGL, as on some locked computers, its marks are drawn the slow way.
function drawable(traces) {
  if (!traces.some((trace) => trace.type === "scattergl") || drawsWebgl()) return traces;
  return traces.map((trace) => (trace.type === "scattergl" ? { ...trace, type: "scatter" } : trace));
}

// Takes the drawing away; Plotly itself leaves the contexts of its canvases behind.
function purge(element) {
  const contexts = [];
  element._fullLayout?._glcanvas?.each((canvas) => canvas.regl && contexts.push(canvas.regl._gl));
  window.Plotly?.purge(element);
  contexts.forEach(release);
}

// Shows the picture of a point beside the pointer, once the pointer rests: on its way it passes over many.
const REST_MS = 70;
const ROOM = 16;

function picturePanel(panel, address) {
  const image = panel.querySelector("img");
  let waiting = null;
  const hide = () => {
    clearTimeout(waiting);
    panel.hidden = true;
  };
  const show = ({ points: [point], event }) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      image.removeAttribute("src"); // not the one before while this one is fetched
      image.src = address.replace("{}", point.customdata);
      panel.querySelector("b").textContent = point.data.meta ?? "";
      panel.querySelector("span").textContent = point.text ?? "";
      panel.hidden = false;
      const { width, height } = panel.getBoundingClientRect();
      const right = event.clientX + ROOM + width > window.innerWidth;
      const below = event.clientY + ROOM + height > window.innerHeight;
      panel.style.left = `${Math.max(0, right ? event.clientX - ROOM - width : event.clientX + ROOM)}px`;
      panel.style.top = `${Math.max(0, below ? event.clientY - ROOM - height : event.clientY + ROOM)}px`;
    }, REST_MS);
  };
  return { show, hide };
}

// The cell of a heat map below the pointer: of a tap that follows another one closely, Plotly names the cell before.
function cellUnder(element, pointer) {
  const heatmaps = element.data.filter((trace) => trace.type === "heatmap" && trace.customdata);
  if (!heatmaps.length || !pointer) return undefined;
  const { xaxis, yaxis } = element._fullLayout;
  const { left, top } = element.getBoundingClientRect();
  const column = Math.round(xaxis.p2c(pointer.x - left - xaxis._offset));
  const row = Math.round(yaxis.p2c(pointer.y - top - yaxis._offset));
  return heatmaps.map((trace) => trace.customdata[row]?.[column]).find((cell) => cell != null);
}

export default function (component) {
  const { data, parentElement, setTriggerValue, setStateValue } = component;
  const element = parentElement.querySelector(".live-plot");
  const notice = parentElement.querySelector(".live-plot-notice");
  const pictures = picturePanel(parentElement.querySelector(".live-plot-picture"), data.pictures);
  element.setAttribute("aria-label", data.description);
  element.style.height = `${data.height}px`;
  element.style.minWidth = `${data.min_width}px`;
  const view = parentElement.querySelector(".live-plot-window");
  if (view.scrollWidth > view.clientWidth) view.tabIndex = 0; // for those who scroll by keys
  else view.removeAttribute("tabindex");
  if (!latest.has(element)) {
    const remember = (event) => pointers.set(element, { x: event.clientX, y: event.clientY });
    element.addEventListener("pointerdown", remember, true);
  }
  const update = (latest.get(element) ?? 0) + 1;
  latest.set(element, update);
  loadPlotly(data.address)
    .then((Plotly) => {
      if (latest.get(element) !== update || !element.isConnected) return null;
      notice.hidden = true;
      const layout = themed(data.figure.layout, element, data.height);
      const config = {
        displaylogo: false,
        responsive: true,
        // Where points can be marked, the ways to do so stay in sight.
        displayModeBar: data.selectable || (data.toolbar ? "hover" : false),
        modeBarButtonsToRemove: ["sendChartToCloud"], // nothing goes to another company's server
      };
      drawing.add(element);
      return Plotly.react(element, drawable(data.figure.data), layout, config).then(() => {
        drawing.delete(element);
        // Not before the drawing: a tap that comes meanwhile would be lost.
        for (const name of ["click", "hover", "unhover", "selected", "deselect"])
          element.removeAllListeners(`plotly_${name}`);
        if (data.pictures) {
          element.on("plotly_hover", pictures.show);
          element.on("plotly_unhover", pictures.hide);
        }
        if (data.selectable) {
          const report = (event) => {
            const marked = (event?.points ?? []).map((point) => point.customdata);
            // Where the drawing itself unmarks points, it was not the viewer who did.
            if (drawing.has(element) && !marked.length) return;
            setStateValue("selected", marked);
          };
          element.on("plotly_selected", report);
          element.on("plotly_deselect", () => report());
        }
        if (data.clickable) {
          element.on("plotly_click", (event) => {
            const chosen = cellUnder(element, pointers.get(element)) ?? event.points[0]?.customdata;
            if (chosen === undefined) return;
            const click = { value: Array.isArray(chosen) ? chosen[0] : chosen, time: performance.now() };
            const last = clicks.get(element);
            clicks.set(element, click);
            // Plotly tells a finger's tap twice: as a touch, and as the mouse's click that browsers make of it.
            if (last?.value === click.value && click.time - last.time < SAME_TAP_MILLISECONDS) return;
            setTriggerValue("clicked", click.value);
          });
        }
      });
    })
    .catch(() => {
      drawing.delete(element);
      notice.hidden = false;
    });
  return () => {
    latest.set(element, update + 1);
    pictures.hide();
    purge(element);
  };
}
