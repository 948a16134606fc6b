// The page of all tasks: rows come in shards, and only those shards are loaded that can hold what is asked for.
"use strict";

(async () => {
  const { el, format, hash } = trajgen;
  const PER_PAGE = 100;
  const form = document.querySelector("[data-filters]");
  const body = document.querySelector("[data-tasks] tbody");
  const count = document.querySelector("[data-count]");
  const SELECTS = ["dataset", "campaign", "why", "cause", "language", "difficulty", "category"];

  const index = await trajgen.load("index");
  const column = Object.fromEntries(index.columns.task.map((name, at) => [name, at]));
  const attempt = Object.fromEntries(index.columns.attempt.map((name, at) => [name, at]));
  const total = index.shards.reduce((sum, [, n]) => sum + n.reduce((a, b) => a + b, 0), 0);
  const shards = new Map();
  let filters = {}, order = { by: "", down: false }, at = 0, turn = 0;

  const read = (row, name) => (name === "n_attempts" ? row[column.attempts].length : row[column[name]]);

  // Whether a shard can hold a task that came to where the filters ask.
  function mayHold([, n]) {
    const from = filters.reached === "" ? 0 : Number(filters.reached);
    return n.some((some, stage) => some && stage >= from && (filters.stage === "" || stage === Number(filters.stage)));
  }

  function matches({ row, shard }) {
    const attempts = row[column.attempts];
    for (const name of ["dataset", "campaign", "why", "language", "difficulty", "category"])
      if (filters[name] && read(row, name) !== filters[name]) return false;
    if (filters.reached !== "" && row[column.stage] < Number(filters.reached)) return false;
    if (filters.stage !== "" && row[column.stage] !== Number(filters.stage)) return false;
    if (filters.outcome && !attempts.some((each) => each[attempt.outcome] === filters.outcome)) return false;
    if (filters.cause && !attempts.some((each) => each[attempt.cause] === filters.cause)) return false;
    if (filters.beside && !(row[column.rows] > 0 && row[column.stage] < 5)) return false;
    if (!filters.q) return true;
    const text = [row[column.dataset], row[column.id]].join("/") + ` ${row[column.campaign]} ${row[column.note] ?? ""} `
      + attempts.map((each) => `${each[attempt.trial]} ${shard.jobs[each[attempt.job]]}`).join(" ");
    return filters.q.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));
  }

  function compare(a, b) {
    const [x, y] = [read(a.row, order.by), read(b.row, order.by)];
    if (x === y) return 0;
    if (x === null) return 1;
    if (y === null) return -1;
    return (x < y ? -1 : 1) * (order.down ? -1 : 1);
  }

  function fill(name, values) {
    const select = form.elements[name];
    const chosen = filters[name] ?? "";
    const all = new Set([...values].filter((value) => value !== null));
    if (chosen) all.add(chosen);
    select.replaceChildren(select.options[0], ...[...all].sort().map((value) => el("option", { value }, value.replaceAll("_", " "))));
    select.value = chosen;
  }

  function line({ row, shard }) {
    const attempts = row[column.attempts].map((each) => {
      const [job, trial] = [each[attempt.job], each[attempt.trial]];
      return trajgen.outcome(each[attempt.outcome], {
        href: `${shard.pages[job]}/${shard.odd[trial] ?? trial}.html`,
        title: [shard.jobs[job], each[attempt.cause]?.replaceAll("_", " ")].filter(Boolean).join(": "),
        reward: each[attempt.reward],
      });
    });
    const why = row[column.why];
    return el("tr", {},
      el("td", {}, el("span", { class: "note" }, `${row[column.dataset]}/`), row[column.id]),
      el("td", {}, row[column.campaign]),
      el("td", {}, index.stages[row[column.stage]]),
      el("td", { title: row[column.note] }, why === null ? "" : why.replaceAll("_", " ")),
      el("td", { class: "n" }, row[column.reward] === null ? "" : format.number(row[column.reward])),
      el("td", { class: "n" }, row[column.rows] === null ? "" : format.count(row[column.rows])),
      el("td", { class: "cells" }, ...attempts),
      el("td", {}, row[column.language] ?? ""),
      el("td", {}, row[column.difficulty] ?? ""));
  }

  async function show() {
    const mine = ++turn;
    const wanted = index.shards.filter(mayHold);
    for (const [name] of wanted.filter(([name]) => !shards.has(name))) {
      count.textContent = `loading ${shards.size + 1} of ${wanted.length} parts…`;
      shards.set(name, await trajgen.load(name));
      if (mine !== turn) return;
    }
    const all = wanted.flatMap(([name]) => shards.get(name).rows.map((row) => ({ row, shard: shards.get(name) })));
    const found = all.filter(matches);
    if (order.by) found.sort(compare);
    for (const name of SELECTS)
      fill(name, name === "cause" ? all.flatMap(({ row }) => row[column.attempts].map((each) => each[attempt.cause])) : all.map(({ row }) => read(row, name)));
    at = Math.min(at, Math.max(0, Math.ceil(found.length / PER_PAGE) - 1));
    count.textContent = `${format.count(found.length)} of ${format.count(total)}`;
    body.replaceChildren(...found.slice(at * PER_PAGE, (at + 1) * PER_PAGE).map(line));
    if (!found.length) body.append(el("tr", {}, el("td", { colspan: 9, class: "note" }, "No task fits these filters.")));
    trajgen.pager(at, PER_PAGE, found.length);
  }

  function fromAddress() {
    const said = hash.read();
    filters = Object.fromEntries([...form.elements].filter((each) => each.name).map((each) => [each.name, said[each.name] ?? ""]));
    for (const name of SELECTS) fill(name, [...form.elements[name].options].slice(1).map((option) => option.value));
    for (const each of form.elements) if (each.name) each.type === "checkbox" ? (each.checked = Boolean(filters[each.name])) : (each.value = filters[each.name]);
    at = 0;
    show().catch(trajgen.fail);
  }

  form.addEventListener("input", () => {
    for (const each of form.elements) if (each.name) filters[each.name] = each.type === "checkbox" ? (each.checked ? each.value : "") : each.value;
    hash.write(filters);
    at = 0;
    show().catch(trajgen.fail);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { hash.write({}); fromAddress(); }));
  document.querySelector("[data-pager]").addEventListener("click", (event) => {
    const step = Number(event.target.dataset.step ?? 0);
    if (step) { at += step; show().catch(trajgen.fail); document.querySelector("main").scrollIntoView(); }
  });
  for (const button of document.querySelectorAll("button[data-by]")) button.addEventListener("click", () => {
    order = { by: button.dataset.by, down: order.by === button.dataset.by && !order.down };
    trajgen.markSorted(button.closest("th"), order.down);
    show().catch(trajgen.fail);
  });
  addEventListener("hashchange", fromAddress);
  fromAddress();
})().catch(trajgen.fail);
