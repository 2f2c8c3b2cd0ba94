// Around the columns of answers that views.answer_columns makes. Runs once for the component.

// The best layer comes into view while no one has scrolled; afterwards the reader's place is kept, until
// another run's columns come.
let ours = 0; // where this script last scrolled to
let isReading = false;
let shownLayers = "";

watch("value", () => {
  const columns = element.querySelector(".hcl-columns");
  if (!columns) return;
  const layers = [...columns.querySelectorAll(".hcl-column")].map((column) => column.dataset.layer).join();
  if (layers !== shownLayers) isReading = false;
  shownLayers = layers;
  const best = columns.querySelector(".hcl-column.best");
  if (!isReading && best) {
    columns.scrollLeft = best.offsetLeft - columns.offsetLeft - (columns.clientWidth - best.offsetWidth) / 2;
    ours = columns.scrollLeft;
  }
});

// Scrolling does not bubble; one listener that captures serves whatever columns there will be.
element.addEventListener(
  "scroll",
  (event) => {
    if (event.target.matches(".hcl-columns") && Math.abs(event.target.scrollLeft - ours) > 4) isReading = true;
  },
  { capture: true, passive: true },
);

// The same answer lights up in every layer, so that one sees where it is born.
element.addEventListener("pointerover", (event) => {
  const card = event.target.closest(".hcl-card");
  element.querySelectorAll(".hcl-card").forEach((other) => {
    other.classList.toggle("echo", card !== null && other.dataset.meaning === card.dataset.meaning);
  });
});
