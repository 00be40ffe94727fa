// Looks at the module while it is written: the server opens it in its sandbox and says what it found.
const form = document.querySelector("form[data-submit]");
const source = form.elements.source;
const look = form.querySelector("[data-look]");
const lowering = form.querySelector("[data-lowering]");
const WAIT = 700; // milliseconds without a key before a look
let timer = 0;
let asked = null;

const part = async (path, body, signal) => {
  const answer = await fetch(path, { method: "POST", body, signal });
  if (answer.status === 503 || answer.status === 429) return `<p class="soft">The server is busy; it is looked at when you submit.</p>`;
  return answer.ok ? answer.text() : `<p class="problem">The server could not look at it (${answer.status}).</p>`;
};

const swap = (place, html) => {
  // the server's own markup, every stranger's character in it escaped there
  place.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
};

const see = async () => {
  asked?.abort();
  asked = new AbortController();
  lowering.replaceChildren();
  if (!source.value.trim()) { look.replaceChildren(); return; }
  const body = new FormData(form);
  body.delete("file");
  look.setAttribute("aria-busy", "true");
  try {
    swap(look, await part("/submit/look", body, asked.signal));
    if (look.querySelector(".problem")) return;
    swap(lowering, `<p class="soft">Looking for what can be lowered …</p>`);
    swap(lowering, await part("/submit/lowering", body, asked.signal));
  } catch (error) {
    if (error.name !== "AbortError") swap(look, `<p class="problem">The server does not answer.</p>`);
  } finally {
    look.removeAttribute("aria-busy");
  }
};

const soon = () => { clearTimeout(timer); timer = setTimeout(see, WAIT); };

const take = async (file) => {
  if (!file) return;
  source.value = await file.text();
  const name = file.name.replace(/\.py$/, "").replace(/\W+/g, "_").replace(/^(?=\d)/, "_").slice(0, 64);
  if (name) form.elements.name.value = name;
  form.elements.file.value = ""; // the text is what is sent
  see();
};

source.addEventListener("input", soon);
for (const name of ["workloads", "scale"]) form.elements[name].addEventListener("change", see);
form.elements.file.addEventListener("change", () => take(form.elements.file.files[0]));
source.addEventListener("dragover", (event) => event.preventDefault());
source.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});
look.addEventListener("click", (event) => {
  const line = Number(event.target.closest("[data-line]")?.dataset.line);
  if (!line) return;
  event.preventDefault();
  const lines = source.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  source.focus();
  source.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
});
form.addEventListener("submit", () => { form.querySelector("button[type=submit]").disabled = true; });
addEventListener("pageshow", () => { form.querySelector("button[type=submit]").disabled = false; });
if (source.value.trim()) see();
