// Draws a Plotly figure and later changes it in place: zoom, hover and hidden curves survive every update.
const latest = new WeakMap(); // element -> number of its newest update
const clicks = new WeakMap(); // element -> its last click
const SAME_TAP_MILLISECONDS = 500;
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

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const element = parentElement.querySelector(".live-plot");
  const notice = parentElement.querySelector(".live-plot-notice");
  element.setAttribute("aria-label", data.description);
  element.style.height = `${data.height}px`;
  element.style.minWidth = `${data.min_width}px`;
  const view = parentElement.querySelector(".live-plot-window");
  if (view.scrollWidth > view.clientWidth) view.tabIndex = 0; // for those who scroll by keys
  else view.removeAttribute("tabindex");
  const update = (latest.get(element) ?? 0) + 1;
  latest.set(element, update);
  loadPlotly(data.address)
    .then((Plotly) => {
      if (latest.get(element) !== update || !element.isConnected) return null;
      notice.hidden = true;
      const layout = themed(data.figure.layout, element, data.height);
      const config = { displaylogo: false, responsive: true, displayModeBar: data.toolbar ? "hover" : false };
      return Plotly.react(element, data.figure.data, layout, config).then(() => {
        element.removeAllListeners("plotly_click");
        if (data.clickable) {
          element.on("plotly_click", (event) => {
            const chosen = event.points[0]?.customdata;
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
      notice.hidden = false;
    });
  return () => {
    latest.set(element, update + 1);
    if (window.Plotly) window.Plotly.purge(element);
  };
}
