// What every page has. Pages work without it; it makes them pleasanter.
const themes = ["system", "light", "dark"];
const root = document.documentElement;
const button = document.querySelector("[data-theme-switch]");

const show = (theme) => {
  if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
};

if (button) {
  button.hidden = false;
  show(root.dataset.theme ?? "system");
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? "system") + 1) % themes.length];
    show(next);
    try { localStorage.setItem("theme", next); } catch { /* it holds for this page only */ }
  });
}

// Moments are written in UTC; a reader's own clock is in the tooltip.
for (const moment of document.querySelectorAll("time[datetime]")) {
  moment.title = new Date(moment.dateTime).toLocaleString();
}

document.addEventListener("click", async (event) => {
  const copier = event.target.closest("[data-copy]");
  if (!copier) return;
  const source = document.getElementById(copier.dataset.copy);
  await navigator.clipboard.writeText(source.textContent);
  const said = copier.textContent;
  copier.textContent = "Copied";
  setTimeout(() => { copier.textContent = said; }, 1500);
});
