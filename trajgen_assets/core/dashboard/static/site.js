// What every page does: theme, search box, data that is loaded on demand, and word of a newer build.
"use strict";

const trajgen = (() => {
  const top = document.body.dataset.top;
  const waiting = new Map(); // name of a data file to those who wait for it

  // Data lies in scripts, each of which hands over one value: a page from disk may load these and no JSON.
  function load(name, { again = false } = {}) {
    if (again) waiting.delete(name);
    if (!waiting.has(name)) {
      let settle;
      const promise = new Promise((resolve, reject) => { settle = { resolve, reject }; });
      waiting.set(name, { promise, ...settle });
      const script = document.createElement("script");
      script.src = `${top}data/${name}.js${again ? `?${Date.now()}` : ""}`;
      script.onload = () => script.remove();
      script.onerror = () => {
        waiting.delete(name);
        script.remove();
        settle.reject(new Error(`${name}.js cannot be loaded: reload the page, or build the dashboard again`));
      };
      document.head.append(script);
    }
    return waiting.get(name).promise;
  }

  function take(name, value) {
    waiting.get(name)?.resolve(value);
  }

  // el("td", {class: "n"}, text, child…): text is only ever text.
  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const format = {
    count: (n) => (n === null ? "n/a" : n.toLocaleString("en-US")),
    number: (x) => (x === null ? "n/a" : String(Number(x.toPrecision(3)))),
    share: (x) => (x === null ? "n/a" : x === 0 || x === 1 ? `${x * 100} %` : `${Math.min(99.9, Math.max(0.1, x * 100)).toFixed(1)} %`),
    amount: (n) => {
      if (n === null) return "n/a";
      for (const [step, unit] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (n >= step * 0.9995) return `${(n / step).toPrecision(3)} ${unit}`;
      return String(Number(n.toPrecision(4)));
    },
    usd: (x) => (x === null ? "n/a" : x >= 1 || x === 0 ? `$${x.toFixed(2)}` : `$${x.toFixed(4)}`),
    span: (s) => {
      if (s === null) return "n/a";
      if (s < 60) return `${Number(s.toPrecision(3))} s`;
      const minutes = Math.floor(Math.round(s) / 60), hours = Math.floor(minutes / 60);
      return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${Math.round(s) % 60} s`;
    },
  };

  // The part behind # as names and values, and back: what a page shows can be linked to.
  const hash = {
    read: () => Object.fromEntries(new URLSearchParams(location.hash.slice(1))),
    write: (values) => {
      const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
      history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
    },
  };

  const GLYPHS = { resolved: "✓", partial: "◐", unsolved: "✗", agent: "◔", capture: "◇", outside: "▲", superseded: "↻" };

  const LABELS = { outside: "infrastructure", agent: "no result", capture: "capture gap" };

  // How a trial ended, as a link to it. In a grid the sign stands alone, and the word is read out.
  function outcome(name, { href, title, reward, brief = false }) {
    const word = name === "partial" ? format.number(reward) : LABELS[name] ?? name;
    return el("a", { class: `outcome ${name}${brief ? " cell" : ""}`, href: top + href, title: title || null },
      el("span", { "aria-hidden": true }, GLYPHS[name] ?? "?"), el("span", { class: brief ? "hidden" : null }, ` ${word}`));
  }

  function pager(at, perPage, n) {
    const element = document.querySelector("[data-pager]");
    element.hidden = n <= perPage;
    element.querySelector("[data-where]").textContent = `${format.count(at * perPage + 1)} to ${format.count(Math.min(n, (at + 1) * perPage))} of ${format.count(n)}`;
    element.querySelector('[data-step="-1"]').disabled = at === 0;
    element.querySelector('[data-step="1"]').disabled = (at + 1) * perPage >= n;
  }

  function markSorted(header, isDown) {
    for (const each of header.parentElement.children) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  }

  // A job's name begins and ends with what tells it from others.
  const short = (name) => (name.length <= 26 ? name : `${name.slice(0, 8)}…${name.slice(-16)}`);

  function fail(error) {
    document.querySelector("main").prepend(el("p", { class: "problem", role: "alert" }, String(error.message ?? error)));
    throw error;
  }

  return { load, take, el, format, hash, top, outcome, pager, markSorted, short, fail };
})();

document.querySelector("[data-theme-toggle]").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("trajgen-theme", root.dataset.theme); } catch { /* it holds until the page is left */ }
});

document.querySelector("[data-search]").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = new FormData(event.target).get("q").trim();
  location.href = `${trajgen.top}tasks.html#${new URLSearchParams({ q: query })}`;
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.querySelector("[data-search] input").focus();
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || button.parentElement.querySelector("code, pre").textContent;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    button.textContent = "mark it and copy by hand";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
});

// Tables that came with the page: a click on a heading sorts by it, numbers by `data-value` where the cell has one.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const collator = new Intl.Collator("en", { numeric: true });
  const valueOf = (cell) => cell.dataset.value ?? (cell.querySelector(".unknown") ? "" : cell.textContent.trim());
  for (const [at, header] of [...table.tHead.rows[0].cells].entries()) {
    if ("unsorted" in header.dataset) continue;
    const button = trajgen.el("button", { class: "sort", type: "button" });
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const isDown = header.getAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : header.classList.contains("n");
      const rows = [...table.tBodies[0].rows];
      const isUnknown = (text) => text === "";
      rows.sort((a, b) => {
        const [x, y] = [valueOf(a.cells[at]), valueOf(b.cells[at])];
        if (isUnknown(x) || isUnknown(y)) return isUnknown(x) - isUnknown(y);
        const order = Number.isNaN(Number(x)) || Number.isNaN(Number(y)) ? collator.compare(x, y) : Number(x) - Number(y);
        return isDown ? -order : order;
      });
      table.tBodies[0].append(...rows);
      trajgen.markSorted(header, isDown);
    });
  }
}

// When the site was built, and whether there is a newer one: while a job runs it is built again and again.
(async () => {
  const LOOK_EVERY_MS = 15_000;
  const stamp = await trajgen.load("stamp").catch(() => null);
  if (!stamp) return;
  const built = document.querySelector("[data-built]");
  built.textContent = `as of ${stamp.built_at.slice(0, 16).replace("T", " ")} UTC`;
  document.querySelector("[data-reload]").addEventListener("click", () => location.reload());
  const timer = setInterval(async () => {
    if (document.visibilityState !== "visible") return;
    const now = await trajgen.load("stamp", { again: true }).catch(() => stamp);
    if (now.digest === stamp.digest) return;
    document.querySelector("[data-news]").hidden = false;
    clearInterval(timer);
  }, LOOK_EVERY_MS);
})();
