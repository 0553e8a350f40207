// What was decided: a map by split and id, kept in the browser, every step of which can be undone.

class Decisions {
  // audit: its id. items: the images of this page.
  constructor(audit, items) {
    this.audit = audit;
    this.storageKey = `trainer-review:${audit}`;
    this.items = new Map(items.map((item) => [keyOf(item), item]));
    this.made = new Map();
    this.steps = [];
    this.saved = true; // whether all of it is in a file or in the browser
    this.stored = this.load();
  }

  of(item) { return this.made.get(keyOf(item)); }

  // Decide on some images in one step. Each change is [item, decision, label].
  decide(changes) {
    const step = changes.map(([item]) => [keyOf(item), this.of(item)]);
    for (const [item, decision, label] of changes) this.made.set(keyOf(item), this.row(item, decision, label));
    this.steps.push(step);
    this.store();
  }

  row(item, decision, label) {
    const { split, id, path, sha256, given } = item;
    return { audit: this.audit, split, id, path: path ?? "", sha256: sha256 ?? "", given, decision, label };
  }

  // Take the last step back; the keys of what it was about.
  undo() {
    const step = this.steps.pop();
    if (!step) return [];
    for (const [key, before] of step) {
      if (before) this.made.set(key, before);
      else this.made.delete(key);
    }
    this.store();
    return step.map(([key]) => key);
  }

  text() {
    const order = (one, other) => (one.split === other.split ? one.id - other.id : one.split < other.split ? -1 : 1);
    return writeTable([...this.made.values()].sort(order));
  }

  // Take over the decisions of a file, in one step; how many. Throws an Error where one is not of this page's files.
  read(text) {
    const rows = readTable(text, this.audit);
    for (const row of rows) {
      const item = this.items.get(keyOf(row));
      const fits = !item || ["path", "sha256", "given"].every((name) => row[name] === (item[name] ?? ""));
      if (!fits) throw new Error(`${row.path || keyOf(row)}: path, sha256 or given is not that of the audit`);
    }
    this.steps.push(rows.map((row) => [keyOf(row), this.made.get(keyOf(row))]));
    for (const row of rows) this.made.set(keyOf(row), row);
    this.store();
    return rows.length;
  }

  // Decisions on images that this page does not show: of an earlier audit of the same files.
  elsewhere() { return [...this.made.keys()].filter((key) => !this.items.has(key)).length; }

  // From the browser; whether it keeps anything at all.
  load() {
    try {
      const text = localStorage.getItem(this.storageKey);
      localStorage.setItem(this.storageKey, text ?? "");
      this.made = new Map(text ? readTable(text, this.audit).map((row) => [keyOf(row), row]) : []);
      return true;
    } catch {
      return false;
    }
  }

  store() {
    this.saved = false;
    if (!this.stored) return;
    try {
      localStorage.setItem(this.storageKey, this.text());
      this.saved = true;
    } catch {
      this.stored = false;
    }
  }
}
