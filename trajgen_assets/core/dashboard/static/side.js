// Two trajectories of one task, turn n beside turn n: what differs is marked, in words too.
"use strict";

(async () => {
  const { el, format } = trajgen;
  const section = document.querySelector("[data-side]");
  const find = (name) => section.querySelector(`[data-${name}]`);
  const sources = JSON.parse(document.querySelector("[data-attempts]").textContent);
  const selects = { a: find('choose="a"'), b: find('choose="b"') };
  const status = find("status"), list = find("turns");
  const AT_ONCE = 64;
  const KINDS = { same: "same action", differs: "differs", "only-a": "left only", "only-b": "right only" };
  let pairs = [], drawn = 0, current = -1;
  let views = {};

  const index = (value, other) => (sources[Number(value)] ? String(Number(value)) : other);

  async function choose() {
    trajgen.hash.write({ a: selects.a.value, b: selects.b.value });
    const turns = {};
    for (const side of ["a", "b"]) {
      const source = sources[Number(selects[side].value)];
      views[side] = await trajectory.open(source.data);
      turns[side] = views[side].entries.filter((each) => each.kind === trajectory.TURN && each.conversation === views[side].main && !(each.flags & trajectory.FLAGS.notTaken));
      const last = turns[side].at(-1);
      find(`told="${side}"`).replaceChildren(
        `${format.count(turns[side].length)} turns, ${last ? format.amount(last.tokens) : 0} tokens, ${format.usd(last ? last.cost : null)} `,
        el("a", { href: trajgen.top + source.page }, "its page"));
    }
    pairs = Array.from({ length: Math.max(turns.a.length, turns.b.length) }, (_, at) => ({ a: turns.a[at], b: turns.b[at] }));
    drawn = 0;
    current = -1;
    list.replaceChildren();
    await drawLater();
  }

  const actions = (body) => JSON.stringify([body.calls.map((each) => [each.name, trajectory.start(each.arguments)]), body.commands.map(trajectory.start)]);

  async function pairOf(pair, at) {
    const bodies = {};
    for (const side of ["a", "b"]) if (pair[side]) bodies[side] = await views[side].body(pair[side]);
    const isSame = pair.a && pair.b && actions(bodies.a) === actions(bodies.b);
    pair.kind = isSame ? "same" : pair.a && pair.b ? "differs" : pair.a ? "only-a" : "only-b";
    const cells = ["a", "b"].map((side) => {
      if (!pair[side]) return el("div", { class: "empty" }, "No such turn.");
      const page = new URL(trajgen.top + sources[Number(selects[side].value)].page, location.href).href;
      return trajectory.article(views[side], pair[side], bodies[side], { status, name: `${side}${at + 1}`, page });
    });
    return el("li", { class: `pair ${pair.kind}`, tabindex: "-1", "aria-label": `Turn ${at + 1}: ${KINDS[pair.kind]}` }, el("span", { class: "verdict note" }, KINDS[pair.kind]), ...cells);
  }

  async function drawLater() {
    const next = Math.min(pairs.length, drawn + AT_ONCE);
    list.append(...(await Promise.all(pairs.slice(drawn, next).map((pair, at) => pairOf(pair, drawn + at)))));
    drawn = next;
    find("later").hidden = drawn >= pairs.length;
    find("later").textContent = `Later turns (${format.count(pairs.length - drawn)})`;
  }

  async function go(at) {
    if (at < 0 || at >= pairs.length) return;
    while (at >= drawn) await drawLater();
    current = at;
    list.children[at].focus({ preventScroll: true });
    list.children[at].scrollIntoView({ block: "nearest" });
    trajectory.say(status, `Turn ${at + 1}: ${KINDS[pairs[at].kind]}`);
  }

  async function nextDifference() {
    for (let at = current + 1; at < pairs.length; at += 1) {
      while (at >= drawn) await drawLater();
      if (pairs[at].kind !== "same") {
        await go(at);
        return;
      }
    }
    trajectory.say(status, "No later turn differs.");
  }

  function foldBoth() {
    const articles = current >= 0 ? [...list.children[current].querySelectorAll("article")] : [];
    const isOpen = articles.some((each) => !each.isUnfolded());
    for (const article of articles) article.unfold(isOpen);
  }

  let isDrawing = Promise.resolve();
  const inTurn = (action) => (isDrawing = isDrawing.then(action, action));
  for (const select of Object.values(selects)) select.addEventListener("change", () => inTurn(choose));
  find("later").addEventListener("click", () => inTurn(drawLater));
  find("difference").addEventListener("click", () => inTurn(nextDifference));
  for (const button of section.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => {
      const isOn = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isOn));
      list.classList.toggle(`without-${button.dataset.show}`, !isOn);
    });
  }

  const KEYS = {
    j: () => go(current + 1), ArrowDown: () => go(current + 1), k: () => go(current - 1), ArrowUp: () => go(current - 1),
    d: nextDifference, Enter: foldBoth,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, pre, summary")) return;
    if (event.key === "Enter" && !event.target.matches("li")) return;
    const action = KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    inTurn(action);
  });

  const asked = trajgen.hash.read();
  selects.a.value = index(asked.a, "0");
  selects.b.value = index(asked.b, "1");
  await inTurn(choose);
  section.dataset.ready = "yes";
})().catch(trajgen.fail);
