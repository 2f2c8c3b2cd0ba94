// What a marked word means. A mark is a button with data-term; labels of controls with the class hcl-explained get one.
// Runs once for the page.
const { entries, more, back: backTo } = JSON.parse(props.value);
const box = element.querySelector(".hcl-term-box");
const part = (name) => box.querySelector(`[data-part="${name}"]`);
const host = document.querySelector(".gradio-container") || document.body;
host.append(box); // the title, which may be out of sight, does not take it along

let mark = null; // what the box belongs to
let pressedOpen = null; // the mark that was pressed while its box was open: that press closes it
let cameFrom = null; // the view that Learn was opened from
const back = document.createElement("button");
back.type = "button";
back.className = "hcl-term-back";

function newMark(term, entry) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "hcl-term";
  button.dataset.term = term;
  button.setAttribute("aria-label", entry.asked);
  button.setAttribute("aria-haspopup", "dialog");
  return button;
}

// Gradio's labels hold text alone, and it makes them anew: those without a mark get one.
let planned = false;
function markLabels() {
  planned = false;
  document.querySelectorAll(".hcl-explained").forEach((control) => {
    const label = control.querySelector('[data-testid="block-info"]');
    if (!label || label.querySelector(".hcl-term")) return;
    const name = [...control.classList].find((each) => each.startsWith("hcl-term-"));
    const term = name && name.slice("hcl-term-".length);
    if (entries[term]) label.append(newMark(term, entries[term]));
  });
}
new MutationObserver(() => {
  if (planned) return;
  planned = true;
  setTimeout(markLabels, 150); // once for many changes
}).observe(document.body, { childList: true, subtree: true });
markLabels();

function place() {
  const at = mark.getBoundingClientRect();
  const left = Math.min(at.left - 12, innerWidth - box.offsetWidth - 8);
  const fitsBelow = at.bottom + 6 + box.offsetHeight <= innerHeight;
  const top = fitsBelow || at.top < box.offsetHeight + 6 ? at.bottom + 6 : at.top - 6 - box.offsetHeight;
  box.style.left = `${Math.max(left, 8) + scrollX}px`;
  box.style.top = `${top + scrollY}px`;
}

function open(button) {
  const entry = entries[button.dataset.term];
  if (!entry) return;
  mark = button;
  part("name").textContent = entry.term;
  part("definition").textContent = entry.definition;
  part("formula").textContent = entry.formula;
  part("formula").hidden = !entry.formula;
  part("more").textContent = more;
  part("more").hidden = !entry.step;
  box.dataset.step = entry.step;
  box.showPopover();
  place();
  box.focus({ preventScroll: true });
}

// The mark, or the one that stands in its place since its part of the page was made anew.
function markAgain(button) {
  if (button.isConnected) return button;
  return [...document.querySelectorAll(`[data-term="${button.dataset.term}"]`)].find((each) => each.offsetParent);
}

box.addEventListener("toggle", (event) => {
  if (event.newState === "open" || !mark) return;
  const isLost = document.activeElement === document.body || box.contains(document.activeElement);
  if (isLost) markAgain(mark)?.focus({ preventScroll: true });
});
// Escape closes the box and nothing else.
box.addEventListener("keydown", (event) => event.key === "Escape" && event.stopPropagation());

const selectedTab = () => document.querySelector('#tabs [role="tab"][aria-selected="true"][data-tab-id]');

// Waits for what Gradio has yet to draw.
function whenShown(find, then, tries = 100) {
  const found = find();
  if (found) then(found);
  else if (tries) setTimeout(() => whenShown(find, then, tries - 1), 30);
}

part("more").addEventListener("click", () => {
  const tab = selectedTab();
  const from = mark;
  box.hidePopover();
  if (!tab || tab.dataset.tabId !== "learn") {
    cameFrom = tab && { tab: tab.dataset.tabId, mark: from, top: scrollY };
    back.textContent = `← ${backTo.replace("{tab}", tab ? tab.textContent.trim() : "")}`;
  }
  trigger("learn");
  whenShown(
    () => [document.getElementById("learn")].find((each) => each && each.offsetParent),
    (learn) => {
      if (cameFrom) learn.before(back);
      scrollTo(0, 0);
      (cameFrom ? back : learn).focus();
    },
  );
});

back.addEventListener("click", () => {
  box.dataset.tab = cameFrom.tab;
  const { mark: from, top } = cameFrom;
  forget();
  trigger("back");
  whenShown(
    () => [markAgain(from)].find((each) => each && each.offsetParent),
    (button) => {
      scrollTo(0, top);
      button.focus({ preventScroll: true });
    },
  );
});

function forget() {
  cameFrom = null;
  back.remove();
}

document.addEventListener("pointerdown", (event) => {
  const button = event.target.closest(".hcl-term[data-term]");
  pressedOpen = button && button === mark && box.matches(":popover-open") ? button : null;
}, true);

document.addEventListener("click", (event) => {
  const button = event.target.closest(".hcl-term[data-term]");
  if (button) {
    event.preventDefault(); // in a label it chooses nothing
    event.stopPropagation();
    if (pressedOpen !== button) open(button);
    pressedOpen = null;
  } else if (event.isTrusted && event.target.closest('#tabs [role="tablist"], #tabs .overflow-dropdown')) {
    if (!event.target.closest("#learn")) forget(); // whoever leaves Learn by hand knows the way
  }
}, true);
