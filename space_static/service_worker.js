// Keeps the page's own files, so that it opens without a network. The model is kept by
// transformers.js. Registered once the model is loaded, so that the first visit loads nothing twice.

const CACHE = "page";
const LIST = "published.json"; // every file of the Space; train/publishing/commits.py writes it
const NOT_NEEDED = /README\.md$|LICENSE|asyncify|published\.json$|packages\.json$|^\./;

self.addEventListener("install", (event) => {
  event.waitUntil(keepFiles().then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const own = new URL(request.url).origin === self.location.origin;
  if (own && request.method === "GET") event.respondWith(freshOrKept(request));
});

async function keepFiles() {
  const { files } = await (await fetch(LIST)).json();
  const cache = await caches.open(CACHE);
  await cache.addAll(["./", ...files.filter((name) => !NOT_NEEDED.test(name))]);
}

/** The server's answer, which is kept; without one the kept answer. */
async function freshOrKept(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.status === 200) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
