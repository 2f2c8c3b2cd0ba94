// The buttons of views.learn.stepper: a click, or an arrow key, opens a step. Runs once for the component.
const buttons = () => [...element.querySelectorAll("[data-step]")];

function open(button) {
  buttons().forEach((each) => each.removeAttribute("aria-current"));
  button.setAttribute("aria-current", "step"); // at once; the server's answer says the same
  trigger("choose", { step: Number(button.dataset.step) });
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step]");
  if (button) open(button);
});

let focused = null; // the step whose button had the focus, which a new value takes away
element.addEventListener("keydown", (event) => {
  const all = buttons();
  const at = all.indexOf(event.target.closest("[data-step]"));
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
  if (at < 0 || to === undefined || !all[to]) return;
  event.preventDefault();
  all[to].focus();
  open(all[to]);
});
element.addEventListener("focusin", (event) => (focused = event.target.dataset.step));
element.addEventListener("focusout", (event) => event.relatedTarget && (focused = null));

// The step's button is in view, and so is the step's beginning where the visitor was below it.
let shown = null;
function place() {
  const here = element.querySelector("[aria-current]");
  if (!here) return;
  if (focused) element.querySelector(`[data-step="${focused}"]`).focus({ preventScroll: true });
  const row = here.closest("ol");
  row.scrollLeft = here.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
  if (shown !== null && shown !== here.dataset.step && element.getBoundingClientRect().top < 0) element.scrollIntoView();
  shown = here.dataset.step;
}
watch("value", () => setTimeout(place)); // once the new buttons stand there
setTimeout(place);
