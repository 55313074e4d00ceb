// Two sounds, made here and not fetched: two rising notes for "safe to remove", three low ones for "needs help".
// Silent in the station's night hours; the M key or the button overrules the hours until they change.

const SILENCE_BETWEEN_MS = 1500; // forty bays that end together are one sound
const NOTES = {
  safe: [[659.3, 0, 0.16], [987.8, 0.15, 0.34]], // E5, B5: a fifth upwards
  help: [[311.1, 0, 0.18], [311.1, 0.26, 0.18], [261.6, 0.52, 0.36]], // E flat 4 twice, C4
};
const LOUDNESS = 0.22;
const button = document.querySelector("[data-sound]");
const words = document.querySelector("[data-sound-words]");
const KEPT = "dock-sound"; // {wish, night}: what somebody chose, and in which half of the day
let context = null;
let soundedAt = { safe: -Infinity, help: -Infinity };

const isNight = () => document.body.hasAttribute("data-night");

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // a kiosk without storage follows the hours
  }
}

function isOn() {
  const { wish, night } = kept();
  if (wish === "off" && night === undefined) return false;
  return night === isNight() ? wish === "on" : !isNight();
}

function tell() {
  const on = isOn();
  button.setAttribute("aria-pressed", String(on));
  const text = on ? words.dataset.on : words.dataset.off;
  if (words.textContent !== text) words.textContent = text;
  const use = button.querySelector("use");
  const href = use.getAttribute("href").replace(/#.*/, on ? "#sound" : "#silent");
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

function turn() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ wish: isOn() ? "off" : "on", night: isNight() }));
  } catch {
    return;
  }
  tell();
  if (isOn()) play("safe", true);
}

function wake() {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume();
}

function play(kind, isAsked = false) {
  const now = performance.now();
  if (!isOn() || (!isAsked && now - soundedAt[kind] < SILENCE_BETWEEN_MS)) return;
  soundedAt[kind] = now;
  wake();
  button.dataset.played = `${kind} ${Number(button.dataset.played?.split(" ")[1] ?? 0) + 1}`;
  for (const [hertz, after, length] of NOTES[kind]) note(hertz, context.currentTime + after, length);
}

// A soft edge at both ends: no click in the loudspeaker.
function note(hertz, at, length) {
  const tone = context.createOscillator();
  const gain = context.createGain();
  tone.type = "triangle";
  tone.frequency.value = hertz;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(LOUDNESS, at + 0.015);
  gain.gain.setValueAtTime(LOUDNESS, at + length - 0.06);
  gain.gain.linearRampToValueAtTime(0, at + length);
  tone.connect(gain).connect(context.destination);
  tone.start(at);
  tone.stop(at + length);
}

document.addEventListener("dock-news", (event) => {
  if (event.detail.answer in NOTES) play(event.detail.answer);
});
document.addEventListener("dock-key", (event) => {
  if (event.detail.key.toLowerCase() === "m" && !document.querySelector("dialog[open]")) turn();
});
document.addEventListener("pointerdown", wake, { once: true }); // browsers let a page sound after a touch
document.addEventListener("keydown", wake, { once: true });
button.addEventListener("click", turn);
new MutationObserver(tell).observe(document.body, { attributeFilter: ["data-night"] });
tell();
