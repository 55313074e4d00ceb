// <dock-board>: keeps the tiles true to the dock. The server writes every word; this only moves them in.
// Polls once a second, not at all while hidden; a picture older than ten seconds says so and promises nothing.

const EVERY_MS = 1000;
const STALE_MS = 10_000;
const TEXTS = ["name", "officer", "lead", "advice", "files", "left"];
const STEP = /^(.*)(; |；)(.+)$/su; // the house's sentences say what to do after their last semicolon

class DockBoard extends HTMLElement {
  #timer = 0;
  #answeredAt = Date.now();

  connectedCallback() {
    for (const place of this.querySelectorAll('[data-part="next"]')) tellStepFirst(place, place.textContent);
    this.#schedule();
    document.addEventListener("visibilitychange", this.#wake);
    this.addEventListener("click", this.#open);
  }

  // A touched tile says the whole of what its small print had no room for.
  #open = (event) => {
    const sheet = this.querySelector(".bay-sheet");
    if (event.target.closest("[data-closes]") || event.target === sheet) sheet.close();
    const tile = event.target.closest(".bay-touch")?.closest(".bay");
    if (!tile) return;
    for (const place of sheet.querySelectorAll("[data-sheet]")) {
      const part = tile.querySelector(`[data-part="${place.dataset.sheet}"]`);
      place.textContent = part ? part.textContent : tile.getAttribute("aria-label");
    }
    sheet.showModal();
  };

  disconnectedCallback() {
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#wake);
  }

  #wake = () => {
    if (!document.hidden) this.#look();
  };

  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), EVERY_MS);
  }

  async #look() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      const answer = await fetch(this.dataset.source, { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(String(answer.status));
      this.#show(await answer.json());
    } catch {
      this.#sayStale(Date.now() - this.#answeredAt > STALE_MS);
    }
    this.#schedule();
  }

  #show(board) {
    this.#answeredAt = Date.now();
    this.#sayStale(board.is_stale);
    if (board.bays.length !== this.querySelectorAll(".bay").length) {
      location.reload(); // the station was set up anew
      return;
    }
    const changes = board.bays.filter((bay) => this.#showBay(bay)).map((bay) => bay.label);
    if (changes.length) this.querySelector("[data-say]").textContent = changes.join(" ");
  }

  #showBay(bay) {
    const tile = this.querySelector(`[data-bay="${bay.number}"]`);
    if (!tile) return false;
    const part = (name) => tile.querySelector(`[data-part="${name}"]`);
    for (const name of TEXTS) {
      if (part(name).textContent !== bay[name]) part(name).textContent = bay[name];
    }
    tellStepFirst(part("next"), bay.next);
    const bar = part("bar");
    bar.value = bay.permille;
    bar.hidden = !bay.shows_bar;
    const isNew = tile.dataset.state !== bay.state;
    if (isNew) {
      const mark = part("mark");
      mark.setAttribute("href", mark.getAttribute("href").replace(/#.*/, `#${bay.mark}`));
      tile.dataset.state = bay.state;
      tile.dataset.tone = bay.tone;
    }
    if (tile.getAttribute("aria-label") !== bay.label) tile.setAttribute("aria-label", bay.label);
    return isNew;
  }

  #sayStale(isStale) {
    document.querySelector("[data-stale]").hidden = !isStale;
  }
}

// What to do comes first and stands out: whoever stands there may read no further, and a tile may have no room.
function tellStepFirst(place, text) {
  if (place.dataset.told === text) return;
  place.dataset.told = text;
  const [, why, mark, step] = STEP.exec(text) ?? [];
  if (!step) {
    place.textContent = text;
    return;
  }
  const strong = document.createElement("b");
  strong.textContent = step[0].toLocaleUpperCase() + step.slice(1);
  place.replaceChildren(strong, " ", why + (mark === "；" ? "。" : "."));
}

customElements.define("dock-board", DockBoard);

// The clock follows the station's zone, whatever zone the screen is set to.
const clock = document.querySelector("[data-clock]");
if (clock) {
  const zone = clock.dataset.clock;
  const locale = document.documentElement.lang;
  const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });
  const date = new Intl.DateTimeFormat(locale, { weekday: "short", month: "short", day: "numeric", timeZone: zone });
  const tick = () => {
    const now = new Date();
    clock.querySelector("b").textContent = time.format(now);
    clock.querySelector("span").textContent = date.format(now);
    setTimeout(tick, 1000 - (Date.now() % 1000));
  };
  tick();
}
