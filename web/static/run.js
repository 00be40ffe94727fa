// Follows a run: the server says what happens, and this page asks for its changing part anew. Browsers reconnect by themselves and
// send the number of the last event, so nothing is missed; after a reconnect the part is asked for in any case.
const box = document.querySelector("[data-run]");
const live = box.querySelector("[data-live]");
const said = box.querySelector("[data-said]");
const lost = box.querySelector("[data-lost]");
const id = encodeURIComponent(box.dataset.run);
const GATHER = 150; // milliseconds: events of one moment are one look
let timer = 0;
let ended = box.dataset.ended === "yes";

const refresh = async () => {
  const answer = await fetch(`/runs/${id}/live`);
  if (!answer.ok) return;
  const open = live.querySelector("details.log")?.open;
  const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  live.replaceChildren(...parsed.body.childNodes);
  if (open) live.querySelector("details.log").open = true;
  if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
};

const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, GATHER); };

const follow = () => {
  const events = new EventSource(`/api/v1/runs/${id}/events?after=${Number(box.dataset.after)}`);
  events.addEventListener("open", () => { lost.hidden = true; soon(); });
  events.addEventListener("error", () => { lost.hidden = ended; });
  for (const name of ["RunStarted", "AttemptStarted", "StageStarted", "StageFinished", "Note", "RunFinished", "Status"]) {
    events.addEventListener(name, soon);
  }
  events.addEventListener("AttemptFinished", (event) => {
    const { number, verdict } = JSON.parse(event.data).fields;
    said.textContent = `Attempt ${number}: ${verdict.replaceAll("_", " ")}.`;
    soon();
  });
  events.addEventListener("End", (event) => {
    ended = true;
    events.close();
    said.textContent = `The search is ${JSON.parse(event.data).status}.`;
    soon();
  });
};

if (!ended) follow();
