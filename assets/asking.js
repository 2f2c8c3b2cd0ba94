// In front of scripts that tell the server of events of which the last one counts. While an event is answered, Gradio keeps
// the last of later ones back, and then sends it with the data of the first. So one of a kind is sent at a time, and after
// its answer, which tabs.base.wire_in_turn tells, the last one that came meanwhile.
if (!window.hclInTurn) {
  const waiting = new Map(); // what is to be sent next, by the kinds of which one is under way
  window.hclInTurn = (kind, send) => {
    if (waiting.has(kind)) {
      waiting.set(kind, send);
      return;
    }
    waiting.set(kind, null);
    send();
  };
  document.addEventListener("hcl:answered", ({ detail: kind }) => {
    const send = waiting.get(kind);
    waiting.delete(kind);
    if (send) setTimeout(() => window.hclInTurn(kind, send)); // once Gradio is done with the answer
  });
}
