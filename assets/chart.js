// Draws props.value, a Plotly figure whose colours are names of CSS variables. Runs once for the component.
const box = element.querySelector(".hcl-chart");
const isMap = () => Boolean(props.value && props.value.data && props.value.data[0].type === "heatmap");
let chosen = { layer: null, position: null };
let listening = false;
let pending = null; // the timer of a choice that the server is not told of yet

function resolved(value, style, scale, key) {
  if (typeof value === "string") {
    if (value === "inherit") return style.fontFamily;
    const name = /^var\((--[\w-]+)\)$/.exec(value);
    return name ? style.getPropertyValue(name[1]).trim() : value;
  }
  if (Array.isArray(value)) return value.map((item) => resolved(item, style, scale));
  if (value && typeof value === "object") {
    const isFont = (key || "").endsWith("font");
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        name,
        isFont && name === "size" ? item * scale : resolved(item, style, scale, name),
      ]),
    );
  }
  return value;
}

// The layers that can be chosen: those of the first curve.
function layers() {
  if (!props.value) return [];
  const curve = props.value.data.find((trace) => trace.fill !== "toself" && trace.x && trace.x.length);
  if (!curve) return [];
  return isMap() ? curve.y : curve.x;
}

function sendChoice(detail) {
  clearTimeout(pending); // an arrow key that is held down asks the server once
  pending = setTimeout(() => window.hclInTurn(`choose ${props.group}`, () => trigger("choose", detail)), 120);
}

// A chart that stands alone, such as a whole set's, has nothing that could be chosen in it.
const isChoosable = () => Boolean(props.group) || isMap();

function choose(layer, position) {
  if (!isChoosable()) return;
  chosen = { layer, position: position ?? null };
  if (props.group) document.dispatchEvent(new CustomEvent("hcl:layer", { detail: { group: props.group, layer } }));
  draw();
  sendChoice(isMap() ? { layer, position: chosen.position } : { layer });
}

// A layer that was chosen in another part of the page.
document.addEventListener("hcl:layer", (event) => {
  if (!box.isConnected || !props.group || event.detail.group !== props.group || event.detail.layer === chosen.layer) return;
  chosen = { layer: event.detail.layer, position: null };
  draw();
});

function chosenShapes(style) {
  if (chosen.layer === null || !layers().includes(chosen.layer)) return [];
  const line = { color: style.getPropertyValue("--hcl-accent").trim(), width: 2 };
  if (!isMap()) {
    return [{ type: "line", x0: chosen.layer, x1: chosen.layer, yref: "paper", y0: 0, y1: 1, line, layer: "below" }];
  }
  const { position, layer } = chosen;
  return [{ type: "rect", x0: position - 0.5, x1: position + 0.5, y0: layer - 0.5, y1: layer + 0.5, line }];
}

// Keys choose layers of a chart and cells of a lens, as clicks do.
box.addEventListener("keydown", (event) => {
  const all = layers();
  if (!isChoosable() || !all.length || event.ctrlKey || event.altKey || event.metaKey) return;
  const at = Math.max(all.indexOf(chosen.layer), 0);
  const last = all.length - 1;
  if (isMap()) {
    const width = props.value.data[0].x.length - 1;
    const position = chosen.position ?? 0;
    const to = {
      ArrowLeft: [at, Math.max(position - 1, 0)],
      ArrowRight: [at, Math.min(position + 1, width)],
      ArrowUp: [Math.min(at + 1, last), position],
      ArrowDown: [Math.max(at - 1, 0), position],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    choose(all[to[0]], to[1]);
    return;
  }
  // With none chosen the keys begin at the last layer, at which the player stands.
  const from = all.includes(chosen.layer) ? at : last;
  const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(all[Math.min(Math.max(to, 0), last)]);
});

// The balance can change without the answers: the mark moves, the columns stay.
function markBest(best) {
  if (!props.group) return;
  document.querySelectorAll(`.hcl-columns[data-group="${props.group}"] .hcl-column`).forEach((column) => {
    column.classList.toggle("best", best !== null && column.dataset.layer === String(best));
  });
}

// A mark for each measured word; glossary.js says what it means.
function showTerms(terms) {
  const line = box.nextElementSibling;
  const key = terms.map((each) => each.term).join();
  if (line.dataset.terms === key) return; // a mark that has the focus stays
  line.dataset.terms = key;
  line.replaceChildren(
    ...terms.map(({ term, asked, word }) => {
      const mark = document.createElement("button");
      Object.assign(mark, { type: "button", className: "hcl-term" });
      mark.dataset.term = term;
      mark.setAttribute("aria-label", asked);
      mark.setAttribute("aria-haspopup", "dialog");
      const shown = document.createElement("span");
      shown.append(word, mark);
      return shown;
    }),
  );
}

// The labels of bars that stand too close: those of the highest bars stay.
function thinBarLabels(data, width, scale) {
  const bars = data.find((trace) => trace.type === "bar" && Array.isArray(trace.text));
  if (!bars || bars.x.length < 2) return;
  const apart = Math.ceil((34 * scale * (bars.x.at(-1) - bars.x[0])) / Math.max(width - 70 * scale, 1)); // in layers
  const kept = [];
  const highest = bars.x.map((_, number) => number).toSorted((a, b) => bars.y[b] - bars.y[a]);
  for (const number of highest) {
    const isFree = kept.every((layer) => Math.abs(layer - bars.x[number]) >= apart);
    if (isFree && bars.text[number]) kept.push(bars.x[number]);
    else bars.text[number] = "";
  }
}

// In letters; a Chinese one is as wide as two others.
const widthOf = (text) => text.length + (text.match(/[\u3000-\u9fff\uff00-\uffef]/g) || []).length;

// A legend never breaks its lines: names that are wider than the chart are broken after spaces and Chinese commas.
function breakNames(data, width, scale) {
  const most = Math.max(16, Math.floor((width - 90 * scale) / (7 * scale))); // letters
  for (const trace of data) {
    if (!trace.name || widthOf(trace.name) <= most) continue;
    const lines = [""];
    for (const piece of trace.name.split(/(?<=[ ，])/)) {
      if (widthOf(lines.at(-1) + piece.trimEnd()) <= most) lines[lines.length - 1] += piece;
      else lines.push(piece);
    }
    trace.name = lines.filter(Boolean).join("<br>");
  }
}

function draw() {
  const figure = props.value;
  if (!figure || !figure.data || !window.Plotly) {
    box.hidden = true;
    return;
  }
  box.hidden = false;
  box.setAttribute("aria-label", props.label || "");
  const style = getComputedStyle(box);
  const scale = parseFloat(style.getPropertyValue("--hcl-scale")) || 1;
  showTerms(figure.terms || []);
  const { data, layout } = resolved(figure, style, scale);
  layout.height *= scale;
  // Wherever layers are chosen, the chart fits on a low screen, in large type too.
  if (props.group && !isMap()) layout.height = Math.min(layout.height, Math.max(320, innerHeight / 2));
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false; // a finger scrolls the page, and a tap chooses
  thinBarLabels(data, box.clientWidth, scale);
  breakNames(data, box.clientWidth, scale);
  layout.margin = Object.fromEntries(Object.entries(layout.margin).map(([side, size]) => [side, size * scale]));
  if (style.getPropertyValue("--hcl-chart-fills")) delete layout.height; // as tall as its box
  else box.style.minHeight = `${layout.height}px`;
  if (layout.hcl_width) {
    box.style.minWidth = `${Math.min(layout.hcl_width * scale, 12000)}px`;
  }
  delete layout.hcl_width;
  layout.shapes = [...(layout.shapes || []), ...chosenShapes(style)];
  const options = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { filename: "hcl-explorer", scale: 2 },
  };
  Plotly.react(box, data, layout, options).then(() => {
    if (listening) return;
    listening = true;
    box.on("plotly_click", (event) => {
      const point = event.points[0];
      if (isMap()) choose(point.y, point.x);
      else choose(point.x);
    });
  });
}

// The library's script is large; the first figure may come before it.
function drawWhenReady() {
  if (window.Plotly) draw();
  else setTimeout(drawWhenReady, 50);
}

function takeFigure() {
  const figure = props.value;
  if (figure && "layer" in figure && figure.layer !== chosen.layer) {
    chosen = { layer: figure.layer, position: figure.position ?? null };
    const detail = { group: props.group, layer: figure.layer };
    if (props.group) document.dispatchEvent(new CustomEvent("hcl:layer", { detail }));
  }
  drawWhenReady();
  if (figure && "best" in figure) setTimeout(() => markBest(figure.best), 100);
}
watch("value", takeFigure);
let width = 0; // that the chart was drawn for
new ResizeObserver(() => {
  if (!listening || box.hidden || !box.clientWidth) return;
  if (box.clientWidth !== width) draw(); // labels of bars stand as close as the width allows
  width = box.clientWidth;
  Plotly.Plots.resize(box);
}).observe(box);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
takeFigure(); // it may have come before this script
