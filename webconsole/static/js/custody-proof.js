// A seal that is touched shows its proof, made and verified by the server at that moment.

for (const line of document.querySelectorAll(".chain-line details")) {
  line.addEventListener("toggle", async () => {
    const box = line.querySelector("[data-proof]");
    if (!line.open || !box || box.dataset.state) return;
    box.dataset.state = "asked";
    const answer = await fetch(box.dataset.proof, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer?.ok) {
      const fragment = new DOMParser().parseFromString(await answer.text(), "text/html");
      box.replaceChildren(...fragment.body.childNodes);
    } else {
      box.textContent = box.dataset.failed;
      delete box.dataset.state;
    }
  });
}
