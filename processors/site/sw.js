// Between the page and the network.
"use strict";
importScripts("store.js");
const FILES = ["./", "app.js", "store.js", "style.css", "manifest.webmanifest", "icon.svg"];

self.addEventListener("install", (event) => event.waitUntil(renew().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("sync", (event) => event.waitUntil(send())); // the page may be closed
self.addEventListener("message", (event) => {
  token = event.data.token || token;
  event.waitUntil(event.data.renew ? renew().catch(() => {}) : send());
});
self.addEventListener("fetch", (event) => {
  const { method, url, headers } = event.request, { pathname } = new URL(url);
  if (/event-stream/.test(headers.get("Accept"))) return; // it has no end
  if (/^(POST \/events|GET \/rows)\//.test(`${method} ${pathname}`)) {
    const [answer, more] = answered(event.request);
    event.respondWith(answer);
    event.waitUntil(more.then(() => self.registration.sync?.register(NAME)).catch(() => {}));
  } else if (method === "GET" && url.startsWith(self.registration.scope)) {
    event.respondWith(file(event.request));
  }
});

const versions = async () => (await caches.keys()).filter((name) => name.startsWith("files-")).sort();
async function file(request) {
  const newest = (await versions()).at(-1);
  return (newest && (await caches.match(request, { cacheName: newest, ignoreSearch: true }))) ?? fetch(request);
}
// All files again, or none, and none of a network's own.
async function renew() {
  const before = await versions(), name = `files-${Date.now()}`, fresh = await caches.open(name);
  const wanted = FILES.map((it) => new Request(it, { cache: "no-cache" }));
  try {
    await fresh.addAll(wanted);
    for (const it of await fresh.matchAll())
      if (/html/.test(it.headers.get("Content-Type")) && !/name="api"/.test(await it.text())) throw it.url;
  } catch (error) {
    await caches.delete(name);
    throw error;
  }
  const texts = async (it) => JSON.stringify(await Promise.all((await (await caches.open(it)).matchAll()).map((it) => it.text())));
  const isSame = before.length && (await texts(before.at(-1))) === (await texts(name));
  for (const old of isSame ? [name] : before) await caches.delete(old);
  if (before.length && !isSame) channel.postMessage("newer");
}
