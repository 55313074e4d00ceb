// The officer at the kiosk: a badge at any moment or number and PIN, then the officer's own uploads.
// The pass lives in this module's memory and nowhere else: a reload, a closed sheet or 20 quiet seconds end it.

const PATIENCE_MS = 8000; // the PIN's check takes its time on purpose
const IDLE_MS = 20_000;
const STAY_EVERY_MS = 5000;
const SAID_FOR_MS = 6000;
const SUGGEST_AFTER_MS = 200;
const NUMBER_LENGTH = 6; // of an officer number (the recorder owner record)
const LONGEST_PIN = 12;

const sheet = document.querySelector("[data-officer]");
const door = sheet.querySelector("[data-door]");
const room = sheet.querySelector("[data-room]");
const say = sheet.querySelector("[data-officer-say]");
const bye = sheet.querySelector("[data-bye]");
const csrf = document.querySelector('meta[name="csrf-token"]').content;
const typed = { number: "", pin: "" };
let here = "number";
let pass = "";
let visit = 0; // counts who stood here, so that a late answer is never shown to the next person
let touchedAt = 0;
let stayedAt = 0;
let saying = 0;
let busy = false;

class Refused extends Error {}

async function ask(path, fields = {}) {
  const asked = visit;
  let answer;
  try {
    answer = await fetch(`${sheet.dataset.root}/${path}`, {
      method: "POST", body: new URLSearchParams(fields), cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
      headers: { Accept: "application/json", "X-CSRF-Token": csrf, "X-Sealdock-Pass": pass },
    });
  } catch {
    throw new Refused(say.dataset.unreached);
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Refused(told.sentence ?? say.dataset.unreached), { code: told.code });
  if (asked !== visit) return null; // somebody else stands here by now
  if (told.token) pass = told.token;
  return told;
}

function tell(text, kind) {
  clearTimeout(saying);
  say.textContent = text;
  say.dataset.kind = kind;
  say.hidden = false;
  saying = setTimeout(() => (say.hidden = true), SAID_FOR_MS);
}

async function act(work) {
  if (busy) return;
  busy = true;
  sheet.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.code === "webconsole.pass_ended") leave();
    open();
    tell(error.message, "fault");
  } finally {
    busy = false;
    sheet.removeAttribute("aria-busy");
  }
}

function open() {
  for (const other of document.querySelectorAll("dialog[open]")) if (other !== sheet) other.close();
  if (!sheet.open) sheet.showModal();
  touch();
}

// Nothing of the officer before stays in the page.
function leave() {
  pass = "";
  visit += 1;
  say.hidden = true;
  room.replaceChildren();
  room.hidden = true;
  door.hidden = false;
  Object.assign(typed, { number: "", pin: "" });
  here = "number";
  showPad();
}

function enter(told) {
  if (!told) return;
  const tab = room.querySelector('[aria-selected="true"]')?.dataset.tab;
  room.innerHTML = told.html;
  room.hidden = false;
  door.hidden = true;
  open();
  pick(told.said ? "uploads" : (tab ?? "uploads"));
  if (told.said) tell(told.said, "safe");
}

function signOn(path, fields) {
  leave();
  return act(async () => enter(await ask(path, fields)));
}

// The keypad
function showPad() {
  sheet.querySelector("[data-pad-number]").textContent = typed.number;
  const pin = sheet.querySelector("[data-pad-pin]");
  pin.textContent = "●".repeat(typed.pin.length);
  pin.setAttribute("aria-label", pin.dataset.secret.replace("{n}", typed.pin.length));
  for (const line of sheet.querySelectorAll("[data-pad-field]")) line.toggleAttribute("data-here", line.dataset.padField === here);
}

function press(key) {
  if (key === "Backspace") {
    if (here === "pin" && typed.pin === "") here = "number";
    typed[here] = typed[here].slice(0, -1);
  } else if (/^[0-9A-Za-z]$/.test(key)) {
    const room = { number: NUMBER_LENGTH, pin: LONGEST_PIN }[here] - typed[here].length;
    if (room > 0) typed[here] += key.toUpperCase();
    if (here === "number" && typed.number.length === NUMBER_LENGTH) here = "pin";
  }
  showPad();
}

function go() {
  if (here === "number" && typed.number) here = "pin";
  else if (typed.number && typed.pin) return signOn("pin", { ...typed });
  showPad();
  return undefined;
}

function turnPad() {
  for (const pad of sheet.querySelectorAll("[data-pad]")) pad.hidden = !pad.hidden;
  sheet.querySelector("[data-pad]:not([hidden]) button").focus();
}

// The room
function pick(name) {
  for (const tab of room.querySelectorAll("[data-tab]")) {
    const isHere = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(isHere));
    tab.tabIndex = isHere ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !isHere;
    if (isHere) tab.focus();
  }
}

function stepTab(by) {
  const tabs = [...room.querySelectorAll("[data-tab]")];
  const at = tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
  pick(tabs[(at + by + tabs.length) % tabs.length].dataset.tab);
}

let suggesting = 0;
function suggest(field) {
  clearTimeout(suggesting);
  suggesting = setTimeout(async () => {
    const told = await ask("cases", { q: field.value }).catch(() => null);
    const place = room.querySelector("[data-suggestions]");
    if (!told || !place) return;
    place.replaceChildren(...told.numbers.map((number) => Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: number })));
  }, SUGGEST_AFTER_MS);
}

// Twenty quiet seconds end it; the last ten are counted in view.
function touch() {
  touchedAt = performance.now();
  if (!pass || touchedAt - stayedAt < STAY_EVERY_MS || busy) return;
  stayedAt = touchedAt;
  ask("stay").catch(() => undefined); // the next step will say that the pass is over
}

function watch() {
  const left = Math.max(0, IDLE_MS - (performance.now() - touchedAt));
  bye.hidden = !sheet.open || left > IDLE_MS / 2;
  bye.querySelector("progress").value = left / 1000;
  const words = bye.querySelector("[data-words]");
  const text = words.dataset.words.replace("{n}", Math.ceil(left / 1000));
  if (words.textContent !== text) words.textContent = text;
  if (left === 0 && sheet.open) sheet.close();
}

document.addEventListener("dock-badge", (event) => signOn("badge", { badge: event.detail.code }));
document.addEventListener("dock-typed", (event) => {
  if (sheet.open && !door.hidden) press(event.detail.key);
});
document.addEventListener("dock-key", (event) => {
  if (!document.querySelector("dialog[open]") && event.detail.key.toLowerCase() === "u") open();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-officer-opens]")) open();
});
sheet.addEventListener("close", leave);
sheet.addEventListener("keydown", (event) => {
  if (!door.hidden && event.key === "Backspace") press("Backspace");
  if (!door.hidden && event.key === "Enter" && !event.target.closest("button")) go();
  if (event.target.matches("[data-tab]") && ["ArrowLeft", "ArrowRight"].includes(event.key)) stepTab(event.key === "ArrowLeft" ? -1 : 1);
});
for (const kind of ["pointerdown", "keydown", "input", "scroll"]) sheet.addEventListener(kind, touch, { passive: true, capture: true });
sheet.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.key) press(button.dataset.key);
  if ("padOther" in button.dataset) turnPad();
  if ("padGo" in button.dataset) go();
  if ("officerCloses" in button.dataset) sheet.close();
  if (button.dataset.tab) pick(button.dataset.tab);
  if (button.dataset.paper) {
    act(async () => {
      const told = await ask("paper", { session: button.dataset.paper });
      if (told) location.assign(told.url);
    });
  }
  if (button.closest("[data-suggestions]")) room.querySelector("[data-suggest]").value = button.textContent;
});
sheet.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target.closest("form[data-act]");
  if (form) act(async () => enter(await ask(form.dataset.act, Object.fromEntries(new FormData(form)))));
});
sheet.addEventListener("input", (event) => {
  if (event.target.matches("[data-suggest]")) suggest(event.target);
});
sheet.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-suggest]")) suggest(event.target);
});
setInterval(watch, 250);
showPad();
