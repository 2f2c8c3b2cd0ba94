// Around the columns of answers that views.answer_columns makes. Runs once for the component.

// The best layer comes into view while no one has scrolled; afterwards the reader's place is kept.
let place = null;

watch("value", () => {
  const columns = element.querySelector(".hcl-columns");
  if (!columns) return;
  const best = columns.querySelector(".hcl-column.best");
  if (place !== null) columns.scrollLeft = place;
  else if (best) columns.scrollLeft = best.offsetLeft - columns.clientWidth / 2 + best.offsetWidth / 2 - columns.offsetLeft;
  const settled = columns.scrollLeft;
  columns.addEventListener("scroll", () => {
    if (Math.abs(columns.scrollLeft - settled) > 4) place = columns.scrollLeft;
  });
});

// The same answer lights up in every layer, so that one sees where it is born.
element.addEventListener("pointerover", (event) => {
  const card = event.target.closest(".hcl-card");
  element.querySelectorAll(".hcl-card").forEach((other) => {
    other.classList.toggle("echo", card !== null && other.dataset.meaning === card.dataset.meaning);
  });
});
