// The chips of settings, and the drawer #drawer that they open, which this browser keeps open or closed. Runs once.
const drawer = () => document.getElementById("drawer");
let isOpen = false;
try {
  isOpen = localStorage.getItem("hcl-drawer") === "open";
} catch {
  /* a browser that keeps nothing */
}

function show() {
  document.body.classList.toggle("hcl-drawer-open", isOpen);
  element.querySelector(".hcl-drawer-switch")?.setAttribute("aria-expanded", String(isOpen));
}

function open(wanted) {
  isOpen = wanted;
  try {
    localStorage.setItem("hcl-drawer", isOpen ? "open" : "closed");
  } catch {
    /* the drawer opens all the same */
  }
  show();
}

element.addEventListener("click", (event) => {
  if (event.target.closest(".hcl-drawer-switch")) return open(!isOpen);
  const chip = event.target.closest("[data-opens]");
  if (!chip) return;
  open(true);
  const control = drawer().querySelector(`#set-${chip.dataset.opens} :is(input, textarea)`);
  control?.scrollIntoView({ block: "nearest" });
  control?.focus();
});
watch("value", show);
show();
