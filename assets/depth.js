// Shows props.value, which views.depth makes: one layer at a time, walked by hand or by itself. Runs once for the component.
const MS_A_LAYER = 700;
const box = element.querySelector(".hcl-depth");
const part = (name) => box.querySelector(`[data-part="${name}"]`);
const slider = part("slider");
const presents = document.documentElement.classList.contains("hcl-presents");

let at = 0; // index of the step that is shown
let isChosen = false; // whether somebody has chosen its layer; else the last layer stands there
let goesOn = false; // whether Play goes on from here, not from the first layer
let timer = null; // of the next step, while it plays
let pending = null; // of a choice that the server is not told of yet
let key = ""; // of the question that is shown

const steps = () => (props.value && props.value.steps) || [];
const layerOf = (index) => steps()[index].layer;

function make(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

// The largest type that their place has room for.
function fitAnswers() {
  const [answers, more] = [part("answers"), part("more")];
  const place = answers.parentElement;
  for (const size of ["large", "medium", "small"]) {
    place.dataset.size = size;
    if (answers.offsetHeight + more.offsetHeight <= place.clientHeight) return;
  }
}

function showAnswers(step) {
  part("more").textContent = step.more;
  part("answers").replaceChildren(
    ...step.leaders.map((leader) => {
      const made = make("span", leader.outcome, "");
      if (leader.sign) {
        const sign = make("i", "", leader.sign);
        sign.setAttribute("role", "img");
        sign.setAttribute("aria-label", leader.judged);
        made.append(sign, " ");
      }
      const text = make("span", "", leader.text);
      text.dir = "auto";
      made.append(text);
      return made;
    }),
  );
  fitAnswers();
}

function showScale(step) {
  const scale = part("scale");
  scale.hidden = step.score === null || step.low === null;
  scale.style.setProperty("--low", step.low);
  scale.style.setProperty("--high", step.high);
  scale.style.setProperty("--score", step.score);
}

function show() {
  const step = steps()[at];
  box.dataset.outcome = step.outcome;
  box.dataset.layer = step.layer;
  part("layer").textContent = step.name;
  showAnswers(step);
  part("share").textContent = step.share;
  part("portion").style.width = `${100 * step.portion}%`;
  part("sure").textContent = step.sure;
  showScale(step);
  part("news").replaceChildren(...step.news.map((text) => make("span", "", text)));
  slider.value = at;
  // While it plays, nothing is read out: it would never end.
  slider.setAttribute("aria-valuetext", timer ? props.value.labels.playing : step.said);
  const query = new URLSearchParams(props.value.query);
  query.set("layer", step.layer);
  part("leave").href = `?${query}`;
  query.set("present", "1");
  part("present").href = `?${query}`;
}

// One bar a layer: how common its most common answer is; the fill says right, wrong or neither without colour too.
function drawStrip() {
  part("strip").replaceChildren(
    ...steps().map((step) => {
      const bar = document.createElement("u");
      bar.className = step.outcome;
      bar.style.setProperty("--portion", step.portion);
      return bar;
    }),
  );
}

function standOn(index, isOurs) {
  at = index;
  show();
  if (!isOurs) return;
  isChosen = true;
  document.dispatchEvent(new CustomEvent("hcl:layer", { detail: { group: props.group, layer: layerOf(at) } }));
}

const choose = () => trigger("choose", { layer: layerOf(at) });
function sendChoice() {
  clearTimeout(pending); // an arrow key that is held down asks the server once
  pending = setTimeout(() => window.hclInTurn(`choose ${props.group}`, choose), 120);
}

function showPlay() {
  const { play, pause } = props.value.labels;
  const button = part("play");
  button.classList.toggle("playing", timer !== null);
  button.querySelector("span").textContent = timer ? pause : play;
}

function stop() {
  if (timer === null) return;
  clearTimeout(timer);
  timer = null;
  showPlay();
  show();
}

// What a play has come to is chosen, and read out once.
function rest() {
  stop();
  part("spoken").textContent = steps()[at].said;
  sendChoice();
}

function walk() {
  if (at >= steps().length - 1) {
    rest();
    return;
  }
  standOn(at + 1, true);
  timer = setTimeout(walk, MS_A_LAYER);
}

function togglePlay() {
  if (timer) {
    goesOn = true;
    rest();
    return;
  }
  clearTimeout(pending);
  part("spoken").textContent = "";
  const isAtEnd = at === steps().length - 1;
  timer = setTimeout(walk, MS_A_LAYER);
  standOn(goesOn && !isAtEnd ? at : 0, true);
  goesOn = false;
  showPlay();
}

part("play").addEventListener("click", togglePlay);

slider.addEventListener("input", () => {
  stop();
  goesOn = true;
  standOn(Number(slider.value), true);
});
slider.addEventListener("change", sendChoice);
slider.addEventListener("keydown", (event) => {
  if (event.key !== " ") return;
  event.preventDefault();
  togglePlay();
});

// A layer that was chosen in another part of the page.
document.addEventListener("hcl:layer", (event) => {
  const { group, layer } = event.detail;
  if (!box.isConnected || group !== props.group || !steps().length || layer === layerOf(at)) return;
  goTo(layer);
});

function goTo(layer) {
  stop();
  goesOn = false;
  const index = steps().findIndex((step) => step.layer === layer);
  isChosen = index >= 0;
  standOn(isChosen ? index : steps().length - 1, false);
}

function showNewSteps() {
  const { value } = props;
  box.hidden = steps().length === 0;
  if (box.hidden) {
    clearTimeout(timer);
    timer = null;
    return;
  }
  if (presents && !key) setTimeout(() => slider.focus({ preventScroll: true })); // keys work at once before a room
  const before = box.dataset.layer;
  const isOther = value.key !== key;
  key = value.key;
  for (const [name, text] of Object.entries(value.labels)) {
    if (part(name) && part(name).matches("a")) part(name).querySelector("span").textContent = text;
  }
  box.setAttribute("aria-label", value.labels.name);
  slider.setAttribute("aria-label", value.labels.slider);
  slider.max = steps().length - 1;
  box.style.setProperty("--steps", steps().length);
  part("present").hidden = !value.query;
  part("file").hidden = !value.file;
  part("file").href = value.file;
  drawStrip();
  if ((isOther || !timer) && "layer" in value) {
    goTo(value.layer);
  } else {
    // More answers of the same question: the place stays, by its layer.
    const same = steps().findIndex((step) => String(step.layer) === before);
    standOn(isOther || !isChosen || same < 0 ? steps().length - 1 : same, false);
  }
  showPlay();
}

// An address that opens nothing, or something else than it names, has nothing to present: the whole page says why.
const headline = document.getElementById("headline");
if (presents && headline) {
  const followHeadline = () =>
    document.documentElement.classList.toggle("hcl-presents", !headline.querySelector(".hcl-empty, .hcl-notices"));
  new MutationObserver(followHeadline).observe(headline, { childList: true, subtree: true });
  followHeadline();
}

watch("value", showNewSteps);
showNewSteps();
new ResizeObserver(fitAnswers).observe(part("answers").parentElement);
