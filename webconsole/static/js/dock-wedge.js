// A badge reader is a keyboard that types faster than any person and ends with Enter. It is heard anywhere on the
// page, whatever has the focus; what it typed into a field is taken out again and never shown or kept.
//   "dock-badge" {code}  a badge was read       "dock-typed" {key}  a key outside a field, at once
//   "dock-key" {key}     a person pressed this key alone, and no other followed

const FASTEST_HAND_MS = 60; // the usual time between two keys: readers take 1 to 30, a quick typist 80 and more
const PAUSE_MS = 250; // one hiccup of a slow machine inside a code is no end of it
const SHORTEST_CODE = 4;
const LONGEST_CODE = 128;
let burst = "";
let gaps = [];
let lastAt = -Infinity;
let field = null;
let before = "";
let waiting = 0;

const isField = (target) => target instanceof HTMLElement && target.matches("input, textarea");

// With a Chinese input method the key is "Process"; the place of the key still says what the reader meant.
function typed(event) {
  if (event.key.length === 1) return event.key;
  const [, letter, figure] = /^(?:Key([A-Z])|(?:Digit|Numpad)(\d))$/.exec(event.code) ?? [];
  return event.isComposing || event.key === "Process" ? (letter ?? figure ?? "") : "";
}

function begin(event) {
  burst = "";
  gaps = [];
  field = isField(event.target) ? event.target : null;
  before = field?.value ?? "";
}

function isReader() {
  const usual = [...gaps].sort((one, other) => one - other)[Math.floor(gaps.length / 2)];
  return burst.length >= SHORTEST_CODE && burst.length <= LONGEST_CODE && usual <= FASTEST_HAND_MS;
}

function finish(event) {
  const code = burst;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (field) field.value = before;
  document.dispatchEvent(new CustomEvent("dock-badge", { detail: { code } }));
}

const tell = (kind, key) => document.dispatchEvent(new CustomEvent(kind, { detail: { key } }));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Shift" || event.key === "CapsLock") return; // readers hold Shift for capitals
  const gap = event.timeStamp - lastAt;
  lastAt = event.timeStamp;
  const isEnter = event.key === "Enter";
  const key = isEnter ? "" : typed(event);
  if (!key && !isEnter) return;
  clearTimeout(waiting);
  if (isEnter) {
    gaps.push(gap);
    if (gap <= PAUSE_MS && isReader()) finish(event);
    burst = "";
    return;
  }
  if (gap > PAUSE_MS || burst === "") begin(event);
  else gaps.push(gap);
  burst += key;
  if (key === " " && burst.length > 1 && !field) event.preventDefault();
  if (field) return;
  tell("dock-typed", key);
  if (burst.length === 1) waiting = setTimeout(() => tell("dock-key", key), PAUSE_MS);
}, { capture: true });
