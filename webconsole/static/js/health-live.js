// The health page keeps itself true: it asks every few seconds, moves in what changed, and says when nobody answers.

const EVERY_MS = 5000;
const PATIENCE_MS = 8000;
const place = document.querySelector("[data-health]");
const looked = document.querySelector("[data-looked]");
const lost = document.querySelector("[data-lost]");
const said = document.querySelector("[data-said]");
let timer = 0;
let etag = "";

const summary = () => place.querySelector("[data-summary]").textContent;

function moveIn(html) {
  const before = summary();
  const held = place.contains(document.activeElement) ? document.activeElement.id : "";
  const fresh = new DOMParser().parseFromString(html, "text/html").body;
  place.replaceChildren(...fresh.childNodes);
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
  if (summary() !== before) said.textContent = summary();
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const answer = await fetch(place.dataset.health, {
      headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok && answer.status !== 304) throw new Error(String(answer.status));
    if (answer.status !== 304) {
      const html = await answer.text();
      if (etag) moveIn(html);
      etag = answer.headers.get("ETag") ?? "";
    }
    looked.textContent = answer.headers.get("X-Health-Looked") ?? looked.textContent;
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
  timer = setTimeout(look, EVERY_MS);
}

document.addEventListener("visibilitychange", look);
look();
