// Keeps the overview up to date: takes a snapshot a second and changes the cells that differ. The page is complete without
// it. Cells are made as `cells.rs` makes them.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const live = byId("live");
  const tables = new Map();
  let paused = false;
  let latest = null;

  // A cell in a snapshot is a text, or an object if there is more to it than that.
  const whole = (cell) => (typeof cell === "string" ? { t: cell } : cell);
  const print = (cell) => (typeof cell === "string" ? cell : JSON.stringify(cell));
  const TONES = ["good", "warn", "bad", "faint"];

  const fill = (element, cell) => {
    const { t: text, s: sort, c: tone, m: share, h: link } = whole(cell);
    if (sort === undefined) delete element.dataset.s;
    else element.dataset.s = sort;
    element.classList.remove(...TONES);
    if (tone) element.classList.add(tone);
    const anchor = element.querySelector("a");
    const meter = element.querySelector("meter");
    // The usual case: only what is inside has changed, and focus stays where it is.
    if (Boolean(anchor) === Boolean(link) && Boolean(meter) === (share !== undefined)) {
      if (anchor) {
        if (anchor.textContent !== text) anchor.textContent = text;
        if (anchor.getAttribute("href") !== link) anchor.setAttribute("href", link);
      } else if (meter) {
        if (element.firstChild && element.firstChild.nodeType === Node.TEXT_NODE) element.firstChild.data = text;
        else element.prepend(text);
      } else if (element.textContent !== text) {
        element.textContent = text;
      }
    } else {
      const parts = [text];
      if (link) {
        parts[0] = document.createElement("a");
        parts[0].setAttribute("href", link);
        parts[0].textContent = text;
      }
      if (share !== undefined) {
        const bar = document.createElement("span");
        bar.setAttribute("aria-hidden", "true");
        bar.append(document.createElement("meter"));
        parts.push(bar);
      }
      element.replaceChildren(...parts);
    }
    if (share !== undefined) {
      const bar = element.querySelector("meter");
      bar.value = share;
      bar.classList.toggle("high", share >= 0.9);
    }
  };

  // Beyond this number of rows those that are out of sight are left as they are until they come into sight.
  const MANY = 100;

  // A table: its rows by key, each with its latest data, and what its cells say.
  class Table {
    constructor(id) {
      this.table = byId(`t-${id}`);
      this.empty = byId(`e-${id}`);
      this.body = this.table.tBodies[0];
      this.heads = [...this.table.tHead.rows[0].cells];
      this.live = this.heads.map((head) => head.classList.contains("state"));
      this.classes = this.heads.map((head) => head.className);
      this.rows = new Map();
      this.sorted = 0;
      this.sight = new IntersectionObserver((changes) => {
        for (const { target, isIntersecting } of changes) {
          const entry = this.rows.get(target.dataset.key);
          if (!entry) continue;
          entry.inSight = isIntersecting;
          if (isIntersecting && entry.data) this.draw(entry);
        }
      }, { root: this.table.closest(".box"), rootMargin: "400px" });
      for (const row of this.body.rows) this.add(row);
      this.order = null;
      this.words = "";
      this.heads.forEach((head, at) => this.sortable(head, at));
      const filter = document.querySelector(`[data-filter="${id}"]`);
      if (filter) {
        filter.closest(".filter").hidden = false;
        this.count = byId(`n-${id}`);
        filter.addEventListener("input", () => {
          this.words = filter.value.toLowerCase().trim();
          this.filter();
        });
      }
    }

    sortable(head, at) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const again = head.getAttribute("aria-sort") === (this.isNumber(at) ? "descending" : "ascending");
        const descending = again !== this.isNumber(at);
        for (const other of this.heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        this.order = { at, sign: descending ? -1 : 1 };
        this.sort();
      });
    }

    // Numbers begin with the largest.
    isNumber(at) {
      return this.heads[at].classList.contains("num");
    }

    add(row) {
      const entry = { row, data: null, drawn: [], inSight: false };
      this.rows.set(row.dataset.key, entry);
      this.sight.observe(row);
      return entry;
    }

    // Before the first snapshot, what the server has written.
    data({ row, data }) {
      return data || [...row.cells].map((cell) => ({ t: cell.textContent, s: cell.dataset.s }));
    }

    // Changes the cells that differ; of a row that is out of sight those alone that are read out.
    draw(entry, all = true) {
      entry.data.forEach((cell, at) => {
        if (!all && !this.live[at]) return;
        const said = print(cell);
        if (entry.drawn[at] === said) return;
        fill(entry.row.cells[at], cell);
        entry.drawn[at] = said;
      });
    }

    sort() {
      if (!this.order) return;
      this.sorted = performance.now();
      const { at, sign } = this.order;
      const value = (entry) => {
        const { t: text, s: given } = whole(this.data(entry)[at]);
        const number = given === undefined ? Number.parseFloat(text.replace(/[\s$<]/g, "")) : Number(given);
        return { row: entry.row, text, number: Number.isNaN(number) ? null : number };
      };
      const compare = (a, b) => a.number !== null && b.number !== null && a.number !== b.number
        ? a.number - b.number
        : a.text.localeCompare(b.text, undefined, { numeric: true });
      let place = this.body.firstElementChild;
      for (const { row } of [...this.rows.values()].map(value).sort((a, b) => sign * compare(a, b))) {
        if (row === place) place = place.nextElementSibling;
        else this.body.insertBefore(row, place);
      }
    }

    filter() {
      let shown = 0;
      for (const entry of this.rows.values()) {
        const fits = !this.words || this.data(entry).some((cell) => whole(cell).t.toLowerCase().includes(this.words));
        if (entry.row.hidden === fits) entry.row.hidden = !fits;
        shown += fits;
      }
      if (this.count) this.count.textContent = this.words ? `${shown} of ${this.rows.size}` : "";
    }

    make(key) {
      const row = document.createElement("tr");
      row.dataset.key = key;
      this.heads.forEach((_, at) => {
        const cell = document.createElement(at === 0 ? "th" : "td");
        if (at === 0) cell.scope = "row";
        cell.className = this.classes[at];
        if (this.live[at]) cell.setAttribute("aria-live", "polite");
        row.append(cell);
      });
      return this.add(row);
    }

    update(rows) {
      const seen = new Set();
      let place = this.body.firstElementChild;
      let moved = false;
      for (const { k: key, c: cells } of rows) {
        seen.add(key);
        const entry = this.rows.get(key) || this.make(key);
        entry.data = cells;
        this.draw(entry, entry.inSight || rows.length <= MANY);
        if (this.order) {
          if (!entry.row.isConnected) this.body.append(entry.row);
        } else if (entry.row === place) {
          place = place.nextElementSibling;
        } else {
          this.body.insertBefore(entry.row, place);
          moved = true;
        }
      }
      for (const [key, { row }] of this.rows) {
        if (!seen.has(key)) {
          this.sight.unobserve(row);
          row.remove();
          this.rows.delete(key);
        }
      }
      this.empty.hidden = rows.length > 0;
      // Rows do not jump away from whoever works in them, and many of them not every second.
      const isDue = rows.length <= MANY || performance.now() - this.sorted > 5000;
      if (this.order && isDue && !this.body.contains(document.activeElement)) this.sort();
      if (this.words || moved) this.filter();
    }
  }

  const figures = new Map();
  const show = (snapshot) => {
    for (const [name, cell] of Object.entries(snapshot.figures)) {
      const said = print(cell);
      if (figures.get(name) === said) continue;
      figures.set(name, said);
      const element = byId(`f-${name}`);
      if (element) fill(element, cell);
    }
    for (const [id, rows] of Object.entries(snapshot.tables)) {
      if (!tables.has(id) && byId(`t-${id}`)) tables.set(id, new Table(id));
      tables.get(id)?.update(rows);
    }
  };

  // What is said of the connection is read out, so it is said once.
  const say = (text) => {
    if (state.textContent !== text) state.textContent = text;
  };
  const state = document.createElement("span");
  const pause = document.createElement("button");
  pause.type = "button";
  pause.id = "pause";
  pause.textContent = "Pause";
  pause.setAttribute("aria-pressed", "false");
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    say(paused ? "Paused." : "Live, once a second.");
    if (!paused && latest) show(latest);
    if (!paused) draw();
  });
  live.replaceChildren(state, " ", pause);
  say("Connecting …");

  for (const id of ["providers", "routes", "shadows", "limits", "clients", "latest"]) if (byId(`t-${id}`)) tables.set(id, new Table(id));

  const events = new EventSource("/admin/events");
  events.addEventListener("snapshot", (event) => {
    latest = JSON.parse(event.data);
    if (paused) return;
    say("Live, once a second.");
    show(latest);
    document.documentElement.dataset.snapshots = String(1 + Number(document.documentElement.dataset.snapshots || 0));
  });
  events.addEventListener("error", () => {
    say(events.readyState === EventSource.CLOSED
      ? "Not live: the server let this page go. Load it again, and sign in if it asks for that."
      : "Not live: the connection is lost. Trying again …");
  });

  // The charts are drawn by the server.
  const choose = byId("choose");
  const query = () => new URLSearchParams(new FormData(choose)).toString();
  let drawing = false;
  const draw = async () => {
    if (drawing || paused || document.hidden) return;
    drawing = true;
    try {
      const answer = await fetch(`/admin/charts.html?${query()}`, { redirect: "error" });
      if (answer.ok) byId("charts").innerHTML = await answer.text();
    } catch {
      // The events say that the connection is lost.
    } finally {
      drawing = false;
    }
  };
  choose.addEventListener("change", draw);
  choose.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  setInterval(draw, 2000);
  document.addEventListener("visibilitychange", draw);
})();
