// Two jobs, task by task. Of a task that a job tried more than once the last trial counts.
"use strict";

(async () => {
  const { el, format, hash } = trajgen;
  const form = document.querySelector("[data-choice]");
  const result = document.querySelector("[data-result]");
  const GRADED = ["resolved", "partial", "unsolved"];

  const index = await trajgen.load("index");
  if (index.jobs.length < 2) return;
  const options = () => index.jobs.map(([name, slug, , campaign, , , n]) => el("option", { value: slug }, `${name} (${campaign}, ${n} trials)`));
  for (const name of ["a", "b"]) form.elements[name].append(...options());

  // The newest job, and the largest other one over the same data set that has another campaign; failing that, any.
  function suggested() {
    const ended = index.jobs.filter(([, , , , , , n]) => n);
    const [newest = index.jobs[0]] = ended;
    const others = [...ended, ...index.jobs].filter((job) => job !== newest);
    others.sort((a, b) => b[6] - a[6]);
    const other = others.find((job) => job[2] === newest[2] && job[3] !== newest[3]) ?? others[0];
    return [other[1], newest[1]];
  }

  async function tasksOf(slug) {
    const job = await trajgen.load(`jobs/${slug}`);
    const trials = job.rows.map((row) => Object.fromEntries(job.columns.map((name, at) => [name, row[at]])));
    return { ...job, slug, tasks: new Map(trials.map((trial) => [`${trial.dataset}/${trial.task}`, trial])) };
  }

  // Means are over the tasks that both jobs have a result of: anything else compares unlike things.
  function figures(pairs) {
    const graded = pairs.filter(([, a, b]) => GRADED.includes(a?.outcome) && GRADED.includes(b?.outcome));
    const mean = (side, name) => {
      const known = graded.map((pair) => pair[side][name]).filter((value) => value !== null);
      return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    };
    const solved = ([, a, b]) => `${Number(a.outcome === "resolved")}${Number(b.outcome === "resolved")}`;
    const n = { "11": 0, "10": 0, "01": 0, "00": 0 };
    for (const pair of graded) n[solved(pair)] += 1;
    return { graded, mean, n, without: (side) => pairs.filter((pair) => pair[side] && !GRADED.includes(pair[side].outcome)).length };
  }

  const outcome = (job, trial) => (trial
    ? trajgen.outcome(trial.outcome, { href: `${job.page}/${trial.trial}.html`, reward: trial.reward, title: trial.cause?.replaceAll("_", " ") })
    : el("span", { class: "note" }, "not in this job"));

  function change(a, b, form_, lessIsBetter, isBrief = false) {
    if (a === null || b === null || a === undefined || b === undefined) return el("td", { class: "n note" }, "n/a");
    const ratio = a ? b / a - 1 : 0;
    const tone = Math.abs(ratio) < 0.005 ? "" : (ratio < 0) === lessIsBetter ? "better" : "worse";
    const by = a ? ` (${ratio > 0 ? "+" : "−"}${Math.round(Math.abs(ratio) * 100)} %)` : "";
    return el("td", { class: `n ${tone}`, title: isBrief ? by.trim() || null : null }, `${form_(a)} → ${form_(b)}${isBrief ? "" : by}`);
  }

  function summary(a, b, pairs) {
    const { graded, mean, n, without } = figures(pairs);
    const line = (label, ...cells) => el("tr", {}, el("th", { scope: "row" }, label), ...cells);
    const measured = (label, name, shape, less) => line(label, change(mean(1, name), mean(2, name), shape, less));
    const matrix = (value, words) => el("td", { class: "n" }, el("b", {}, format.count(value)), el("span", { class: "note" }, ` ${words}`));
    return el("div", { class: "columns" },
      el("div", { class: "scroll" }, el("table", {},
        el("caption", {}, `Means over the ${format.count(graded.length)} tasks that both have a result of`),
        el("tbody", {},
          measured("Mean reward", "reward", format.share, false), measured("Tokens", "tokens", format.amount, true),
          measured("Cost", "cost", format.usd, true), measured("Time", "duration", format.span, true),
          line("Without a result", el("td", { class: "n" }, `${without(1)} → ${without(2)}`))))),
      el("div", { class: "scroll" }, el("table", {},
        el("caption", {}, "Who solved what"),
        el("thead", {}, el("tr", {}, el("td", {}), el("th", { scope: "col" }, "B solved it"), el("th", { scope: "col" }, "B did not"))),
        el("tbody", {},
          line("A solved it", matrix(n["11"], "both"), matrix(n["10"], "A alone")),
          line("A did not", matrix(n["01"], "B alone"), matrix(n["00"], "neither"))))));
  }

  async function show() {
    const { a: first, b: second, only } = Object.fromEntries(new FormData(form));
    hash.write({ a: first, b: second, only });
    const [a, b] = await Promise.all([tasksOf(first), tasksOf(second)]);
    const keys = [...new Set([...a.tasks.keys(), ...b.tasks.keys()])].sort();
    const pairs = keys.map((key) => [key, a.tasks.get(key), b.tasks.get(key)]);
    const both = pairs.filter(([, x, y]) => x && y);
    const shown = only === "any" ? pairs : only === "differ" ? both.filter(([, x, y]) => x.outcome !== y.outcome) : both;
    const rows = shown.map(([key, x, y]) => el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, outcome(a, x)), el("td", {}, outcome(b, y)),
      change(x?.tokens, y?.tokens, format.amount, true, true), change(x?.cost, y?.cost, format.usd, true, true), change(x?.duration, y?.duration, format.span, true, true)));
    const header = ["Task", "A", "B", "Tokens A → B", "Cost A → B", "Time A → B"].map((label, at) => el("th", { scope: "col", class: at > 2 ? "n" : "" }, label));
    const described = (label, job) => el("p", {}, el("b", {}, `${label} `), el("a", { href: `${job.page}/index.html` }, job.name), el("span", { class: "note" }, ` ${job.scaffold ?? "scaffold not known"}, ${job.model ?? "model not known"}`));
    result.replaceChildren(described("A", a), described("B", b), summary(a, b, pairs),
      el("h2", {}, `${format.count(shown.length)} tasks`),
      shown.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Task by task" },
        el("table", {}, el("thead", {}, el("tr", {}, ...header)), el("tbody", {}, ...rows)))
        : el("p", { class: "empty" }, both.length ? "They agree on every task." : "These two jobs have no task in common: choose two over one data set."));
  }

  const said = hash.read();
  const slugs = index.jobs.map(([, slug]) => slug);
  const [first, second] = suggested();
  form.elements.a.value = slugs.includes(said.a) ? said.a : first;
  form.elements.b.value = slugs.includes(said.b) ? said.b : second;
  form.elements.only.value = said.only ?? "";
  form.addEventListener("input", () => show().catch(trajgen.fail));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("[data-swap]").addEventListener("click", () => {
    [form.elements.a.value, form.elements.b.value] = [form.elements.b.value, form.elements.a.value];
    show().catch(trajgen.fail);
  });
  await show();
})().catch(trajgen.fail);
