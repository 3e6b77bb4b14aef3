// Who is calling: looking up, a name, a choice of several, or why there is none; then the
// question that must be answered before the desk hands out anything more.

import { ApiError, ask, callPath } from "./api.js";
import { el, reveal, say, show } from "./dom.js";
import { embedded, host } from "./embedding.js";
import { has } from "./i18n.js";
import { CallerSearch } from "./search.js";

const OUTCOMES = ["confirmed", "volunteered", "not_them"];
/** The answers after which the caller is none of the candidates. */
export const REJECTED = ["not_them", "new_person"];

/** The key that goes to the question. It gives no answer: that takes a second key. */
export const CONFIRM_KEY = "F7";

/** True if this page's user has placed the call: then there is no caller to ask. */
export function placed(pop) {
  return typeof pop.called === "string";
}

export class CallerPanel {
  /** `store(id, request)` stores the pop that the desk answers to a request. */
  constructor(callId, store) {
    this.callId = callId;
    this.store = store;
    this.number = el("p", { class: "number" });
    this.changed = el("p", { class: "warning changed", t: "caller.changed", hidden: true });
    this.status = el("p", { class: "lookup" });
    this.people = el("div", { class: "people", tabindex: "-1" });
    this.directories = el("ul", { class: "directories" });
    this.question = el("p", { class: "question", id: `question-${callId}` });
    this.answers = OUTCOMES.map((outcome) => this.answer(outcome));
    this.step = el(
      "div",
      { class: "confirm", role: "group", "aria-labelledby": this.question.id },
      el("div", { class: "asked" }, this.question, el("kbd", { raw: CONFIRM_KEY })),
      el("div", { class: "buttons" }, ...this.answers),
    );
    this.later = el("p", { class: "note", t: "confirm.later", hidden: true });
    this.search = new CallerSearch(callId);
    this.unknown = el("button", { type: "button", class: "quiet", t: "confirm.new_person", hidden: true, on: { click: () => this.confirm("new_person") } });
    this.trouble = el("p", { class: "warning", role: "alert", hidden: true });
    this.details = el("dl", { class: "details" });
    this.pages = el("ul", { class: "pages" });
    this.box = el(
      "section",
      { class: "caller", "data-t-label": "caller.label" },
      this.changed,
      this.number,
      this.status,
      this.people,
      this.directories,
      this.step,
      this.later,
      this.search.box,
      this.unknown,
      this.trouble,
      this.details,
      this.pages,
    );
  }

  answer(outcome) {
    const kind = outcome === "confirmed" ? "primary" : "";
    const listener = { click: () => this.confirm(outcome) };
    const shortcut = outcome === "confirmed" ? { "aria-keyshortcuts": CONFIRM_KEY } : {};
    return el("button", { type: "button", class: kind, "data-outcome": outcome, ...shortcut, t: `confirm.${outcome}`, on: listener });
  }

  update(pop, talks) {
    const caller = pop.caller;
    const own = placed(pop);
    this.box.dataset.status = own ? "called" : caller.status;
    // A new person, or one who is confirmed, was asked; after the call, there is nobody left to ask.
    const asked = caller.confirmed || caller.outcome === "new_person" || pop.state === "wrapup";
    reveal(this.changed, caller.position > 1 && !asked);
    const number = own ? pop.called : caller.number_display;
    show(this.number, number ?? "");
    reveal(this.number, Boolean(number));
    const named = caller.status === "found" || caller.status === "several";
    const choosing = caller.searched || caller.status === "several";
    const added = caller.outcome === "new_person" && pop.state !== "wrapup";
    reveal(this.status, own || added || (!asked && (!named || choosing)));
    const key = own ? "caller.called" : added ? "caller.new_person" : named && caller.searched ? "caller.searched" : `caller.${caller.status}`;
    say(this.status, key, { count: caller.candidates.length });
    this.listPeople(caller, pop.state === "wrapup");
    this.listDirectories(caller, asked || own);
    this.ask(pop, named, talks);
    this.listDetails(caller);
    this.listPages(caller);
  }

  /** Say which directories have not answered, unless this is the only directory. */
  listDirectories({ status, directories }, asked) {
    const one = directories.length === 1;
    const open = asked || one || status === "looking_up"
      ? []
      : directories.filter((each) => has(`directory.${each.answer}`));
    const key = JSON.stringify(open);
    reveal(this.directories, open.length > 0);
    if (key === this.directoriesKey) return;
    this.directoriesKey = key;
    this.directories.replaceChildren(
      ...open.map((each) => {
        const row = el("li", { "data-answer": each.answer });
        say(row, `directory.${each.answer}`, { name: each.name });
        return row;
      }),
    );
  }

  /** Draw the candidates again only when they change. A choice that is being made is kept. */
  listPeople(caller, over) {
    const confirmed = caller.confirmed && caller.chosen;
    const people = caller.candidates.filter((one) => !confirmed || one.person_id === caller.chosen);
    const key = JSON.stringify([people, caller.status, Boolean(confirmed), caller.position, over]);
    if (key !== this.peopleKey) {
      this.peopleKey = key;
      const choose = caller.status === "several" && !confirmed && !over;
      const kept = this.choosing && people.some((one) => one.person_id === this.chosen) ? this.chosen : null;
      this.chosen = choose ? (caller.chosen ?? kept) : (people[0]?.person_id ?? null);
      this.choosing = choose;
      this.people.setAttribute("role", choose ? "radiogroup" : "group");
      this.people.replaceChildren(...people.map((one) => this.person(one, choose, confirmed)));
    }
  }

  person(one, choose, confirmed) {
    const name = el(choose ? "span" : "h3", { class: "name", raw: one.name, dir: "auto" });
    const badges = el("span", { class: "badges" });
    if (has(`language.prefers.${one.language}`)) {
      badges.append(el("span", { class: "badge language", t: `language.prefers.${one.language}` }));
    }
    if (one.kind !== "person") badges.append(el("span", { class: "badge", t: `kind.${one.kind}` }));
    if (one.main_line) badges.append(el("span", { class: "badge", t: "kind.main_line" }));
    if (one.shared_warning && !confirmed) badges.append(el("span", { class: "badge shared", t: "caller.shared" }));
    if (!choose) return el("div", { class: "person" }, name, badges);
    const radio = el("input", {
      type: "radio",
      name: `person-${this.callId}`,
      value: one.person_id,
      on: { change: () => this.choose(one.person_id) },
    });
    radio.checked = one.person_id === this.chosen;
    return el("label", { class: "person choice" }, radio, name, badges);
  }

  choose(personId) {
    this.chosen = personId;
    this.enable();
  }

  /** Only "not who we thought" can be said of several people of whom none is chosen. */
  enable() {
    for (const button of this.answers) {
      button.disabled = this.chosen === null && button.dataset.outcome !== "not_them";
    }
  }

  /** Ask who is calling while the advisor talks with them; the desk takes no answer at another time. */
  ask(pop, named, talks) {
    const { confirmed, outcome } = pop.caller;
    const open = pop.mine && pop.state !== "ringing" && !confirmed && !placed(pop);
    const live = open && pop.state !== "wrapup";
    const focused = this.step.contains(document.activeElement);
    reveal(this.step, open && named && talks);
    reveal(this.later, live && named && !talks);
    if (focused && this.step.hidden) this.people.focus();
    this.search.offer(live, pop.caller.position);
    if (JSON.stringify([confirmed, outcome, pop.state]) !== this.answered) reveal(this.trouble, false);
    this.answered = JSON.stringify([confirmed, outcome, pop.state]);
    reveal(this.unknown, open && outcome !== "new_person");
    say(this.question, REJECTED.includes(outcome) ? "confirm.again" : "confirm.question");
    this.enable();
  }

  listDetails(caller) {
    const key = JSON.stringify(caller.details);
    reveal(this.details, Object.keys(caller.details).length > 0);
    if (key === this.detailsKey) return;
    this.detailsKey = key;
    this.details.replaceChildren(
      ...Object.entries(caller.details).flatMap(([name, value]) => [
        has(`detail.${name}`) ? el("dt", { t: `detail.${name}` }) : el("dt", { raw: name }),
        el("dd", { raw: value, dir: "auto" }),
      ]),
    );
  }

  /** Link to the caller's record in each directory. The desk decides which links there are. */
  listPages(caller) {
    const key = JSON.stringify(caller.pages);
    reveal(this.pages, caller.pages.length > 0);
    if (key === this.pagesKey) return;
    this.pagesKey = key;
    this.pages.replaceChildren(
      ...caller.pages.map((page) => {
        const link = el("a", { href: page.url, target: "_blank", rel: "noopener noreferrer" });
        link.addEventListener("click", (event) => {
          if (host.open(this.callId, page)) event.preventDefault();
        });
        say(link, embedded ? "caller.page.here" : "caller.page", { name: page.directory });
        return el("li", {}, link);
      }),
    );
  }

  /** True if the question who is calling is asked now. */
  get asks() {
    return !this.step.hidden;
  }

  /** Go to the question, or to the choice between several people. */
  focusQuestion() {
    const choice = this.chosen === null ? this.people.querySelector("input") : null;
    (choice ?? this.answers[0]).focus();
  }

  async confirm(outcome) {
    const focused = this.step.contains(document.activeElement);
    try {
      await this.store(this.callId, ask("POST", callPath(this.callId, "confirm"), { outcome, person_id: this.chosen }));
      reveal(this.trouble, false);
      if (focused) this.people.focus(); // the question, which had the focus, goes
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(this.trouble, error.reason === "not_talking" ? "confirm.refused" : "error.notsent");
      reveal(this.trouble, true);
    }
  }
}
