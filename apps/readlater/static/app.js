// What makes the pages quicker to use; they work without it.
"use strict";
const find = (selector) => document.querySelector(selector);

// What waits is shown once it is ready. The page comes from the server, which has escaped all of it.
if (find("[data-live] .spinner")) {
  const source = new EventSource("/events");
  const refresh = async () => {
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    for (const selector of ["[data-live]", ".lists", "article > h1", "article > .quiet"]) {
      const [old, fresh] = [find(selector), page.querySelector(selector)];
      if (old && fresh) old.replaceWith(fresh);
    }
    if (!find("[data-live] .spinner")) source.close();
  };
  // At the start too: it may have become ready since the page was made.
  source.addEventListener("open", refresh);
  source.addEventListener("changed", refresh);
}

const what = find("#what");
if (what) {
  const grow = () => { what.rows = Math.min(12, what.value.split("\n").length); };
  what.addEventListener("input", grow);
  what.addEventListener("keydown", (event) => {
    const isLink = /^https?:\/\/\S+$/i.test(what.value.trim());
    if (event.key === "Enter" && (isLink || event.ctrlKey || event.metaKey)) { event.preventDefault(); what.form.requestSubmit(); }
  });
  grow();
}

document.addEventListener("submit", (event) => {
  if (event.target.querySelector("button.delete") && !confirm("Delete this for good?")) event.preventDefault();
});

// Keys: / searches, a adds, j and k go through the list, Enter opens.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea")) return;
  const links = [...document.querySelectorAll(".card h2 a")];
  const at = links.indexOf(document.activeElement);
  const target = { "/": find("#q"), a: what, j: links[Math.min(at + 1, links.length - 1)], k: links[Math.max(at - 1, 0)] }[event.key];
  if (target) { event.preventDefault(); target.focus(); }
});
