// Draws props.value, a Plotly figure whose colours are names of CSS variables. Runs once for the component.
const box = element.querySelector(".hcl-chart");

function resolved(value, style) {
  if (typeof value === "string") {
    if (value === "inherit") return style.fontFamily;
    const name = /^var\((--[\w-]+)\)$/.exec(value);
    return name ? style.getPropertyValue(name[1]).trim() : value;
  }
  if (Array.isArray(value)) return value.map((item) => resolved(item, style));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, style)]));
  }
  return value;
}

let selectedLayer = null;

function markLayer(layer, scroll) {
  selectedLayer = layer;
  document.querySelectorAll(".hcl-column.selected").forEach((column) => column.classList.remove("selected"));
  const column = document.querySelector(`.hcl-column[data-layer="${layer}"]`);
  if (!column) return;
  column.classList.add("selected");
  if (!scroll) return;
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  column.scrollIntoView({ behavior: reduced ? "auto" : "smooth", inline: "center", block: "nearest" });
}

let listening = false;

// The balance can change without the answers: the mark moves, the columns stay.
function markBest(best) {
  document.querySelectorAll(".hcl-column").forEach((column) => {
    column.classList.toggle("best", best !== null && column.dataset.layer === String(best));
  });
}

function draw() {
  const figure = props.value;
  if (!figure || !figure.data || !window.Plotly) {
    box.hidden = true;
    return;
  }
  box.hidden = false;
  const { data, layout } = resolved(figure, getComputedStyle(box));
  const options = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { filename: "hcl-explorer", scale: 2 },
  };
  Plotly.react(box, data, layout, options).then(() => {
    if (listening) return;
    listening = true;
    box.on("plotly_click", (event) => markLayer(event.points[0].x, true));
  });
}

// The library's script is large; the first figure may come before it.
function drawWhenReady() {
  if (window.Plotly) draw();
  else setTimeout(drawWhenReady, 50);
}

watch("value", () => {
  drawWhenReady();
  setTimeout(() => markBest(props.value ? props.value.best : null), 100);
  // The answers are drawn anew beside the chart; the mark is set again once they are.
  if (selectedLayer !== null) setTimeout(() => markLayer(selectedLayer, false), 100);
});
new ResizeObserver(() => listening && Plotly.Plots.resize(box)).observe(box);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
drawWhenReady();
