// The page of a package follows its way out: waiting for the log, ready, being sent, sent.

const card = document.querySelector("[data-way]");

async function look() {
  if (!document.hidden) {
    const answer = await fetch(card.dataset.way, { headers: { Accept: "application/json" } }).catch(() => null);
    if (answer?.ok) show(await answer.json());
  }
  setTimeout(look, 700);
}

function show({ way, permille, words }) {
  for (const part of document.querySelectorAll("[data-waiting]")) part.hidden = way !== "waiting";
  for (const part of document.querySelectorAll("[data-ready]")) part.hidden = way === "waiting";
  const meter = card.querySelector("[data-meter]");
  meter.hidden = !["sending", "sent", "broken"].includes(way);
  meter.dataset.state = way;
  meter.querySelector("progress").value = way === "sent" ? 1000 : permille;
  const said = meter.querySelector("[data-words]");
  if (said.textContent !== words) said.textContent = words;
}

if (card) look();
