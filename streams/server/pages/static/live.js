"use strict";
// Looks at the page again when the server says that something has changed, and replaces the parts that are marked data-live.
(() => {
  const parts = () => [...document.querySelectorAll("[data-live][id]")];
  const button = document.getElementById("pause"), said = document.getElementById("said");
  if (!button || !document.querySelector("main [data-live]")) return;
  const AGAIN = 30000, OLD = "not live: what is shown may be old. ";
  let source = null, begun = false, timer = 0, paused = false;

  const rows = (part) => new Set([...part.querySelectorAll("tbody tr")].map((row) => row.querySelector("a")?.href));
  const isNew = (before, after) => [...after].filter((it) => it && !before.has(it)).length;

  function replace(part, fresh) {
    const at = document.activeElement, inside = part.contains(at) && at !== part;
    const href = inside ? at.getAttribute("href") : null;
    const open = [...part.querySelectorAll("details")].map((it) => it.open);
    part.replaceChildren(...fresh.childNodes);
    part.querySelectorAll("details").forEach((it, number) => { if (open[number]) it.open = true; });
    if (href) [...part.querySelectorAll("a")].find((it) => it.getAttribute("href") === href)?.focus();
  }

  async function look() {
    timer = 0;
    let got;
    try { got = await fetch(location.href, { headers: { Accept: "text/html" } }); } catch { return; }
    if (got.status === 401 || got.redirected) said.textContent = OLD + "You are logged out: load it again";
    if (!got.ok || got.redirected || !got.headers.get("content-type")?.startsWith("text/html")) return;
    const page = new DOMParser().parseFromString(await got.text(), "text/html");
    let count = 0, changed = false;
    for (const part of parts()) {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.innerHTML === part.innerHTML) continue;
      changed = changed || part.id !== "state";
      count += isNew(rows(part), rows(fresh));
      replace(part, fresh);
    }
    if (count) said.textContent = count === 1 ? "1 new row" : `${count} new rows`;
    else if (changed) said.textContent = "updated";
  }

  function close() { source?.close(); source = null; clearTimeout(timer); timer = 0; }

  function open() {
    if (source || paused || document.hidden) return;
    source = new EventSource("/live");
    source.onmessage = () => {
      if (begun && !timer) timer = setTimeout(look, 250);
      begun = true;
    };
    source.onopen = () => { if (said.textContent.startsWith(OLD)) said.textContent = ""; };
    source.onerror = () => {
      said.textContent = OLD + "It is tried again";
      if (source?.readyState !== EventSource.CLOSED) return; // the browser itself tries again
      close();
      look();
      setTimeout(open, AGAIN);
    };
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    said.textContent = paused ? "paused" : "";
    if (paused) close(); else { open(); look(); }
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else { open(); if (begun && !paused) look(); } });
  addEventListener("pagehide", close);
  open();
})();
