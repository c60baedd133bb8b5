// What makes the pages quicker to use; they work without it.
"use strict";
const find = (selector) => document.querySelector(selector);

// Minutes appear while the model writes them. The server has escaped what it sends here.
const watched = find("[data-events]");
if (watched) {
  const source = new EventSource(watched.dataset.events);
  source.addEventListener("stage", (event) => { find("[data-stage]").textContent = JSON.parse(event.data); });
  source.addEventListener("minutes", (event) => { find("[data-minutes]").innerHTML = JSON.parse(event.data); });
  source.addEventListener("ended", () => { source.close(); location.reload(); });
}

const text = find("#text");
if (text) {
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) text.form.requestSubmit();
  });
  text.addEventListener("dragover", (event) => { event.preventDefault(); text.classList.add("dropping"); });
  text.addEventListener("dragleave", () => text.classList.remove("dropping"));
  text.addEventListener("drop", async (event) => {
    text.classList.remove("dropping");
    const file = event.dataTransfer.files[0];
    if (!file) return;
    event.preventDefault();
    text.value = (await file.text()).slice(0, text.maxLength);
  });
  text.form.addEventListener("submit", () => { text.form.querySelector("button.main").disabled = true; });
}

// The names of the service's models, once somebody wants to choose one.
const model = find("#model");
if (model) {
  model.addEventListener("focus", async () => {
    try {
      const answer = await (await fetch("/models")).json();
      find("#models").replaceChildren(...(answer.models || []).map((name) => new Option(name, name)));
      find("#models-note").textContent = answer.problem || "";
    } catch { /* The names are a convenience. */ }
  }, { once: true });
}

const copy = find("[data-copy]");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(await (await fetch(copy.dataset.copy)).text());
    copy.textContent = "Copied";
  });
}

document.addEventListener("submit", (event) => {
  if (event.target.querySelector("button.delete") && !confirm("Delete this for good?")) event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea")) { event.preventDefault(); find("#q").focus(); }
});
// A page from the browser's memory has its buttons as they were left.
addEventListener("pageshow", () => document.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; }));
