// Sends the forms of a page without leaving it, so that what was typed is still there where something is refused, and asks before
// what cannot be undone. Where scripts do not run, every form works as the browser has it.
"use strict";

// In a block: a page that is written in the place of another runs this again, with the same names.
{
  const tell = (form, parts) => {
    form.querySelector(":scope > .refusal")?.remove();
    const refusal = document.createElement("div");
    refusal.className = "refusal";
    refusal.tabIndex = -1;
    refusal.append(...parts);
    form.prepend(refusal);
    form.ariaBusy = null;
    refusal.focus();
  };

  const trouble = (text) => {
    const told = document.createElement("p");
    told.className = "trouble";
    told.setAttribute("role", "alert");
    told.textContent = text;
    return told;
  };

  const send = async (form, submitter) => {
    const fields = new FormData(form, submitter);
    const body = form.enctype === "multipart/form-data" ? fields : new URLSearchParams(fields);
    const answer = await fetch(form.action, { method: "POST", body, headers: { "mira-form": "1" } });
    const to = answer.headers.get("mira-to");
    if (to) {
      location.assign(to);
      return;
    }
    const text = await answer.text();
    if (answer.ok) {
      document.open();
      document.write(text);
      document.close();
      return;
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    const parts = page.querySelectorAll(".trouble, .trouble + .hint");
    tell(form, parts.length > 0 ? parts : [trouble("That was not done.")]);
  };

  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    // A second click while the first is on its way does nothing twice.
    if (form.ariaBusy === "true") return;
    if (form.dataset.ask && !confirm(form.dataset.ask)) return;
    form.ariaBusy = "true";
    send(form, event.submitter).catch(() => {
      tell(form, [trouble("The desk cannot be reached, so it is not known whether that was done. What you typed is still here.")]);
    });
  });

  // A page that the browser kept says what was, and perhaps to somebody who has signed out.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}
