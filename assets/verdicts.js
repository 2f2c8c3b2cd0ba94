// Buttons with which a visitor judges answers: those that views.verdicts makes, and those on a card, which are made
// when it is pointed at or focused. Runs once for each component that shows answers.

let judged = null; // what was pressed: the focus returns to it when the new verdict is on screen

const judgedPlace = (button) => button.closest("[data-answer], [data-group]");

function offerVerdict(card) {
  if (card.querySelector(".hcl-judge")) return;
  const labels = card.closest(".hcl-columns").dataset;
  const buttons = document.createElement("p");
  buttons.className = "hcl-judge";
  for (const [does, sign, name] of [
    ["right", "✓", card.matches(".correct") ? labels.right : labels.rightToo],
    ["wrong", "✕", labels.wrong],
  ]) {
    const label = `${name} (${card.dataset.reach})`; // before the press: it holds for more than this card
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: sign, title: label, ariaLabel: label });
    button.dataset.do = does;
    button.setAttribute("aria-pressed", String(card.dataset.own === does));
    buttons.append(button);
  }
  card.append(buttons);
}

for (const type of ["pointerover", "focusin"]) {
  element.addEventListener(type, (event) => {
    const card = event.target.closest(".hcl-card[data-answer]");
    if (card) offerVerdict(card);
  });
}

function sendVerdict(control, idea) {
  const place = judgedPlace(control);
  const layer = control.closest("[data-layer]");
  const { answer = "", text = "", group = "" } = place ? place.dataset : {};
  judged = { does: control.dataset.do, answer, text, group, layer: layer ? layer.dataset.layer : "" };
  trigger("judge", { do: judged.does, layer: judged.layer, answer, text, group, idea });
}

// Before the listeners of the card that the button stands on: a verdict chooses no layer.
element.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    event.stopPropagation();
    sendVerdict(button, "");
  },
  { capture: true },
);
element.addEventListener(
  "keydown",
  (event) => {
    if (event.target.closest("button[data-do]") && event.key === "Enter") event.stopPropagation();
  },
  { capture: true },
);
element.addEventListener("change", (event) => {
  if (event.target.matches("select[data-do]")) sendVerdict(event.target, event.target.value);
});

function returnFocus() {
  if (!judged) return;
  const { does, answer, text, group, layer } = judged;
  judged = null;
  const active = document.activeElement;
  if (active && active !== document.body && active.isConnected) return; // the visitor has gone on meanwhile
  const column = layer && `[data-layer="${layer}"] `;
  const place =
    (answer && element.querySelector(`${column}[data-answer="${answer}"]${text && `[data-text="${text}"]`}`)) ||
    (group && element.querySelector(`[data-group="${group}"]`)) ||
    element;
  if (place.matches(".hcl-card")) {
    offerVerdict(place);
    place.focus({ preventScroll: true }); // its buttons are shown, and can have the focus, from then on
  }
  const target = place.querySelector(`[data-do="${does}"]`) || place.querySelector("[data-do]");
  if (target) target.focus({ preventScroll: true });
}

watch("value", returnFocus);
