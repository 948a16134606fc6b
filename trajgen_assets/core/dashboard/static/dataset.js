// The rows of a data set: the worst, the longest, or some at random that the same seed gives again.
"use strict";

(async () => {
  const { el, format, hash } = trajgen;
  const section = document.querySelector("[data-rows]");
  const form = section.querySelector("[data-filters]");
  const body = section.querySelector("[data-list]");
  const count = section.querySelector("[data-count]");
  const columns = JSON.parse(section.querySelector("[data-columns]").textContent);
  const at = Object.fromEntries(columns.map((name, place) => [name, place]));
  const files = Number(section.dataset.files);
  const rows = [];
  for (let number = 0; number < files; number += 1) {
    rows.push(...(await trajgen.load(`${section.dataset.rows}~rows-${number}`)));
    count.textContent = `${number + 1} of ${files} parts`;
  }

  const isTrial = (row) => row[at.turns] === null;
  const isKept = (row) => row[at.reason] === null;
  const known = (name) => (row) => isKept(row) && row[at[name]] !== null;
  const by = (name, sign) => (one, other) => sign * (one[at[name]] - other[at[name]]);
  const LISTS = {
    low: { holds: known("score"), order: by("score", 1), none: "No row was scored, which is not a score of 0." },
    high: { holds: known("score"), order: by("score", -1), none: "No row was scored." },
    errors: { holds: known("errors"), order: by("errors", -1), none: "Errors of tools were not counted." },
    long: { holds: known("tokens"), order: by("tokens", -1), none: "Of no row is it known how many tokens it has." },
    random: { holds: isKept, none: "There is no row." },
    flags: { holds: (row) => !isTrial(row) && row[at.flags] > 0, none: "No row has a leak flag." },
    rejected: { holds: (row) => !isKept(row) && !isTrial(row), none: "No row was rejected." },
    trials: { holds: (row) => !isKept(row) && isTrial(row), none: "No trial was rejected as a whole." },
  };

  // A generator of numbers that the same seed makes again (mulberry32).
  function dice(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  function drawn(found, n, seed) {
    const throwing = dice(seed), rest = [...found];
    for (let place = 0; place < Math.min(n, rest.length); place += 1) {
      const other = place + Math.floor(throwing() * (rest.length - place));
      [rest[place], rest[other]] = [rest[other], rest[place]];
    }
    return rest.slice(0, n);
  }

  const cell = (value, write) => el("td", { class: "n" }, value === null ? el("span", { class: "unknown" }, "n/a") : write(value));

  function line(row) {
    const task = row[at.page] === null ? row[at.task] : el("a", { href: trajgen.top + row[at.page] }, row[at.task]);
    const errors = row[at.errors] === null ? null : `${row[at.errors]} of ${row[at.calls]}`;
    const reason = row[at.reason] === null ? "" : row[at.reason].replaceAll("_", " ");
    return el("tr", {},
      el("td", {}, task), cell(row[at.conversation], format.count), el("td", {}, row[at.language] ?? ""), el("td", {}, row[at.agent] ?? ""),
      cell(row[at.turns], format.count), cell(row[at.tokens], format.count), cell(row[at.score], format.number), cell(errors, String),
      cell(row[at.flags], format.count), cell(row[at.reward], format.number),
      el("td", { class: "wrap" }, reason, row[at.detail] === null ? "" : el("span", { class: "note" }, ` ${row[at.detail]}`)));
  }

  function show() {
    const wanted = Object.fromEntries(new FormData(form));
    const list = LISTS[wanted.list] ?? LISTS.low;
    const words = wanted.q.toLowerCase();
    const found = rows.filter((row) => list.holds(row)
      && (!wanted.reason || row[at.reason] === wanted.reason)
      && (!wanted.language || row[at.language] === wanted.language)
      && (!words || `${row[at.task]} ${row[at.detail] ?? ""}`.toLowerCase().includes(words)));
    const n = Number(wanted.n);
    const shown = wanted.list === "random" ? drawn(found, n, Number(wanted.seed)) : (list.order ? found.sort(list.order) : found).slice(0, n);
    body.replaceChildren(...shown.map(line));
    if (!shown.length) body.append(el("tr", {}, el("td", { colspan: 11, class: "note" }, list.none)));
    count.textContent = `${format.count(shown.length)} of ${format.count(found.length)}`;
  }

  function fromAddress() {
    const asked = hash.read();
    for (const input of form.elements) if (input.name && asked[input.name] !== undefined) input.value = asked[input.name];
    show();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    hash.write(Object.fromEntries(new FormData(form)));
    show();
  });
  form.querySelector("[data-again]").addEventListener("click", () => {
    form.elements.list.value = "random";
    form.elements.seed.value = Math.floor(Math.random() * 16777216);
    form.dispatchEvent(new Event("input"));
  });
  addEventListener("hashchange", () => { fromAddress(); section.scrollIntoView(); });
  fromAddress();
  section.dataset.ready = "yes";
})().catch(trajgen.fail);
