// <dock-board>: keeps the tiles true to the dock. The server writes every word; this only moves them in.
// A watch of its own runs beside the questions: news older than `data-stale-ms` is never shown, whatever hangs.

const EVERY_MS = 500;
const PATIENCE_MS = 1500;
const WATCH_MS = 100;
const SAY_EVERY_MS = 4000; // a reader's voice is for people: at most one announcement in this time
const SAID_AT_ONCE = 4;
const AWAKE_MS = 30_000;
const TEXTS = ["name", "officer", "headline", "step", "why", "files", "flagged", "left", "battery", "answer_words"];
const MARKS = ["mark", "answer_mark"];

class DockBoard extends HTMLElement {
  #timer = 0;
  #etag = "";
  #last = null;
  #newsAt = 0;
  #isLost = false;
  #unsaid = new Map();
  #saidAt = 0;
  #awake = 0;

  connectedCallback() {
    this.#newsAt = performance.now() - Number(this.dataset.ageMs);
    this.#isLost = document.body.hasAttribute("data-lost");
    this.#silent = JSON.parse(document.getElementById("dock-silent").textContent);
    this.querySelector(".bay-touch")?.setAttribute("tabindex", "0");
    document.addEventListener("visibilitychange", this.#look);
    document.addEventListener("keydown", this.#steer);
    for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, this.#wake, { passive: true, capture: true });
    this.addEventListener("click", this.#touched);
    this.addEventListener("focusin", this.#roam);
    setInterval(this.#watch, WATCH_MS);
    this.#followNight(document.body.hasAttribute("data-night"));
    this.#look();
  }

  #silent = null;

  #look = async () => {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    const asked = performance.now();
    try {
      const answer = await fetch(this.dataset.source, {
        headers: { Accept: "application/json", ...(this.#etag && { "If-None-Match": this.#etag }) },
        cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!answer.ok && answer.status !== 304) throw new Error(String(answer.status));
      if (answer.status !== 304) {
        this.#last = await answer.json();
        this.#etag = answer.headers.get("ETag") ?? "";
      }
      this.#newsAt = asked - Number(answer.headers.get("X-Dock-Age-Ms") ?? 0);
      if (answer.status !== 304 || this.#isLost) this.#show(this.#last);
    } catch {
      this.#watch(); // no news: the watch decides how long the last is good for
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#look, EVERY_MS);
  };

  // News too old: every tile says so, in the words that the server left for this.
  #watch = () => {
    if (!this.#isLost && performance.now() - this.#newsAt > Number(this.dataset.staleMs)) this.#lose();
    if (this.#unsaid.size && performance.now() - this.#saidAt > SAY_EVERY_MS) this.#say();
  };

  #lose() {
    this.#markLost(true);
    for (const tile of this.#tiles()) {
      const number = tile.dataset.bay;
      this.#showBay({ ...this.#silent, number, label: this.#silent.label.replace("+", number) });
    }
    for (const count of document.querySelectorAll("[data-count]")) count.querySelector("b").textContent = "–";
  }

  #markLost(isLost) {
    this.#isLost = isLost;
    document.body.toggleAttribute("data-lost", isLost);
    document.querySelector("[data-stale]").hidden = !isLost;
  }

  #show(board) {
    if (board.is_stale || performance.now() - this.#newsAt > Number(this.dataset.staleMs)) {
      if (!this.#isLost) this.#lose();
      return;
    }
    const wasLost = this.#isLost;
    this.#markLost(false);
    this.#fit(board.bays);
    for (const bay of board.bays) this.#showBay(bay, wasLost);
    for (const each of board.summary) this.#count(each);
    setText(document.querySelector("[data-clock]"), board.clock);
    setText(document.querySelector("[data-date]"), board.date);
    this.#followNight(board.is_night);
  }

  #count(each) {
    const place = document.querySelector(`[data-count="${each.answer}"]`);
    if (!place) return;
    setText(place.querySelector("b"), each.count);
    place.toggleAttribute("data-none", each.count === "0");
  }

  #showBay(bay, isQuiet = false) {
    const tile = this.querySelector(`[data-bay="${bay.number}"]`);
    if (!tile) return;
    const part = (name) => tile.querySelector(`[data-part="${name}"]`);
    for (const name of TEXTS) setText(part(name), bay[name]);
    for (const name of MARKS) {
      const href = part(name).getAttribute("href").replace(/#.*/, `#${bay[name]}`);
      if (part(name).getAttribute("href") !== href) part(name).setAttribute("href", href);
    }
    const bar = part("bar");
    if (bar.value !== bay.permille) bar.value = bay.permille;
    if (bar.hidden === bay.shows_bar) bar.hidden = !bay.shows_bar;
    const battery = tile.querySelector(".bay-battery");
    const low = bay.battery_low ? "yes" : "no";
    if (battery.dataset.low !== low) battery.dataset.low = low;
    const button = tile.querySelector(".bay-touch");
    if (button.getAttribute("aria-label") !== bay.label) button.setAttribute("aria-label", bay.label);
    const was = { answer: tile.dataset.answer, state: tile.dataset.state };
    if (was.state === bay.state && tile.dataset.tone === bay.tone) return;
    Object.assign(tile.dataset, { state: bay.state, tone: bay.tone, answer: bay.answer });
    if (was.answer !== bay.answer && !isQuiet && !this.#isLost) this.#tell(bay);
  }

  // Only an answer that changed is news to the ear; progress is not.
  #tell(bay) {
    document.dispatchEvent(new CustomEvent("dock-news", { detail: { number: bay.number, answer: bay.answer } }));
    if (bay.answer === "safe" || bay.answer === "help") this.#unsaid.set(bay.number, bay.label);
    else this.#unsaid.delete(bay.number);
  }

  #say() {
    const labels = [...this.#unsaid.values()].slice(0, SAID_AT_ONCE);
    for (const number of [...this.#unsaid.keys()].slice(0, SAID_AT_ONCE)) this.#unsaid.delete(number);
    this.#saidAt = performance.now();
    this.querySelector("[data-say]").textContent = labels.join(" ");
  }

  // A bay appeared or went (something plugged in outside the bays): one tile more or less, the others stay.
  #fit(bays) {
    const list = this.querySelector(".bays");
    const there = new Set([...this.#tiles()].map((tile) => tile.dataset.bay));
    const wanted = new Set(bays.map((bay) => bay.number));
    if (there.size === wanted.size && [...wanted].every((number) => there.has(number))) return;
    if (!list || Math.abs(there.size - wanted.size) > 1) return location.reload(); // the station was set up anew
    for (const tile of [...this.#tiles()]) if (!wanted.has(tile.dataset.bay)) tile.remove();
    for (const bay of bays) {
      if (there.has(bay.number)) continue;
      const fresh = this.querySelector("[data-blank]").content.firstElementChild.cloneNode(true);
      fresh.dataset.bay = bay.number;
      fresh.querySelector(".bay-number").textContent = bay.number;
      list.append(fresh);
    }
    list.dataset.bays = String(bays.length);
  }

  #tiles() {
    return this.querySelectorAll(".bays > .bay");
  }

  #touched = async (event) => {
    const tile = event.target.closest(".bay-touch")?.closest(".bay");
    if (!tile) return;
    const sheet = document.querySelector("[data-bay-sheet]");
    try {
      const answer = await fetch(this.dataset.sheet + encodeURIComponent(tile.dataset.bay === "+" ? "0" : tile.dataset.bay), { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS * 2) });
      if (!answer.ok) return;
      sheet.querySelector("[data-bay-body]").innerHTML = (await answer.json()).html;
      sheet.showModal();
    } catch {
      this.#watch();
    }
  };

  // Arrows go from tile to tile as they lie on the screen; only one tile at a time is a tab stop.
  #steer = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const tiles = [...this.#tiles()];
    const at = tiles.indexOf(document.activeElement?.closest(".bay"));
    const target = { Home: 0, End: tiles.length - 1 }[event.key] ?? this.#beside(tiles, at, event.key);
    if (target === undefined || !tiles[target]) return;
    event.preventDefault();
    tiles[target].querySelector(".bay-touch").focus();
  };

  #beside(tiles, at, key) {
    const columns = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
    if (step === undefined) return undefined;
    return at < 0 ? 0 : at + step;
  }

  #roam = (event) => {
    if (!event.target.matches(".bay-touch")) return;
    for (const button of this.querySelectorAll('.bay-touch[tabindex="0"]')) button.tabIndex = -1;
    event.target.tabIndex = 0;
  };

  // At night the board is dark and dim until somebody stands before it.
  #followNight(isNight) {
    document.body.toggleAttribute("data-night", isNight);
    const chosen = document.body.dataset.themeChosen;
    document.documentElement.dataset.theme = isNight && chosen === "auto" ? "dark" : chosen;
  }

  #wake = () => {
    document.body.setAttribute("data-awake", "");
    clearTimeout(this.#awake);
    this.#awake = setTimeout(() => document.body.removeAttribute("data-awake"), AWAKE_MS);
  };
}

function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

document.addEventListener("click", (event) => {
  const dialog = event.target.closest("dialog");
  if (event.target.closest("[data-closes]") || event.target === dialog) dialog?.close();
  if (event.target.closest("[data-more-opens]")) document.querySelector("[data-more]").showModal();
});

// A key of one letter counts only when no other follows: a badge reader types letters too (dock-wedge.js).
document.addEventListener("dock-key", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.detail.key === "?") document.querySelector("[data-more]").showModal();
  if (event.detail.key.toLowerCase() === "l") document.querySelector("[data-language] button").click();
});

customElements.define("dock-board", DockBoard);
