// What every signed-in page does: sheets, the "/" and "?" keys, menus that close, forms that submit themselves.

const isTyping = (target) => target.closest("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
  if (event.target instanceof HTMLDialogElement) event.target.close(); // the veil around it
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    if (isTyping(event.target)) event.target.blur();
    return;
  }
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    document.getElementById("key-sheet").showModal();
    event.preventDefault();
  }
  if (event.key === "/") {
    const search = document.querySelector('[data-key="/"]');
    if (!search) return;
    search.focus();
    search.select();
    event.preventDefault();
  }
});

// A filter bar shows its result at once when a choice changes; empty fields stay out of the address.
for (const form of document.querySelectorAll("form[data-submits-itself]")) {
  form.addEventListener("change", (event) => {
    if (event.target.matches("select, input[type=date]")) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  });
}
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-submits-itself] :disabled")) field.disabled = false;
});

// Never send a form twice.
for (const form of document.querySelectorAll('form[method="post"]')) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Case fields offer what the station knows while one types.
for (const field of document.querySelectorAll("input[data-cases]")) {
  const list = document.getElementById(field.getAttribute("list"));
  let timer = 0;
  const offer = async () => {
    const answer = await fetch(`${field.dataset.cases}?q=${encodeURIComponent(field.value)}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const cases = await answer.json();
    list.replaceChildren(...cases.map((each) => Object.assign(document.createElement("option"), { value: each.number, label: each.title })));
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(offer, 150);
  };
  field.addEventListener("input", later);
  field.addEventListener("focus", later, { once: true });
}
