// The page: shows one image at a time and a strip of its neighbours, so that thousands are as quick as ten.

const AROUND = 7, MOST_CLASSES = 60;
const SIGNS = { keep: "✓", change: "→", remove: "✕" };
const review = JSON.parse(document.getElementById("review").textContent);
const decisions = new Decisions(review.audit, review.items);
const part = (id) => document.getElementById(id);
// Characters that are orders, as of another direction of writing, show themselves: datatools/printable.py.
const ORDERS = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu;
const shown = (text) => text.replace(ORDERS, (mark) => {
  const code = mark.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
});
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const percent = (value) => `${Math.floor(100 * value + 1e-9)} %`;
const say = (text) => { part("status").textContent = text; };
const newest = []; // classes that were chosen in the dialog, newest first
let listing = [], place = 0;

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// --- which images ----------------------------------------------------------------------------------------------------

function passes(item) {
  const chosen = part("class").value, least = Number(part("confidence").value) / 100, made = decisions.of(item);
  if (part("undecided").checked && made) return false;
  if (least > 0 && !((item.confidence ?? -1) >= least)) return false;
  return !chosen || [item.given, item.suggested, made?.label].includes(review.classes[Number(chosen) - 1]);
}

// List anew what passes the filters, and show `item`, or what stands in its place.
function relist(item = listing[place]) {
  const after = item ? review.items.indexOf(item) : 0;
  listing = review.items.filter(passes);
  const next = listing.findIndex((other) => review.items.indexOf(other) >= after);
  place = Math.max(0, next < 0 ? listing.length - 1 : next);
  render();
}

function go(to) {
  if (to < 0 || to >= listing.length) return;
  place = to;
  render();
}

// --- deciding --------------------------------------------------------------------------------------------------------

function decide(decision, label) {
  const item = listing[place];
  if (!item || (decision === "remove" && !review.files)) return;
  if (decision === "change" && label === item.given) decision = "keep";
  decisions.decide([[item, decision, label]]);
  const told = `${shown(item.path ?? keyOf(item))}: ${outcome(decisions.of(item))}.`;
  if (part("undecided").checked) relist();
  else if (place + 1 < listing.length) go(place + 1);
  else render();
  say(`${told} ${part("progress-text").textContent}`);
}

const keep = () => listing[place] && decide("keep", listing[place].given);
const accept = () => listing[place]?.suggested && decide("change", listing[place].suggested);
const remove = () => decide("remove", "");

function undo() {
  const [key] = decisions.undo();
  if (!key) return;
  const item = decisions.items.get(key);
  if (item && !passes(item)) showAll();
  relist(item);
  say("Undone.");
}

function outcome(made) {
  if (!made) return "";
  return { keep: "kept", change: `changed to ${shown(made.label)}`, remove: "to be removed" }[made.decision];
}

// --- showing ---------------------------------------------------------------------------------------------------------

function render() {
  const item = listing[place], total = review.items.length;
  const done = review.items.filter((other) => decisions.of(other)).length, elsewhere = decisions.elsewhere();
  part("progress").max = Math.max(1, total);
  part("progress").value = done;
  part("progress-text").textContent = `${done.toLocaleString("en")} of ${count(total, "image")} decided`
    + (elsewhere ? `, and ${elsewhere} on images that are not shown here` : "");
  document.title = `${done}/${total} ${part("title-folder").textContent}`;
  part("undo").disabled = !decisions.steps.length;
  part("download").disabled = !decisions.made.size;
  part("no-storage").hidden = decisions.stored;
  part("no-storage").textContent = decisions.stored ? ""
    : "This browser keeps nothing for this page: download decisions.csv before you close it.";
  part("item").hidden = !item;
  part("empty").hidden = Boolean(item);
  part("empty-text").textContent = total ? "No image passes the filters." : "Nothing is suspected: no image to review.";
  part("all").hidden = !total;
  if (item) renderItem(item);
}

function renderItem(item) {
  const made = decisions.of(item);
  showPicture(item);
  part("path").textContent = shown(item.path ?? `${item.split} ${item.id}`);
  part("place").textContent = `${(place + 1).toLocaleString("en")} of ${listing.length.toLocaleString("en")}`;
  part("previous").disabled = place === 0;
  part("next").disabled = place === listing.length - 1;
  part("given").textContent = shown(item.given);
  part("suggestion").hidden = !item.suggested;
  part("suggested").textContent = shown(item.suggested ?? "");
  part("sure").textContent = item.confidence === null ? "" : percent(item.confidence);
  part("reasons").replaceChildren(...item.reasons.map((reason) => {
    const line = element("li");
    line.append(element("bdi", shown(reason)));
    return line;
  }));
  part("decision").textContent = made ? `${SIGNS[made.decision]} ${outcome(made)}` : "";
  part("decision").className = made?.decision ?? "";
  part("keep").querySelector("bdi").textContent = shown(item.given);
  part("accept").querySelector("bdi").textContent = shown(item.suggested ?? "");
  part("accept").hidden = !item.suggested;
  part("remove").hidden = !review.files;
  const accepted = made?.decision === "change" && made.label === item.suggested;
  const pressed = { keep: made?.decision === "keep", accept: accepted, remove: made?.decision === "remove" };
  for (const [id, on] of Object.entries(pressed)) part(id).setAttribute("aria-pressed", on);
  renderStrip();
}

function showPicture(item) {
  const picture = part("picture");
  if (picture.dataset.key === keyOf(item)) return;
  picture.dataset.key = keyOf(item);
  picture.hidden = !item.source;
  picture.classList.remove("small");
  picture.alt = `Image ${shown(item.path ?? keyOf(item))}`;
  part("no-picture").hidden = Boolean(item.source);
  part("no-picture").textContent = item.problem ?? "";
  if (item.source) picture.src = item.source;
  else picture.removeAttribute("src");
  const next = listing[place + 1];
  if (next?.source) new Image().src = next.source; // read ahead
}

part("picture").addEventListener("load", ({ target }) => target.classList.toggle("small", target.naturalWidth < 128));
part("picture").addEventListener("error", ({ target }) => {
  if (!target.hasAttribute("src")) return;
  target.hidden = true;
  part("no-picture").hidden = false;
  part("no-picture").textContent = "The picture cannot be shown: the folder is not where it was when this page was "
    + "made, or the browser does not read the file. `trainer audit --embed` makes a page that holds its pictures.";
});

function renderStrip() {
  const strip = part("strip"), wanted = listing.slice(Math.max(0, place - AROUND), place + AROUND + 1);
  const there = new Map([...strip.children].map((line) => [line.dataset.key, line]));
  const lines = wanted.map((item) => there.get(keyOf(item)) ?? stripLine(item));
  strip.replaceChildren(...lines);
  lines.forEach((line, index) => {
    const item = wanted[index], made = decisions.of(item), button = line.firstChild;
    const name = shown(item.path ?? keyOf(item));
    button.setAttribute("aria-label", made ? `${name}, ${outcome(made)}` : name);
    button.setAttribute("aria-current", item === listing[place]);
    button.querySelector("b")?.remove();
    if (made) button.append(element("b", SIGNS[made.decision], { class: made.decision, "aria-hidden": "true" }));
  });
  const current = strip.querySelector("[aria-current=true]");
  if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
}

function stripLine(item) {
  const line = element("li"), button = element("button", "", { type: "button" });
  line.dataset.key = keyOf(item);
  if (item.source) button.append(element("img", "", { src: item.source, alt: "", decoding: "async" }));
  button.addEventListener("click", () => go(listing.indexOf(item)));
  line.append(button);
  return line;
}
