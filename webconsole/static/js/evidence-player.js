// <evidence-player>: native video, audio or picture under our own controls.
// It trusts the server's word on what a browser can decode and still looks: a video that runs without a picture
// (HEVC in Chromium raises no error) is stopped and said, never shown as if it played.

const RATES = [0.25, 0.5, 1, 1.5, 2, 4, 8];
const STEP_S = 5;

const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
};

class EvidencePlayer extends HTMLElement {
  #rewinding = 0;

  connectedCallback() {
    this.media = this.querySelector("video, audio");
    if (!this.media) return;
    this.words = this.dataset;
    this.seek = this.querySelector("[data-seek]");
    this.frameS = 1 / (Number(this.dataset.fps) || 25);
    this.lengthS = Number(this.dataset.lengthMs) / 1000 || 0;
    this.#listen();
    this.#loadBand();
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.#key);
    clearInterval(this.#rewinding);
  }

  get length() {
    return Number.isFinite(this.media.duration) && this.media.duration > 0 ? this.media.duration : this.lengthS;
  }

  #listen() {
    const { media } = this;
    const on = (name, act) => media.addEventListener(name, act);
    on("timeupdate", () => this.#showTime());
    on("durationchange", () => this.#showTime());
    on("seeking", () => this.#showTime());
    on("play", () => this.#showPlaying(true));
    on("pause", () => this.#showPlaying(false));
    on("ratechange", () => this.#showRate());
    on("volumechange", () => this.#showVolume());
    on("loadeddata", () => this.#checkPicture());
    on("playing", () => this.#checkPicture());
    on("error", () => this.#say(this.words.sayFailed));
    on("waiting", () => this.toggleAttribute("data-waiting", true));
    on("playing", () => this.toggleAttribute("data-waiting", false));
    for (const button of this.querySelectorAll("[data-do]")) button.addEventListener("click", () => this.#do(button.dataset.do));
    this.querySelector(".player-stage").addEventListener("click", (event) => {
      if (event.target === media) this.#do("toggle");
    });
    this.seek.addEventListener("input", () => {
      this.#stopRewind();
      media.currentTime = (this.seek.value / 1000) * this.length;
      this.#showTime();
    });
    this.querySelector("[data-rate]").addEventListener("change", (event) => this.#setRate(Number(event.target.value)));
    this.querySelector("[data-volume]")?.addEventListener("input", (event) => {
      media.volume = Number(event.target.value);
      media.muted = media.volume === 0;
    });
    document.addEventListener("keydown", this.#key);
    new ResizeObserver(() => this.#drawBand()).observe(this.seek);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#drawBand());
  }

  #key = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input:not([type=range]):not([type=checkbox]), textarea, select");
    const button = event.target.closest("button, a, summary, input[type=checkbox]");
    if (typing || (button && [" ", "Enter"].includes(event.key))) return;
    const act = {
      " ": "toggle", k: "pause", K: "pause", j: "slower", J: "slower", l: "faster", L: "faster",
      ArrowLeft: "back", ArrowRight: "on", ",": "frame-back", ".": "frame-on", f: "fullscreen", m: "mute",
      ArrowUp: "louder", ArrowDown: "softer", Home: "start", End: "end",
    }[event.key];
    if (!act || (act === "louder" || act === "softer") && !this.contains(event.target) && event.target !== document.body) return;
    event.preventDefault();
    this.#do(act);
  };

  #do(act) {
    const { media } = this;
    if (act !== "slower") this.#stopRewind();
    const acts = {
      toggle: () => (media.paused ? this.#play() : media.pause()),
      pause: () => media.pause(),
      faster: () => this.#faster(),
      slower: () => this.#slower(),
      back: () => (media.currentTime = Math.max(0, media.currentTime - STEP_S)),
      on: () => (media.currentTime = Math.min(this.length, media.currentTime + STEP_S)),
      "frame-back": () => this.#step(-1),
      "frame-on": () => this.#step(1),
      start: () => (media.currentTime = 0),
      end: () => (media.currentTime = this.length),
      mute: () => (media.muted = !media.muted),
      louder: () => (media.volume = Math.min(1, media.volume + 0.1)),
      softer: () => (media.volume = Math.max(0, media.volume - 0.1)),
      fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : this.requestFullscreen()),
    };
    acts[act]();
  }

  async #play() {
    try {
      await this.media.play();
    } catch (cause) {
      if (cause.name !== "AbortError") this.#say(this.words.sayFailed);
    }
  }

  #faster() {
    if (this.media.paused) {
      this.#setRate(1);
      this.#play();
      return;
    }
    this.#setRate(RATES.find((rate) => rate > this.media.playbackRate) ?? RATES.at(-1));
  }

  #slower() {
    const { media } = this;
    if (!media.paused && media.playbackRate > RATES[0]) {
      this.#setRate(RATES.filter((rate) => rate < media.playbackRate).at(-1));
      return;
    }
    media.pause(); // backwards: browsers play forward only, so step back four times a second
    if (this.#rewinding) return;
    this.#rewinding = setInterval(() => {
      media.currentTime = Math.max(0, media.currentTime - 0.5);
      if (media.currentTime === 0) this.#stopRewind();
    }, 250);
    this.#showRate("◀");
  }

  #stopRewind() {
    clearInterval(this.#rewinding);
    this.#rewinding = 0;
    this.#showRate();
  }

  #step(frames) {
    const { media, frameS } = this;
    media.pause();
    const frame = Math.round(media.currentTime / frameS - 0.5) + frames;
    media.currentTime = Math.max(0, Math.min(this.length, (frame + 0.5) * frameS));
  }

  #setRate(rate) {
    this.media.playbackRate = rate;
  }

  #showTime() {
    const { media } = this;
    const now = this.querySelector("[data-now]");
    now.textContent = clock(media.currentTime);
    now.title = `${media.currentTime.toFixed(3)} s`;
    this.querySelector("[data-length]").textContent = clock(this.length);
    if (this.length) this.seek.value = Math.round((media.currentTime / this.length) * 1000);
    this.seek.setAttribute("aria-valuetext", `${clock(media.currentTime)} / ${clock(this.length)}`);
    this.#drawBand();
  }

  #showPlaying(isPlaying) {
    this.toggleAttribute("data-started", true);
    const button = this.querySelector('.player-bar [data-do="toggle"]');
    button.setAttribute("aria-label", isPlaying ? this.words.sayPause : this.words.sayPlay);
    this.#swapIcon(button, isPlaying ? "pause" : "play");
  }

  #showRate(sign = "") {
    const { playbackRate } = this.media;
    const badge = this.querySelector(".player-speed");
    badge.hidden = !sign && playbackRate === 1;
    badge.textContent = sign || `${playbackRate}×`;
    this.querySelector("[data-rate]").value = String(playbackRate);
  }

  #showVolume() {
    const silent = this.media.muted || this.media.volume === 0;
    const button = this.querySelector('[data-do="mute"]');
    button.setAttribute("aria-pressed", String(silent));
    this.#swapIcon(button, silent ? "volume-x" : "volume-2");
    const slider = this.querySelector("[data-volume]");
    if (slider) slider.value = silent ? 0 : this.media.volume;
  }

  #swapIcon(button, name) {
    const use = button.querySelector("use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${name}`));
  }

  #checkPicture() {
    if (this.media.localName !== "video" || this.media.readyState < 2 || this.media.videoWidth > 0) return;
    this.media.pause();
    this.#say(this.words.sayNoPicture);
  }

  #say(words) {
    const box = this.querySelector(".player-say");
    box.querySelector("p").textContent = words;
    box.hidden = false;
  }

  // The band under the picture: loudness, what has been played, and the sprite that peeks out above the pointer.
  async #loadBand() {
    const { waveform, sprite } = this.dataset;
    if (waveform) this.#loudness = await fetchPeaks(waveform);
    if (sprite) this.#sprite = await fetchSprite(sprite, JSON.parse(this.dataset.layout));
    this.#drawBand();
    const track = this.querySelector(".player-seek");
    track.addEventListener("pointermove", (event) => this.#peek(event));
    track.addEventListener("pointerleave", () => (this.querySelector(".player-peek").hidden = true));
  }

  #loudness = null;
  #sprite = null;

  #drawBand() {
    const canvas = this.querySelector(".player-seek canvas");
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const dense = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    const paint = canvas.getContext("2d");
    paint.setTransform(dense, 0, 0, dense, 0, 0);
    paint.clearRect(0, 0, width, height);
    const colour = getComputedStyle(this);
    const played = this.length ? (this.media.currentTime / this.length) * width : 0;
    const [done, rest] = [colour.getPropertyValue("--accent"), colour.getPropertyValue("--edge-strong")];
    const bars = Math.floor(width / 3);
    for (let bar = 0; bar < bars; bar += 1) {
      const x = bar * 3;
      const level = this.#loudness ? peak(this.#loudness, bar / bars, (bar + 1) / bars) : 0;
      const tall = Math.max(2, level * (height - 8));
      paint.fillStyle = x <= played ? done : rest;
      paint.fillRect(x, (height - tall) / 2, 2, tall);
    }
  }

  #peek(event) {
    const track = this.querySelector(".player-seek");
    const box = this.querySelector(".player-peek");
    const place = track.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - place.left) / place.width));
    const margin = this.#sprite ? this.#sprite.width / 2 + 4 : 24;
    box.style.left = `${Math.max(margin, Math.min(place.width - margin, event.clientX - place.left))}px`;
    box.querySelector("span").textContent = clock(share * this.length);
    if (this.#sprite) drawTile(box.querySelector("canvas"), this.#sprite, share * this.length);
    box.querySelector("canvas").hidden = !this.#sprite;
    box.hidden = false;
  }
}

async function fetchPeaks(address) {
  const answer = await fetch(address);
  return answer.ok ? (await answer.json()).peaks : null;
}

function peak(levels, from, to) {
  let highest = 0;
  const end = Math.max(Math.floor(from * levels.length) + 1, Math.ceil(to * levels.length));
  for (let at = Math.floor(from * levels.length); at < end && at < levels.length; at += 1) highest = Math.max(highest, levels[at]);
  return highest / 255;
}

async function fetchSprite(address, layout) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    return null; // no stills: the clock alone peeks out
  }
  return { ...layout, image };
}

function drawTile(canvas, { image, width, height, columns, times_ms: times }, seconds) {
  const after = times.findIndex((time) => time > seconds * 1000);
  const tile = Math.max(0, (after < 0 ? times.length : after) - 1);
  [canvas.width, canvas.height] = [width, height];
  const [x, y] = [(tile % columns) * width, Math.floor(tile / columns) * height];
  canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, width, height);
}

customElements.define("evidence-player", EvidencePlayer);
