// decisions.csv, as trainer/review/decisions.py reads and writes it.

const COLUMNS = ["audit", "split", "id", "path", "sha256", "given", "decision", "label"];

// An apostrophe before what a spreadsheet would take for a formula, and off again.
const safeCell = (cell) => (/^'*[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell);
const plainCell = (cell) => (/^'+[=+\-@\t\r]/.test(cell) ? cell.slice(1) : cell);
const quotedCell = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

function writeTable(rows) {
  const lines = rows.map((row) => COLUMNS.map((name) => quotedCell(safeCell(String(row[name])))).join(","));
  return [COLUMNS.join(","), ...lines].map((line) => `${line}\n`).join("");
}

// The rows of cells of a CSV text; throws an Error that names the row.
function cellsOf(text, delimiter) {
  const rows = [];
  let row = [], cell = "", quoted = false, wasQuoted = false;
  const endCell = () => { row.push(cell); cell = ""; wasQuoted = false; };
  const endRow = () => { endCell(); rows.push(row); row = []; };
  for (let at = 0; at < text.length; at++) {
    const mark = text[at];
    if (quoted) {
      if (mark !== '"') cell += mark;
      else if (text[at + 1] === '"') { cell += mark; at++; }
      else { quoted = false; wasQuoted = true; }
    } else if (mark === delimiter) endCell();
    else if (mark === "\n") endRow();
    else if (mark === "\r") { if (text[at + 1] !== "\n") endRow(); }
    else if (mark === '"' && cell === "" && !wasQuoted) quoted = true;
    else if (wasQuoted) throw new Error(`row ${rows.length + 1}: text after a closing quotation mark`);
    else cell += mark;
  }
  if (quoted || cell || row.length) throw new Error("its last row has no end, so the file was cut short");
  return rows;
}

// The rows of a decisions.csv as objects; throws an Error that says what is wrong and in which row, the head is row 1.
function readTable(text, audit) {
  const body = text.startsWith("\ufeff") ? text.slice(1) : text;
  const head = body.split("\n", 1)[0].replace(/\r$/, "").replaceAll('"', "");
  const delimiter = [",", ";", "\t"].find((mark) => head === COLUMNS.join(mark));
  if (!delimiter) throw new Error(`row 1: columns ${COLUMNS.join(", ")} are expected`);
  const rows = [], seen = new Map();
  cellsOf(body, delimiter).forEach((cells, index) => {
    const number = index + 1;
    if (index === 0 || cells.every((cell) => cell === "")) return;
    const wrong = (what) => { throw new Error(`row ${number}: ${what}`); };
    if (cells.length !== COLUMNS.length) wrong(`${cells.length} cells, ${COLUMNS.length} are expected`);
    const row = Object.fromEntries(COLUMNS.map((name, place) => [name, plainCell(cells[place])]));
    if (row.audit !== audit) wrong("of another audit, or of files that changed since");
    if (!/^[0-9]{1,10}$/.test(row.id)) wrong(`id ${row.id} is no number`);
    row.id = Number(row.id);
    if (!["keep", "change", "remove"].includes(row.decision)) wrong("decision keep, change or remove is expected");
    if (row.decision === "keep") row.label = row.label || row.given;
    if (row.decision === "keep" && row.label !== row.given) wrong(`keep, with label ${row.label}`);
    if (row.decision === "remove" && row.label && row.label !== row.given) wrong(`remove, with label ${row.label}`);
    if (row.decision === "remove") row.label = "";
    if (row.decision === "change" && (!row.label || row.label === row.given)) wrong("change to another class is expected");
    const key = keyOf(row);
    if (seen.has(key)) wrong(`decides ${row.path || key} again, after row ${seen.get(key)}`);
    seen.set(key, number);
    rows.push(row);
  });
  return rows;
}

const keyOf = (row) => `${row.split}/${row.id}`;
