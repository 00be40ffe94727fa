// The shares at p follow the slider; without this, its form asks the server.
const slider = document.querySelector("[data-p]");
const percent = (value) => `${Math.round(100 * value)} %`;

const at = (curve, p) => {
  let found = curve[0];
  for (const point of curve) { if (point[0] > p) break; found = point; }
  return found;
};

const show = () => {
  const p = Number(slider.value);
  for (const place of document.querySelectorAll("[data-p-value]")) place.textContent = String(p);
  for (const cell of document.querySelectorAll("[data-curve]")) {
    const [, value, low, high] = at(JSON.parse(cell.dataset.curve), p);
    cell.querySelector("[data-value]").textContent = percent(value);
    const small = cell.querySelector("small");
    if (small) small.textContent = low === null ? "" : `${Math.round(100 * low)} to ${Math.round(100 * high)}`;
  }
  for (const chart of document.querySelectorAll("svg[data-fast-p]")) {
    const { left, right, least, most } = chart.dataset;
    const share = p <= least ? 0 : Math.log(Math.min(p, most) / least) / Math.log(most / least);
    const x = Number(left) + share * (right - left);
    const mark = chart.querySelector(".mark");
    mark.setAttribute("x1", x);
    mark.setAttribute("x2", x);
  }
};

if (slider) {
  slider.addEventListener("input", show);
  slider.addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("p", slider.value);
    history.replaceState(null, "", address);
  });
}
