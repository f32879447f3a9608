// What this browser keeps, and the back end as far as it can be here.
"use strict";
const NAME = "retold-sign-up";
const LATER = [401, 408, 429]; // the event is not wrong: it may be taken later, or with a token
const TYPE = { "Content-Type": "application/json" };
let token = ""; // in memory alone
const channel = new BroadcastChannel(NAME); // to all tabs and the worker

const opened = new Promise((done, failed) => {
  const asked = indexedDB.open(NAME, 1);
  asked.onupgradeneeded = () => {
    asked.result.createObjectStore("outbox", { keyPath: "n", autoIncrement: true }); // in the order of the submits
    asked.result.createObjectStore("seen");
  };
  asked.onsuccess = () => done(asked.result);
  asked.onerror = () => failed(asked.error);
});
async function within(name, ask) {
  const all = (await opened).transaction(name, "readwrite", { durability: "strict" }), asked = ask(all.objectStore(name));
  return new Promise((done, failed) => {
    all.oncomplete = () => done(asked.result);
    all.onabort = () => failed(all.error);
  });
}
const outbox = () => within("outbox", (it) => it.getAll());
const keep = (item) => within("outbox", (it) => it.put(item));
const drop = (n) => within("outbox", (it) => it.delete(n));

const bearer = () => (token ? { Authorization: `Bearer ${token}` } : {});
const json = (status, body, headers) => new Response(JSON.stringify(body), { status, headers });

// The answer to a request of the page, and what goes on behind it.
function answered(request) {
  token = request.headers.get("Authorization")?.slice("Bearer ".length) ?? token;
  return request.method === "POST" ? publish(request) : [read(request), Promise.resolve()];
}

// Into the outbox first, so that nothing is lost; then to the server.
function publish(request) {
  const kept = (async () => {
    const key = request.headers.get("Idempotency-Key"), data = await request.json();
    await keep({ key, url: request.url, data, state: "queued" });
    channel.postMessage("changed");
  })();
  const answer = kept.then(
    () => json(202, { outcome: "queued" }),
    () => json(507, { detail: "This browser has no room to keep it. Nothing was sent." }),
  );
  return [answer, kept.then(send, () => {})];
}

// All that waits, in order: under its key, it is one event however often it is sent.
const send = () => (navigator.locks ? navigator.locks.request(NAME, sendAll) : sendAll());
async function sendAll() {
  for (const it of await outbox()) {
    if (it.state === "accepted" || it.state === "rejected") continue;
    const became = await sent(it).catch(() => null); // nobody there
    if (became === null) return;
    await keep({ ...it, ...became });
    channel.postMessage("changed");
  }
}
async function sent({ key, url, data }) {
  const headers = { ...TYPE, "Idempotency-Key": key, Prefer: "wait=5", ...bearer() };
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(data), headers });
  const body = await answer.json(); // fails if a network speaks
  if (body.outcome === "accepted") return { state: "accepted", position: answer.headers.get("Retold-Position"), at: Date.now() };
  if (body.outcome === "rejected") return { state: "rejected", why: body.reason };
  if (body.receipt) return { state: body.outcome ? "aside" : "sent" }; // published: ask again what became of it
  const isRefused = answer.status >= 400 && answer.status < 500 && !LATER.includes(answer.status);
  return isRefused && body.detail ? { state: "rejected", why: body.detail } : null;
}

// The server's answer; without one, the last that was seen.
async function read(request) {
  const url = new URL(request.url);
  url.searchParams.delete("_min_position");
  const answer = await fetch(request).catch(() => null);
  const body = await answer?.clone().json().catch(() => null); // none: a network speaks in the server's place
  if (body && answer.ok) within("seen", (it) => it.put({ body, at: Date.now() }, url.href)).catch(() => {}); // no room
  if (body && answer.status < 500) return answer;
  const seen = await within("seen", (it) => it.get(url.href));
  return seen ? json(200, seen.body, { "Retold-Seen": seen.at }) : json(503, {});
}
