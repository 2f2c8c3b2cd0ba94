// The pictures and the texts of views.share. Runs once for the component.

// `text` as Plotly shows it, in lines; Plotly reads tags in every string.
function inLines(text, letters) {
  const plain = text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const lines = [""];
  for (const word of plain.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length > letters) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines.slice(0, 4);
}

// The chart as it is on the page, in its theme, with question and settings around it.
function savePicture(name, { title, caption, file }) {
  const chart = document.querySelector(`#${name} .hcl-chart`);
  if (!chart || !chart.data) return;
  const style = getComputedStyle(chart);
  const colour = (variable) => style.getPropertyValue(variable).trim();
  const width = 1000;
  const head = inLines(title, 90).slice(0, 2);
  const foot = inLines(caption, 150);
  const { height, margin, ...layout } = chart.layout;
  const around = { top: 26 * head.length + 10, bottom: 17 * foot.length + 22 };
  const note = (lines, font, place) => ({
    text: lines.join("<br>"), font, align: "left", showarrow: false,
    xref: "paper", x: 0, xanchor: "left", xshift: -margin.l + 14, yref: "paper", ...place,
  });
  const annotations = [
    ...(layout.annotations || []),
    note([`<b>${head.join("<br>")}</b>`], { size: 19, color: colour("--hcl-ink") }, { y: 1, yanchor: "bottom", yshift: margin.t + 6 }),
    note(foot, { size: 12, color: colour("--hcl-muted") }, { y: 0, yanchor: "top", yshift: -margin.b - 18 }),
  ];
  const made = {
    ...layout,
    annotations,
    paper_bgcolor: colour("--hcl-panel"),
    margin: { ...margin, l: margin.l + 14, t: margin.t + around.top, b: margin.b + around.bottom },
  };
  const picture = { format: "png", filename: `${file}-${name}`, scale: 2, width, height: height + around.top + around.bottom };
  Plotly.downloadImage({ data: chart.data, layout: made }, picture);
}

async function copyText(button) {
  const text = button.parentElement.querySelector("pre");
  getSelection().selectAllChildren(text);
  try {
    await navigator.clipboard.writeText(text.textContent);
    const before = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = before), 1600);
  } catch {
    /* no clipboard on an address without https: the text is selected, ready to be copied by hand */
  }
}

// Programs call the page by the address that the visitor does.
function fillInAddress() {
  const page = (location.origin + location.pathname).replace(/\/$/, "");
  element.querySelectorAll("pre").forEach((text) => {
    // The first one alone: a visitor's own text, which comes later, stays as it is.
    if (text.textContent.includes("{{page}}")) text.textContent = text.textContent.replace("{{page}}", () => page);
  });
}

element.addEventListener("click", (event) => {
  const button = event.target.closest(".hcl-share button");
  if (!button) return;
  if (button.dataset.picture) savePicture(button.dataset.picture, button.closest(".hcl-share").dataset);
  else copyText(button);
});

watch("value", fillInAddress);
fillInAddress();
