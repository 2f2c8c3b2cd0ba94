// Puts the page's own address before the query of views.runs.link_box. Runs once for the component.
function fillInAddress() {
  element.querySelectorAll("input[data-query]").forEach((field) => {
    field.value = location.origin + location.pathname + field.dataset.query;
  });
  document.dispatchEvent(new CustomEvent("hcl:view")); // another view is on screen
}

element.addEventListener("click", async (event) => {
  const button = event.target.closest(".hcl-link button");
  if (!button) return;
  const field = button.parentElement.querySelector("input");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    const before = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = before), 1600);
  } catch {
    /* no clipboard on an address without https: the text is selected, ready to be copied by hand */
  }
});

watch("value", fillInAddress);
fillInAddress();
