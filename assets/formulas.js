// The switch that shows the walkthrough's formulas, kept in this browser alone. Runs once for the component.
const NAME = "hcl-formulas";
const button = element.querySelector("button");

function show(isOn) {
  document.body.classList.toggle(NAME, isOn);
  button.setAttribute("aria-pressed", String(isOn));
}

function isRemembered() {
  try {
    return localStorage.getItem(NAME) === "true";
  } catch {
    return false; // a browser that keeps nothing
  }
}

button.addEventListener("click", () => {
  const isOn = !document.body.classList.contains(NAME);
  show(isOn);
  try {
    localStorage.setItem(NAME, isOn);
  } catch {
    /* the switch works all the same */
  }
});
show(isRemembered());
