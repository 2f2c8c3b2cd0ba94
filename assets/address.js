// Keeps the address in step with what the page shows, and shows what Back, Forward and links name. Runs once.
// Every tab's link box (views.runs.link_box) holds the address of its view; the form's values are added here.
const { fields, controls, defaults, small, steps, longest } = props.value;
const ours = new Set([...small, ...steps]);
const SETTLED = 250; // milliseconds without news: the parts of one update come one by one

let tab = "explore";
let form = null; // the form's values; null until they are known, then those of the address hold
let numOpening = 1; // addresses that are being opened: what changes meanwhile is their doing
let opened = location.search; // the query of the address
let kept = ""; // the query of the view on screen
let isPartial = false; // the tab's view has not come yet; when it does, that is no step of its own
let formInAddress = new URLSearchParams();

const parametersOf = (text) => new URLSearchParams(text);

function pick(from, names) {
  const to = new URLSearchParams();
  from.forEach((value, name) => names.has(name) && to.append(name, value));
  return to;
}

function readAddress() {
  const query = parametersOf(location.search);
  tab = query.get("tab") || "explore";
  if (form && tab !== "explore") return; // the form stays as it is
  formInAddress = pick(query, new Set([...Object.values(fields), "a"]));
  form = null;
}

function viewOf(name) {
  const boxes = [...document.querySelectorAll(".hcl-link input[data-query]")];
  const queries = boxes.map((box) => parametersOf(box.dataset.query));
  return queries.find((query) => (query.get("tab") || "explore") === name) || null;
}

// A stored question needs its name alone; one of the visitor's own, or one whose answers are not all in, its text.
function isQuestionNamed() {
  const notes = document.querySelector("#headline .hcl-stale");
  const isOfResults = notes && !["question", "running"].includes(document.body.dataset.staleExplore);
  if (isOfResults && JSON.parse(notes.dataset.results).is_stored) return true;
  return ["question", "accepted"].every((name) => form[name] === defaults[name]);
}

function settings() {
  const query = new URLSearchParams();
  const isOtherModel = form.model !== defaults.model; // which brings layers of its own
  for (const [control, name] of Object.entries(fields)) {
    const isChanged = form[control] !== defaults[control] || (isOtherModel && control.endsWith("_layer"));
    if (control !== "question" && isChanged && form[control] !== null) query.append(name, form[control]);
  }
  return query;
}

function question() {
  const query = new URLSearchParams();
  if (isQuestionNamed()) return query;
  query.append(fields.question, form.question ?? "");
  String(form.accepted ?? "").split("\n").filter((line) => line.trim()).forEach((line) => query.append("a", line));
  return query;
}

function currentQuery() {
  const query = viewOf(tab) || parametersOf("");
  if (tab !== "explore") query.set("tab", tab);
  const ofForm = form ? [[...settings(), ...question()], [...settings()]] : [[...formInAddress]];
  const choices = [...ofForm, []].map((more) => new URLSearchParams([...query, ...more]).toString());
  return choices.find((each) => each.length <= longest) || choices.at(-1);
}

const stepOf = (query) => pick(parametersOf(query), new Set(steps)).toString();

function follow() {
  const next = currentQuery();
  if (numOpening || next === kept) return;
  const isStep = stepOf(next) !== stepOf(kept) && !isPartial;
  kept = next;
  isPartial = !viewOf(tab);
  // What is not ours, such as Gradio's own theme, stays.
  const others = [...parametersOf(location.search)].filter(([name]) => !ours.has(name));
  const query = new URLSearchParams([...others, ...parametersOf(next)]).toString().replaceAll("%2C", ",");
  // As views.runs.link_box writes it.
  history[isStep ? "pushState" : "replaceState"](null, "", location.pathname + (query && "?" + query) + location.hash);
  opened = location.search;
}

let timer = null;
function soon(work) {
  clearTimeout(timer);
  timer = setTimeout(work, SETTLED);
}

document.addEventListener("hcl:tab", (event) => {
  tab = event.detail;
  if (!numOpening) soon(follow);
});
document.addEventListener("hcl:view", () => numOpening || soon(follow));
// A run of several updates has its link from the first on; at its end its id alone names the question.
document.addEventListener("hcl:ran", () => numOpening || soon(follow));
document.addEventListener("hcl:form", (event) => {
  form = Object.fromEntries(controls.map((name, place) => [name, event.detail[place]]));
  if (!numOpening) soon(follow);
});
// The view of an address is on screen: changes from here on are the visitor's.
document.addEventListener("hcl:opened", () =>
  setTimeout(() => {
    numOpening -= 1;
    if (numOpening) return;
    kept = currentQuery();
    isPartial = !viewOf(tab);
    if (parametersOf(location.search).has("more")) trigger("draw"); // further curves, which take a while
    document.body.dataset.followed = "yes"; // for tests: what comes before is the opening's doing
  }, SETTLED),
);

window.addEventListener("popstate", () => {
  if (location.search === opened) return; // a step within the page
  opened = location.search;
  clearTimeout(timer);
  numOpening += 1;
  readAddress();
  trigger("open", { query: location.search });
});
readAddress();
