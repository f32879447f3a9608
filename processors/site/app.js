// The page: what the server has, and what waits here.
"use strict";
const API = document.querySelector("meta[name=api]").content;
const LIST = `${API}/rows/user?_sort=-since&_limit=50`;
const SILENT = 40_000, AGAIN = 2_000, ASKED = 5_000, SURE = 60_000; // ms; the server says something every 15 s
const form = document.querySelector("form"), [list, newer, state] = ["list", "newer", "state"].map((id) => document.getElementById(id));
const SAID = { queued: "waits here", sent: "published, not handled yet", accepted: "accepted", aside: "set aside, to be looked at" };
let rows = [], at = null, trouble = "connecting…", note = "";

token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
if (token) history.replaceState(null, "", location.pathname); // read once, kept nowhere

// Without a worker (no TLS, say) the page is its own back end.
const worker = () => navigator.serviceWorker?.controller;
const ask = (request) => (worker() ? fetch(request) : answered(request)[0]);
const poke = () => (worker() ? worker().postMessage({ token }) : send());
const isOpen = (it) => it.state !== "rejected";

async function show() {
  const waiting = await outbox();
  const open = waiting.filter(isOpen), known = new Set(open.map((it) => it.data.user));
  list.replaceChildren(
    ...waiting.reverse().map((it) => line(it.data.user, it.data.email, it)),
    ...rows.filter((it) => !known.has(it.key)).map((it) => line(it.row.name, it.row.email)),
  );
  const way = open.length ? `, ${open.length} on the way` : "", seen = at ? `, as of ${new Date(at).toLocaleString()}` : "";
  const text = (note || trouble || "online") + way + seen;
  if (state.textContent !== text) state.textContent = text; // read out when it changes
}
function line(name, email, item) {
  const made = (tag, values) => Object.assign(document.createElement(tag), values);
  const found = made("li", item && { className: item.state });
  found.append(made("span", { textContent: `${name} · ${email}` }));
  if (item) found.append(made("small", { textContent: SAID[item.state] ?? `rejected: ${item.why}` }));
  if (item?.state === "rejected") found.append(made("button", { textContent: "Dismiss", onclick: () => drop(item.n).then(show) }));
  return found;
}

let busy = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return; // a double click
  busy = true;
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-"); // of this submit
  const headers = { ...TYPE, "Idempotency-Key": key, ...bearer() };
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  try {
    const answer = await ask(new Request(API + new URL(form.action).pathname, { method: "POST", body, headers }));
    note = answer.ok ? "" : (await answer.json()).detail;
    if (answer.ok) form.reset();
  } finally {
    busy = false;
  }
  await show();
});

// The rows, as new as every outcome that is known here.
async function loadOnce() {
  const accepted = (await outbox()).filter((it) => it.state === "accepted"), least = new Map();
  for (const { position, at } of accepted) {
    const [partition, sequence] = (position ?? "").split(":");
    // An old one is in every answer, or in none: its log was made again.
    if (Date.now() - at < SURE && sequence > (least.get(partition) ?? 0)) least.set(partition, Number(sequence));
  }
  const wanted = [...least].map((it) => it.join(":")).join(",");
  const answer = await ask(new Request(LIST + (wanted && `&_min_position=${wanted}`), { headers: bearer() }));
  if (answer.ok) {
    ({ rows } = await answer.json());
    at = Number(answer.headers.get("Retold-Seen")) || null;
    if (at === null) for (const { n } of accepted) await drop(n);
  }
  await show();
}
// One at a time, and once more for what came meanwhile.
let loading = null, more = false;
function load() {
  more = true;
  return (loading ??= (async () => {
    for (; more; await loadOnce()) more = false;
  })().finally(() => (loading = null)));
}

let wake = () => {}, ended = new AbortController();
async function watch() {
  for (;;) {
    try {
      await follow();
    } catch ({ message }) {
      trouble = /40[13]/.test(message) ? "Open it with #token=… behind its address" : "offline";
    }
    await show();
    await new Promise((done) => { wake = done; setTimeout(done, AGAIN); });
  }
}
// The log says when to look again. An EventSource sends no token.
async function follow() {
  ended = new AbortController();
  const answer = await fetch(`${API}/live/user`, { headers: bearer(), signal: ended.signal });
  if (!answer.ok || !/event-stream/.test(answer.headers.get("Content-Type"))) throw new Error(answer.status);
  trouble = "";
  poke();
  for (const reader = answer.body.getReader(); ; load()) {
    const silent = setTimeout(() => ended.abort(), SILENT);
    const { done } = await reader.read();
    clearTimeout(silent);
    if (done) return;
  }
}

new BroadcastChannel(NAME).onmessage = ({ data }) => {
  if (data === "newer") newer.hidden = false;
  else load();
};
newer.querySelector("button").onclick = () => location.reload();
setInterval(async () => (await outbox()).some((it) => isOpen(it) && it.state !== "accepted") && poke(), ASKED);
addEventListener("online", () => wake());
addEventListener("offline", () => ended.abort());
show().then(load).finally(watch);
navigator.storage?.persist?.(); // what waits is not cleared
navigator.serviceWorker?.register("sw.js", { updateViaCache: "none" });
navigator.serviceWorker?.ready.then(({ active }) => active.postMessage({ token, renew: true }));
