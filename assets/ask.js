// The list of questions under the field #question, as a combobox, and the page's keys. Runs once for the component.
const field = () => document.querySelector("#question textarea");
const options = () => [...element.querySelectorAll("[role=option]")];
const isVisible = (node) => Boolean(node && node.offsetParent);
let isOpen = false;
let active = -1; // the option that the arrow keys have reached
let activeId; // its question, which a later list may have in another place
let pending = null; // the timer of a search that the server is not asked yet

function show() {
  const box = field();
  document.body.classList.toggle("hcl-finding", isOpen);
  box.setAttribute("aria-expanded", String(isOpen));
  options().forEach((option, number) => option.setAttribute("aria-selected", String(number === active)));
  const reached = options()[active];
  activeId = reached?.dataset.id;
  if (reached) {
    box.setAttribute("aria-activedescendant", reached.id);
    reached.scrollIntoView({ block: "nearest" });
  } else box.removeAttribute("aria-activedescendant");
}

function open(text) {
  isOpen = true;
  active = -1;
  clearTimeout(pending);
  pending = setTimeout(() => window.hclInTurn("look", () => trigger("look", { text })), 60);
  show();
}

function close() {
  isOpen = false;
  active = -1;
  clearTimeout(pending);
  show();
}

function pick(option) {
  close();
  trigger("pick", { id: option.dataset.id });
}

function press(id) {
  const button = document.querySelector(id);
  if (!isVisible(button) || button.disabled) return false;
  button.click();
  return true;
}

function onKey(event) {
  if (event.isComposing) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (event.key === "ArrowUp" && !isOpen) return;
    event.preventDefault();
    if (!isOpen) return open("");
    const number = options().length;
    const step = event.key === "ArrowDown" ? 1 : -1;
    active = active + step < -1 ? number - 1 : active + step >= number ? -1 : active + step;
    show();
  } else if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    event.stopPropagation();
    const reached = options()[active];
    if (isOpen && reached) return pick(reached);
    close();
    press("#run");
  } else if (event.key === "Escape" && isOpen) {
    event.stopPropagation();
    close();
  } else if (event.key === "Tab") close();
}

// Whether a question was typed over another one, whose right answers are none of it; ideas.js minds those.
let before = "";
function announce(text) {
  let kept = 0;
  while (kept < text.length && text[kept] === before[kept]) kept++;
  const most = Math.min(text.length, before.length) - kept;
  let end = 0;
  while (end < most && text.at(-1 - end) === before.at(-1 - end)) end++;
  const isAnother = !text.trim() || (kept + end) * 2 < before.length;
  document.dispatchEvent(new CustomEvent("hcl:asked", { detail: { text: text.trim(), before: before.trim(), isAnother } }));
}

// Gradio measures the lines when their number changes, and that once before the page has its style.
let width = 0;
function fitLines() {
  const box = field();
  if (!box.clientWidth || box.clientWidth === width) return;
  width = box.clientWidth;
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function attach(tries) {
  const box = field();
  if (!box) {
    if (tries) setTimeout(() => attach(tries - 1), 50);
    return;
  }
  const attributes = { role: "combobox", "aria-autocomplete": "list", "aria-controls": "question-list", "aria-expanded": "false" };
  Object.entries(attributes).forEach(([name, value]) => box.setAttribute(name, value));
  box.addEventListener("keydown", onKey, true);
  box.addEventListener("focus", () => (before = box.value));
  box.addEventListener("beforeinput", () => (before = box.value));
  box.addEventListener("input", () => {
    announce(box.value);
    open(box.value);
  });
  box.addEventListener("click", () => isOpen || open(""));
  box.addEventListener("blur", close);
  new ResizeObserver(() => setTimeout(fitLines)).observe(box);
}
attach(200);

watch("value", () => {
  active = options().findIndex((option) => option.dataset.id === activeId);
  show();
});
// A press must not take the focus from the field before the click comes: its blur closes the list.
element.addEventListener("pointerdown", (event) => event.preventDefault());
element.addEventListener("click", (event) => {
  const option = event.target.closest("[role=option]");
  if (option) pick(option);
});

// Keys of the whole tab. Whoever types somewhere keeps every key.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || !isVisible(field())) return;
  const isTyping = event.target.closest("input, textarea, select, [contenteditable], [role=listbox]");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    field().focus();
    field().select();
  } else if (event.key === "Escape" && (!isTyping || event.target === field())) press("#stop");
});
