// Runs before Gradio, which speaks navigator.language alone: make that the visitor's first language that the page has,
// as the server does with the Accept-Language header.
const spoken = navigator.languages.find((tag) => languages.includes(tag.toLowerCase().split("-")[0]));
if (spoken) {
  Object.defineProperty(navigator, "language", { value: spoken });
  document.documentElement.lang = spoken;
}
