// Lists with a cursor: j and k move, x selects, Enter opens; the count of what is selected stays true.

const table = document.querySelector("[data-list]");
const form = table?.closest("form");
const lines = table ? [...table.querySelectorAll("[data-line]")] : [];
let here = -1;

const boxes = () => lines.map((line) => line.querySelector("input[type=checkbox]")).filter(Boolean);

function show() {
  const chosen = boxes().filter((box) => box.checked).length;
  for (const line of lines) {
    line.setAttribute("aria-selected", String(Boolean(line.querySelector("input[type=checkbox]:checked"))));
  }
  const all = table.querySelector("[data-selects-all]");
  if (all) {
    all.checked = chosen > 0 && chosen === lines.length;
    all.indeterminate = chosen > 0 && chosen < lines.length;
  }
  const count = form?.querySelector("[data-count]");
  if (count) count.textContent = chosen === 1 ? count.dataset.one : count.dataset.many.replace("{n}", chosen);
}

function go(step) {
  lines[here]?.classList.remove("is-here");
  here = Math.max(0, Math.min(lines.length - 1, here + step));
  lines[here].classList.add("is-here");
  lines[here].querySelector(".row-link").focus({ preventScroll: true });
  lines[here].scrollIntoView({ block: "nearest" });
}

if (table) {
  form?.addEventListener("change", (event) => {
    if (event.target.matches("[data-selects-all]")) for (const box of boxes()) box.checked = event.target.checked;
    show();
  });
  form?.querySelector("[data-selects-none]")?.addEventListener("click", () => {
    for (const box of boxes()) box.checked = false;
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    if (event.key === "j") go(1);
    if (event.key === "k") go(-1);
    const box = lines[here]?.querySelector("input[type=checkbox]");
    if (event.key === "x" && box) {
      box.checked = !box.checked;
      show();
    }
    if (event.key === "Enter" && here >= 0 && event.target === document.body) lines[here].querySelector(".row-link").click();
  });
  addEventListener("pageshow", show); // the browser brings ticks back
  show();
}
