// The chips of right answers: they are the lines of the field #accepted. Runs once for the component.
const text = () => document.querySelector("#accepted textarea");
const lines = () => text().value.split("\n").filter((line) => /[^ |\t\r]/.test(line));
let isWhole = false; // all chips are shown, not one row of them

function keep(changed) {
  text().value = changed.join("\n");
  text().dispatchEvent(new Event("input", { bubbles: true }));
}

// What stands in the field becomes chips: a line each, where several were pasted.
function add(input) {
  const added = input.value.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  input.value = "";
  const known = lines();
  const fresh = added.filter((line, number) => !known.includes(line) && added.indexOf(line) === number);
  if (fresh.length) keep([...known, ...fresh]);
}

function fit() {
  const list = element.querySelector(".hcl-ideas ul");
  if (!list) return;
  const button = element.querySelector(".hcl-all");
  list.classList.toggle("all", isWhole);
  const chips = [...list.children];
  const below = chips.filter((chip) => chip.offsetTop - chips[0].offsetTop > 4);
  // What cannot be seen cannot be reached by keys either.
  chips.forEach((chip) => (chip.style.visibility = !isWhole && below.includes(chip) ? "hidden" : ""));
  button.hidden = below.length === 0;
  button.textContent = isWhole ? "−" : `+${below.length}`;
  button.setAttribute("aria-expanded", String(isWhole));
  button.setAttribute("aria-label", list.dataset.more);
}

element.addEventListener("click", (event) => {
  const remove = event.target.closest("[data-remove]");
  if (remove) {
    keep(lines().filter((_, number) => number !== Number(remove.dataset.remove)));
    element.querySelector("#add-idea").focus();
  } else if (event.target.closest(".hcl-all")) {
    isWhole = !isWhole;
    fit();
  }
});
element.addEventListener("keydown", (event) => {
  if (!event.target.matches("#add-idea") || event.isComposing) return;
  if (event.key === "Enter" && event.target.value.trim()) {
    event.preventDefault();
    add(event.target);
  } else if (event.key === "Backspace" && !event.target.value && lines().length) {
    event.preventDefault();
    event.target.value = lines().at(-1); // to be mended
    keep(lines().slice(0, -1));
  }
});
element.addEventListener("focusout", (event) => event.target.matches("#add-idea") && add(event.target));
element.addEventListener("paste", (event) => {
  const pasted = event.clipboardData.getData("text");
  if (!event.target.matches("#add-idea") || !pasted.trim().includes("\n")) return;
  event.preventDefault();
  add({ value: event.target.value + pasted });
  event.target.value = "";
});
// Another question has other answers; one that is typed again has its own back.
const dropped = new Map();
document.addEventListener("hcl:asked", ({ detail: { text: asked, before, isAnother } }) => {
  if (isAnother && lines().length) {
    dropped.set(before, lines());
    keep([]);
  }
  if (dropped.has(asked) && !lines().length) keep(dropped.get(asked));
});

watch("value", fit);
new ResizeObserver(fit).observe(element);
fit();
