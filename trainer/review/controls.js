// Buttons, dialogs, files and keys.

// Close a dialog. The focus goes back to where it was; in a closed dialog it would take the keys that follow.
function shut(dialog) {
  dialog.close();
  if (dialog.contains(document.activeElement)) document.activeElement.blur();
}
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => shut(dialog)); // Esc

// --- change to a class that is typed ---------------------------------------------------------------------------------

let options = [], active = 0;

function openChange() {
  if (!listing[place]) return;
  part("type").value = "";
  part("change-dialog").showModal();
  part("type").focus();
  listClasses();
}

// The classes that fit what is typed: first those that begin with it; without text the likely ones first.
function listClasses() {
  const typed = part("type").value.trim(), small = typed.toLowerCase(), item = listing[place];
  const likely = [item.suggested, ...newest, ...review.classes].filter((name) => name && name !== item.given);
  const names = [...new Set(likely)];
  const fitting = [
    ...names.filter((name) => name.toLowerCase().startsWith(small)),
    ...names.filter((name) => name.toLowerCase().indexOf(small) > 0),
  ];
  const isKnown = review.classes.concat(newest).some((name) => name.toLowerCase() === small);
  options = fitting.slice(0, MOST_CLASSES).map((name) => ({ name, isNew: false }));
  if (typed && !isKnown && review.files) options.push({ name: typed, isNew: true });
  active = 0;
  part("classes").replaceChildren(...options.map(({ name, isNew }, index) => {
    const line = element("li", "", { role: "option", id: `class-${index}` });
    line.append(element("bdi", shown(name)));
    if (isNew) line.append(element("small", " – a new class, for trainer apply --new-classes"));
    line.addEventListener("click", () => choose(index));
    return line;
  }));
  const left = fitting.length - MOST_CLASSES;
  const more = left > 0 ? `${left.toLocaleString("en")} more: type on.` : "";
  part("classes-more").textContent = options.length ? more : "No such class.";
  markActive();
}

function markActive() {
  [...part("classes").children].forEach((line, index) => line.setAttribute("aria-selected", index === active));
  const line = part("classes").children[active];
  line?.scrollIntoView({ block: "nearest" });
  if (line) part("type").setAttribute("aria-activedescendant", line.id);
  else part("type").removeAttribute("aria-activedescendant");
}

function choose(index) {
  const option = options[index];
  if (!option) return;
  shut(part("change-dialog"));
  newest.splice(0, newest.length, option.name, ...newest.filter((name) => name !== option.name));
  decide("change", option.name);
}

part("type").addEventListener("input", listClasses);
part("type").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && options.length) {
    active = (active + step + options.length) % options.length;
    markActive();
  } else if (event.key === "Enter" && !event.isComposing) choose(active);
  else return;
  event.preventDefault();
});
part("change-cancel").addEventListener("click", () => shut(part("change-dialog")));

// --- accept many suggestions -----------------------------------------------------------------------------------------

function acceptable() {
  const least = Number(part("accept-percent").value) / 100;
  if (part("accept-percent").value === "") return [];
  return review.items.filter((item) => item.suggested && !decisions.of(item) && item.confidence > least);
}

function countAcceptable() {
  const number = acceptable().length;
  part("accept-count").textContent = `${count(number, "image")} that nobody decided on will be changed to the suggested `
    + "class, whatever the filters show. One undo takes it back.";
  part("accept-confirm").textContent = `Accept ${number.toLocaleString("en")}`;
  part("accept-confirm").disabled = !number;
}

part("accept-open").hidden = Boolean(review.notUsable) || !review.items.some((item) => item.suggested);
part("accept-open").addEventListener("click", () => { part("accept-dialog").showModal(); countAcceptable(); });
part("accept-percent").addEventListener("input", countAcceptable);
part("accept-cancel").addEventListener("click", () => shut(part("accept-dialog")));
part("accept-confirm").addEventListener("click", () => {
  const items = acceptable();
  decisions.decide(items.map((item) => [item, "change", item.suggested]));
  shut(part("accept-dialog"));
  relist();
  say(`${count(items.length, "suggestion")} accepted. ${part("progress-text").textContent}`);
});

// --- files -----------------------------------------------------------------------------------------------------------

part("download").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([decisions.text()], { type: "text/csv" }));
  element("a", "", { href: address, download: "decisions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  decisions.saved = true;
  say("decisions.csv is downloaded.");
});
part("load").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  const problem = part("problem");
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
    const number = decisions.read(text);
    problem.hidden = true;
    relist();
    say(`${count(number, "decision")} loaded.`);
  } catch (error) {
    const why = error instanceof TypeError ? "not UTF-8; in a spreadsheet, save it as 'CSV UTF-8'" : error.message;
    problem.textContent = shown(`${file.name}: ${why}. Nothing was loaded.`);
    problem.hidden = false;
  }
  target.value = "";
});
addEventListener("beforeunload", (event) => { if (!decisions.saved) event.preventDefault(); });
addEventListener("storage", (event) => { // another tab of the same audit
  if (event.key !== decisions.storageKey) return;
  decisions.steps.length = 0;
  decisions.load();
  relist();
});

// --- filters and keys ------------------------------------------------------------------------------------------------

function showAll() {
  part("filters").reset();
  part("confidence-text").textContent = "0 %";
}

review.classes.forEach((name, index) => part("class").append(element("option", shown(name), { value: index + 1 })));
part("filters").addEventListener("submit", (event) => event.preventDefault());
part("filters").addEventListener("input", () => {
  part("confidence-text").textContent = `${part("confidence").value} %`;
  relist();
  say(`${count(listing.length, "image")} shown.`);
});
part("all").addEventListener("click", () => { showAll(); relist(review.items[0]); });

const move = (step) => go(place + step);
const buttons = { keep, accept, change: openChange, remove, undo, previous: () => move(-1), next: () => move(1) };
for (const [id, action] of Object.entries(buttons)) part(id).addEventListener("click", action);
const KEYS = { k: keep, a: accept, c: openChange, r: remove, u: undo, arrowleft: buttons.previous, arrowright: buttons.next };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !part("shortcuts").checked) return;
  if (document.querySelector("dialog[open]")) return;
  const field = event.target.closest?.("select, input");
  if (field && !(["checkbox", "range"].includes(field.type) && event.key.length === 1)) return;
  const action = KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault(); // or the letter is typed into the dialog that it opens
  action();
});

const wide = matchMedia("(min-width: 56rem)"); // there the filters have a row; on a phone they fold away
const unfold = () => { part("tools").open = wide.matches; };
wide.addEventListener("change", unfold);
unfold();
showAll();
relist();
