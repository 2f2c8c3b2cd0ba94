// Runs before Gradio, which speaks navigator.language alone: make that the visitor's first language that the page has,
// as the server does with the Accept-Language header.
const spoken = navigator.languages.find((tag) => languages.includes(tag.toLowerCase().split("-")[0]));
if (spoken) {
  // Gradio has Chinese as zh-CN and zh-TW, and speaks English to any other: the page's is simplified.
  const tag = /^zh\b/i.test(spoken) ? "zh-CN" : spoken;
  Object.defineProperty(navigator, "language", { value: tag });
  document.documentElement.lang = tag;
}
