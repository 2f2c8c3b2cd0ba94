// Around the columns of answers that views.answers makes. Runs once for the component.

let scrolledTo = 0; // where this script last scrolled to
let isReading = false; // the reader has scrolled: their position stays until another run's columns come
let shownLayers = "";
let chosenLayer = null;
let every = 1; // one column in so many is shown
let pinned = null; // a meaning that stays lit after a click

const all = (selector) => [...element.querySelectorAll(selector)];
const layerOf = (node) => Number(node.closest(".hcl-column").dataset.layer);

function thin() {
  const columns = all(".hcl-column");
  columns.forEach((column, index) => {
    const stays =
      (columns.length - 1 - index) % every === 0 ||
      column.classList.contains("best") ||
      column.classList.contains("selected");
    column.hidden = !stays;
  });
  all("[data-every]").forEach((button) => {
    button.setAttribute("aria-pressed", String(Number(button.dataset.every) === every));
  });
}

function mark(layer, scroll) {
  chosenLayer = layer;
  all(".hcl-column").forEach((column) => column.classList.toggle("selected", column.dataset.layer === String(layer)));
  thin();
  const column = element.querySelector(".hcl-column.selected");
  if (!column || !scroll) return;
  isReading = true;
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
  column.parentElement.scrollTo({ left: middleOf(column), behavior: reduced ? "auto" : "smooth" });
}

// Where to scroll so that a column stands in the middle; its own offset says nothing while it sticks to a side.
function middleOf(column) {
  const columns = column.parentElement;
  const shown = all(".hcl-column:not([hidden])");
  const step = column.offsetWidth + (parseFloat(getComputedStyle(columns).columnGap) || 0);
  return shown.indexOf(column) * step - (columns.clientWidth - column.offsetWidth) / 2;
}

// Highlight one meaning in every layer: where it first appears, and where it ends.
function highlight(meaning) {
  let lit = null;
  all(".hcl-card").forEach((card) => {
    const isLit = meaning !== null && card.dataset.meaning === meaning;
    card.classList.toggle("echo", isLit);
    if (isLit) lit = card;
  });
  const followed = element.querySelector(".hcl-followed");
  if (!followed) return;
  followed.textContent = lit ? `${lit.querySelector("span").textContent} · ${lit.dataset.life}` : followed.dataset.hint;
  followed.classList.toggle("lit", lit !== null);
}

// One stop for the Tab key; arrows move inside.
function makeTabStop(target) {
  all(".hcl-choose, .hcl-card").forEach((stop) => (stop.tabIndex = stop === target ? 0 : -1));
}

// As high as the highest column in sight: one out of sight may be far higher, and would leave an empty area below these.
// While columns move, the height grows with those that come, and only then shrinks.
const fitting = new ResizeObserver(() => fit());
let settling = null;

function fit(isMoving = false) {
  const columns = element.querySelector(".hcl-columns");
  if (!columns || !columns.clientWidth) return; // on another tab
  const area = columns.getBoundingClientRect();
  const inSight = all(".hcl-column:not([hidden])").filter((column) => {
    const place = column.getBoundingClientRect();
    return place.right > area.left + 1 && place.left < area.right - 1;
  });
  const style = getComputedStyle(columns);
  const around = parseFloat(style.paddingTop) + parseFloat(style.paddingBottom) + columns.offsetHeight - columns.clientHeight;
  const wanted = Math.ceil(Math.max(0, ...inSight.map((column) => column.offsetHeight)) + around);
  if (!isMoving || wanted > columns.offsetHeight) columns.style.maxHeight = `${wanted}px`;
  columns.scrollTop = 0;
}

function showNewColumns() {
  const columns = element.querySelector(".hcl-columns");
  if (!columns) return;
  columns.dataset.group = props.group;
  const layers = all(".hcl-column").map((column) => column.dataset.layer).join();
  if (layers !== shownLayers) isReading = false;
  shownLayers = layers;
  if (columns.dataset.chosen) {
    chosenLayer = Number(columns.dataset.chosen); // what the page was opened with
    delete columns.dataset.chosen;
  }
  pinned = null; // meanings are numbered anew with each answer that comes
  mark(chosenLayer, false);
  highlight(pinned);
  const best = columns.querySelector(".hcl-column.best");
  const start = element.querySelector(".hcl-column.best .hcl-choose") || element.querySelector(".hcl-choose");
  makeTabStop(start);
  if (!isReading && best) {
    columns.scrollLeft = middleOf(best);
    scrolledTo = columns.scrollLeft;
  }
  fitting.disconnect();
  [element, ...all(".hcl-column")].forEach((each) => fitting.observe(each)); // cards grow, tabs open, type changes
  fit();
}

function choose(layer) {
  mark(layer, true);
  document.dispatchEvent(new CustomEvent("hcl:layer", { detail: { group: props.group, layer } }));
  window.hclInTurn(`choose ${props.group}`, () => trigger("choose", { layer }));
}

watch("value", showNewColumns);
showNewColumns();

document.addEventListener("hcl:layer", (event) => {
  if (!element.isConnected || event.detail.group !== props.group || event.detail.layer === chosenLayer) return;
  mark(event.detail.layer, event.detail.layer !== null);
});

// Scrolling does not bubble; one listener that captures serves whatever columns there will be.
element.addEventListener(
  "scroll",
  (event) => {
    if (event.target.matches(".hcl-columns") && Math.abs(event.target.scrollLeft - scrolledTo) > 4) isReading = true;
    fit(true);
    clearTimeout(settling);
    settling = setTimeout(fit, 250);
  },
  { capture: true, passive: true },
);

element.addEventListener("pointerover", (event) => {
  const card = event.target.closest(".hcl-card");
  highlight(card ? card.dataset.meaning : pinned);
});
element.addEventListener("pointerleave", () => highlight(pinned));
element.addEventListener("focusin", (event) => {
  const card = event.target.closest(".hcl-card");
  highlight(card ? card.dataset.meaning : pinned);
});

element.addEventListener("click", (event) => {
  const step = event.target.closest("[data-every]");
  if (step) {
    every = Number(step.dataset.every);
    thin();
    return;
  }
  const card = event.target.closest(".hcl-card");
  if (card) {
    pinned = pinned === card.dataset.meaning ? null : card.dataset.meaning;
    highlight(pinned);
  }
  if (card || event.target.closest(".hcl-choose")) choose(layerOf(event.target));
});

element.addEventListener("keydown", (event) => {
  const stop = event.target.closest(".hcl-choose, .hcl-card");
  if (!stop) return;
  const columns = all(".hcl-column:not([hidden])");
  const column = stop.closest(".hcl-column");
  const at = columns.indexOf(column);
  const stops = [...column.querySelectorAll(".hcl-choose, .hcl-card")];
  const row = stops.indexOf(stop);
  const beside = (step) => {
    const other = columns[at + step];
    if (!other) return stop;
    const otherStops = [...other.querySelectorAll(".hcl-choose, .hcl-card")];
    return otherStops[Math.min(row, otherStops.length - 1)];
  };
  let target = null;
  if (event.key === "ArrowRight") target = beside(1);
  else if (event.key === "ArrowLeft") target = beside(-1);
  else if (event.key === "ArrowDown") target = stops[Math.min(row + 1, stops.length - 1)];
  else if (event.key === "ArrowUp") target = stops[Math.max(row - 1, 0)];
  else if (event.key === "Home") target = columns[0].querySelector(".hcl-choose");
  else if (event.key === "End") target = columns[columns.length - 1].querySelector(".hcl-choose");
  else if (event.key === "Escape") {
    pinned = null;
    highlight(null);
    return;
  } else if (event.key === "Enter" && stop.matches(".hcl-card")) stop.click();
  if (!target) return;
  event.preventDefault();
  makeTabStop(target);
  target.focus();
  target.scrollIntoView({ block: "nearest", inline: "nearest" });
});
