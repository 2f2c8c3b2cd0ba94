// The page of a student, of the teacher or of the projector: asks what is new, shows it, and sends what is pressed.
const root = document.documentElement;
const { view, base } = root.dataset;
const main = document.getElementById("main");
const problem = document.getElementById("problem");
const said = document.getElementById("said");
const KEY = "hcl-class";
// After an answer, of the teacher's page and the projector, where counts go up fast; and after a failure.
const MS_BETWEEN = view === "student" ? 100 : 700;
const MS_AFTER_FAILURE = 1500;
const teacher = view === "teacher" ? `${location.pathname.replace(/\/+$/, "").split("/").pop()}` : "";
const where = { student: "", show: "show/", teacher: `teacher/${teacher}/` }[view];

let seen = "";
let token = view === "student" ? localStorage.getItem(KEY) : null;

async function ask(path, body) {
  const headers = token ? { "X-Class-Student": token } : {};
  const options = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(`${base}${path}`, { ...options, cache: "no-store" });
  const values = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(values.problem), { isSaid: true, status: answer.status });
  return values;
}

async function join() {
  const joined = await ask("join", null);
  token = joined.token;
  localStorage.setItem(KEY, token);
  document.getElementById("who").textContent = joined.who;
}

// What a student has predicted, in the forms and beside what turned out.
function showMine(mine) {
  for (const form of main.querySelectorAll("form")) {
    const value = mine[form.dataset.question];
    if (value === undefined) continue;
    for (const field of form.querySelectorAll("input")) {
      if (field.type === "radio") field.checked = Number(field.value) === value;
      else field.value = value;
    }
    showSent(form);
  }
  for (const truth of main.querySelectorAll(".truth[data-question]")) {
    const value = mine[truth.dataset.question];
    const own = truth.querySelector(".own");
    if (value === undefined || !truth.dataset.right) {
      own.remove();
    } else {
      const isRight = truth.dataset.right.split(" ").includes(String(value));
      own.textContent = `${isRight ? "✓" : "✕"} ${isRight ? truth.dataset.yes : truth.dataset.no}`;
      own.classList.add(isRight ? "yes" : "no");
    }
    truth.querySelector(`[data-option="${value}"]`)?.classList.add("mine");
  }
}

function showLayer(slider) {
  slider.closest(".slider").querySelector("output").textContent = slider.value;
}

function showSent(form) {
  const sent = form.querySelector(".sent");
  sent.textContent = sent.dataset.sent;
  form.classList.add("is-sent");
  const button = form.querySelector("button");
  button.textContent = button.dataset.again;
  form.querySelectorAll("input[type=range]").forEach(showLayer);
}

function show(state) {
  // What is pressed or chosen stays so while counts go up.
  const focused = document.activeElement?.closest("[data-do]")?.dataset;
  main.innerHTML = state.html;
  main.querySelectorAll("a[href*='{token}']").forEach((link) => {
    link.setAttribute("href", link.getAttribute("href").replace("{token}", teacher));
  });
  main.querySelectorAll("a[data-explore]").forEach((link) => {
    link.href = `${base}../?${link.dataset.explore}`;
  });
  if (view === "student") {
    showMine(state.mine);
    said.textContent = main.querySelector("h1, h2")?.textContent ?? "";
    scrollTo(0, 0);
  }
  if (focused) main.querySelector(`[data-do="${focused.do}"]`)?.focus();
}

async function look() {
  try {
    if (view === "student" && !document.getElementById("who").textContent) await join();
    // The server answers once there is news, or after a while.
    const state = await ask(`${where}state?wait&seen=${encodeURIComponent(seen)}`);
    if (state.version !== seen && state.html !== undefined) {
      show(state);
      seen = state.version;
    }
    problem.textContent = "";
    return MS_BETWEEN;
  } catch (error) {
    problem.textContent = error.isSaid ? error.message : problem.dataset.lost;
    // A new class: this browser joins it.
    if (view === "student" && error.status === 409) document.getElementById("who").textContent = "";
    return MS_AFTER_FAILURE;
  }
}

async function follow() {
  const pause = document.hidden ? MS_AFTER_FAILURE : await look();
  // Not all at once: a class opens the page in the same second.
  setTimeout(follow, pause * (0.8 + 0.4 * Math.random()));
}

async function send(work) {
  try {
    problem.textContent = "";
    await work();
  } catch (error) {
    problem.textContent = error.isSaid ? error.message : problem.dataset.lost;
  }
}

main.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const value = Number(new FormData(form).get(form.querySelector("input").name));
  const sent = { step: Number(form.dataset.step), question: Number(form.dataset.question), value };
  send(async () => {
    await ask("predict", sent);
    showSent(form);
  });
});

main.addEventListener("input", (event) => {
  if (event.target.type === "range") showLayer(event.target);
});

main.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  // What cannot be undone takes a second press.
  if (button.dataset.sure && !button.classList.contains("sure")) {
    button.classList.add("sure");
    button.textContent = button.dataset.sure;
    return;
  }
  send(async () => {
    await ask(`${where}do`, { do: button.dataset.do, at: Number(button.dataset.at ?? -1) });
    await look();
  });
});

document.addEventListener("visibilitychange", () => document.hidden || look());
follow();
