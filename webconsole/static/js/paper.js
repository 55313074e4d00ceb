// The button of a printable page.
document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
