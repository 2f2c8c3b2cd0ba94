// Two switches of the whole page, kept in this browser alone. Runs once for the component.
const remembered = {
  get: (name) => {
    try {
      return localStorage.getItem("hcl-" + name);
    } catch {
      return null; // a browser that keeps nothing
    }
  },
  set: (name, value) => {
    try {
      localStorage.setItem("hcl-" + name, value);
    } catch {
      /* the switch works all the same */
    }
  },
};
const switches = { "switch-large": "hcl-large", "switch-dark": "dark" };

function show(id, isOn) {
  document.body.classList.toggle(switches[id], isOn);
  const button = document.getElementById(id);
  if (button) button.setAttribute("aria-pressed", String(isOn));
}

function restore(tries) {
  let areButtonsThere = true;
  for (const id of Object.keys(switches)) {
    const stored = remembered.get(id);
    show(id, stored === null ? document.body.classList.contains(switches[id]) : stored === "true");
    areButtonsThere = areButtonsThere && document.getElementById(id) !== null;
  }
  if (!areButtonsThere && tries) setTimeout(() => restore(tries - 1), 100); // the buttons may come after this
}
restore(100);

document.addEventListener("click", (event) => {
  const button = event.target.closest(Object.keys(switches).map((id) => "#" + id).join());
  if (!button) return;
  const isOn = !document.body.classList.contains(switches[button.id]);
  show(button.id, isOn);
  remembered.set(button.id, isOn);
});
