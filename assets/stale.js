// Greys results that are not those of what the form asks, and says whose they are. Runs once for the component.
// What the results are of stands above them (views.stale); the form's values come with the event "hcl:form".
const { controls, defaults } = props.value; // names of the form's controls, in its order, and their first values
const OF_QUESTION = ["question", "accepted"];
// Headline of a tab, by the kind of the job that fills it.
const headlines = { explore: "#headline", run_set: "#set-headline" };

let form = defaults;
const pressed = {}; // the form as Run was pressed with it, until its first results come, by kind of job
const seen = {}; // which results are on screen
let usual = defaults; // what a control may say besides what the results are of: their run's form, else what it said first

function resultsOf(kind) {
  const notes = document.querySelector(headlines[kind] + " .hcl-stale");
  return notes && JSON.parse(notes.dataset.results);
}

// Ideas as questions.own.read_idea reads them: spaces round a name, and empty lines, say nothing.
function readIdeas(text) {
  const lines = String(text ?? "").split("\n");
  const ideas = lines.map((line) => line.split("|").map((name) => name.trim().replace(/\s+/g, " ")).filter(Boolean).join("|"));
  return ideas.filter(Boolean).join("\n");
}

function same(name, one, other) {
  if (name === "accepted") return readIdeas(one) === readIdeas(other);
  return String(one ?? "").trim() === String(other ?? "").trim();
}

function differing(results) {
  const isAsAsked = usual !== defaults && OF_QUESTION.every((name) => same(name, form[name], usual[name]));
  if (!isAsAsked && !OF_QUESTION.every((name) => same(name, form[name], results.asked[name]))) return "question";
  const changed = controls.filter((name) => {
    const isOfResults = !(name in results.asked) || same(name, form[name], results.asked[name]);
    return !OF_QUESTION.includes(name) && !isOfResults && !same(name, form[name], usual[name]);
  });
  return changed.length ? "settings" : "";
}

function refresh() {
  for (const kind of Object.keys(headlines)) {
    const results = resultsOf(kind);
    if (results && results.identity !== seen[kind]) {
      seen[kind] = results.identity;
      if (kind === "explore") usual = pressed[kind] || defaults;
      delete pressed[kind];
    }
    const why = !results ? "" : pressed[kind] ? "running" : results.asked ? differing(results) : "";
    document.body.setAttribute(`data-stale-${kind}`, why); // of the body: the parts of a tab come and go
  }
}

// Parts of one update come one by one: a form that is filled in after its results is not another form.
let timer = null;
function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, 60);
}

document.addEventListener("hcl:form", (event) => {
  form = Object.fromEntries(controls.map((name, place) => [name, event.detail[place]]));
  refreshSoon();
});
document.addEventListener("hcl:view", refreshSoon);
document.addEventListener("hcl:run", (event) => {
  pressed[event.detail] = form;
  refresh();
});
document.addEventListener("hcl:ran", (event) => {
  setTimeout(() => {
    refresh(); // its last results may have come just now
    delete pressed[event.detail];
    refresh();
  }, 100);
});
