// The advisor's page: signs in, follows the desk's events, and keeps one card for each call.
// It decides nothing: every state shown is the desk's, and the desk has it from the switch.

import { Account } from "./account.js";
import { AlarmBanners } from "./alarms.js";
import { Notice, announce, hush } from "./announce.js";
import { ApiError, ask, connection, protection } from "./api.js";
import { ApprovalDoor, resumeApproval } from "./approval_door.js";
import { CONFIRM_KEY } from "./caller.js";
import { CallCard } from "./card.js";
import { Chime } from "./chime.js";
import { REQUEST_KEY } from "./data_request.js";
import { Dial, dialling } from "./dial.js";
import { el, reveal, say } from "./dom.js";
import { Door } from "./door.js";
import { guard, storeAll } from "./draft.js";
import { embedded, host } from "./embedding.js";
import { Frame } from "./frame.js";
import { deskTime } from "./greeting.js";
import * as i18n from "./i18n.js";
import { MiniWindow } from "./mini.js";
import { OpenNotes } from "./open_notes.js";
import { PHONE_KEY, WELSH_KEY, welsh } from "./phone.js";
import { PresenceControl, breaks } from "./presence.js";
import { takePurposes } from "./purposes.js";
import { PAUSE_KEY, limits } from "./recording.js";
import { RingingAlerts, notifications } from "./ringing.js";
import { search } from "./search.js";
import { SecondFactor } from "./second_factor.js";
import { SessionWatch } from "./session.js";
import { loadWays, signIn, takeReason } from "./signin.js";
import { Slots, talkedIn, talksIn } from "./slots.js";
import { watchSticky } from "./sticky.js";
import { Stream } from "./stream.js";
import { CallStrip } from "./strip.js";
import { entitle } from "./title.js";
import { Today } from "./today.js";
import { OwnTokens } from "./tokens.js";

const main = document.getElementById("main");
const who = document.getElementById("who");
const link = document.getElementById("link");
const lost = document.getElementById("lost");
const alarms = document.getElementById("alarms");
const session = document.getElementById("session");
const signOut = document.getElementById("sign-out");

const calls = new Map(); // call id → pop
const cards = new Map(); // call id → CallCard
let drafts = { user: null, notes: new Map() }; // what was typed and not stored when a card went away
const chime = new Chime();
const frame = new Frame(draw);
const strip = new CallStrip(chooseCall);
const ringing = new RingingAlerts(chime);
const notice = new Notice(); // why a key has done nothing
const mini = new MiniWindow({ keys: [onKey, onPhoneKey], tick, notice });
const measure = watchSticky(document.querySelector(".top"), main);
const tokens = new OwnTokens();
const account = new Account();
const approval = new ApprovalDoor();
const unreachable = () => notice.show("error.connection");
const admin = new Door("admin", async () => (await import("./admin.js")).Administration, unreachable);
const recordings = new Door("recordings", async () => (await import("./recordings.js")).Recordings, unreachable);
const retention = new Door("retention", async () => (await import("./retention.js")).Retention, unreachable, ["admin", "recordings"]);
const holds = new Door("holds", async () => (await import("./holds.js")).Holds, unreachable, ["admin", "recordings"]);
const cases = new Door("cases", async () => (await import("./cases.js")).Cases, unreachable, ["admin", "recordings"]);
const doors = [admin, recordings, retention, holds, cases];
const secondFactor = new SecondFactor();
const dial = new Dial();
let slots = new Slots();
let me = null;
let stream = null;
let watch = null;
const presences = new Map(); // user → presence: mine, and for a supervisor everybody's
const presence = new PresenceControl((request) => storePresence(me.user, request));
let advisors = null;
let overview = null;
let alarmList = null;
let undelivered = null;
let figures = null;
let today = null; // only for users who have a phone
let openNotes = null;
let closedNotes = null;
let idle = null;
let list = null;
let connected = false;
let switchUp = true;
let skew = 0; // the desk's clock minus ours, seconds

// Not the time of day of this machine, which may be wrong, and is put right at any moment.
const now = () => performance.now() / 1000 + skew;
const known = () => connected && switchUp;
const live = (pop) => pop.state === "answered" || pop.state === "held";

function showSignIn(note) {
  keepDrafts();
  stream?.close();
  stream = null;
  me = null;
  calls.clear();
  cards.clear();
  presences.clear();
  presence.update(undefined, false, now());
  slots = new Slots();
  ringing.leave();
  mini.offer(false);
  notice.hide();
  hush();
  alarms.replaceChildren();
  for (const part of [link, lost, alarms, signOut, chime.toggle]) reveal(part, false);
  chime.settle();
  tokens.stop();
  account.update(null);
  approval.update(null);
  secondFactor.update(null);
  watch = null;
  for (const door of doors) door.stop();
  undelivered?.stop();
  undelivered = null;
  figures?.stop();
  figures = null;
  today?.stop();
  today = null;
  closedNotes?.stop();
  openNotes = null;
  session.replaceChildren();
  who.textContent = "";
  const enter = async (signedIn) => {
    await start(signedIn);
    main.focus();
  };
  list = null;
  main.replaceChildren(signIn(enter, note, drafts.notes.size > 0));
  main.querySelector("button.primary, input").focus();
  entitle(null);
}

/** A session that ends under a half-written note must not take it along. */
function keepDrafts() {
  for (const [id, { contact }] of cards) {
    keepDraft(id, contact);
  }
}

function keepDraft(id, contact) {
  const unsent = contact.unsent();
  if (unsent) drafts.notes.set(id, unsent);
  contact.leave();
}

async function start(signedIn) {
  const supervision = signedIn.role === "advisor" ? null : await import("./supervision.js");
  me = signedIn;
  protection.csrf = me.csrf ?? null;
  if (drafts.user !== me.user) drafts = { user: me.user, notes: new Map() };
  who.textContent = me.user;
  if (me.needs_second_factor) {
    setUpFirst();
    return;
  }
  for (const part of [signOut, link, chime.toggle]) reveal(part, true);
  mini.offer(true);
  account.update(me);
  secondFactor.update(me);
  watch = new SessionWatch(me, now);
  session.replaceChildren(watch.box);
  i18n.translate(session);
  if (!i18n.remembered() && me.language !== i18n.language()) choose(me.language);
  overview = supervision ? new supervision.Overview() : null;
  alarmList = supervision ? new supervision.AlarmPanel(me) : new AlarmBanners(alarms, () => main);
  advisors = supervision ? new supervision.Advisors(storePresence) : null;
  undelivered = me.role === "admin" ? new supervision.Undelivered() : null;
  figures = supervision ? new supervision.Figures() : null;
  today = me.extension ? new Today() : null;
  openNotes = new OpenNotes(showCall);
  closedNotes = supervision ? new supervision.ClosedNotes() : null;
  idle = el("div", { class: "idle card" }, el("h2", { class: "big", t: "idle.title" }), el("p", { t: "idle.hint", class: "note" }));
  list = el("div", { class: "calls" });
  const title = el("h1", { class: "unseen", t: "calls.title" });
  const own = [alarmList.box, overview ? overview.box : idle, openNotes.box, dial.box, today?.box];
  const others = [advisors?.box, figures?.box, closedNotes?.box, undelivered?.box, ringing.box];
  main.replaceChildren(title, approval.box, tokens.box, strip.box, list, admin.box, recordings.box, retention.box, holds.box, cases.box, ...[...own, ...others].filter(Boolean));
  approval.update(me.user);
  tokens.start();
  i18n.translate(main);
  undelivered?.start();
  if (undelivered) admin.start(me, undelivered);
  if (me.role === "admin") for (const door of [retention, holds, cases]) door.start(me);
  if (supervision) recordings.start(me);
  figures?.start();
  closedNotes?.start();
  stream?.close();
  stream = new Stream({
    event: receive,
    up: () => setConnected(true),
    down: () => setConnected(false),
    refused: () => showSignIn("signin.expired"),
    replaced: () => showSignIn("signin.replaced"),
  });
  setConnected(false, { first: true });
  stream.run();
}

/** A user whose role needs a second factor must set it up first. */
function setUpFirst() {
  reveal(signOut, true);
  const done = async () => {
    try {
      await start(await ask("GET", "/me"));
      main.focus();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showSignIn("signin.expired");
    }
  };
  main.replaceChildren(el("h1", { class: "unseen", t: "factor.title" }), secondFactor.begin(done));
}

function setConnected(up, { first = false } = {}) {
  const changed = connected !== up;
  connected = up;
  showLink(first);
  if (changed) render();
}

function showLink(first = false) {
  const state = !connected ? (first ? "connecting" : "lost") : switchUp ? "live" : "noswitch";
  link.dataset.state = state;
  say(link, `link.${state}`);
  const broken = state === "lost" || state === "noswitch";
  if (broken) say(lost, `${state === "lost" ? "lost" : "noswitch"}.banner`);
  reveal(lost, broken);
}

function receive(type, data) {
  if (type === "snapshot") {
    skew = data.now - performance.now() / 1000;
    deskTime.offset = data.utc_offset;
    notifications.names = data.notification_names;
    dialling.offered = data.dials === true;
    welsh.offered = data.welsh === true;
    dial.update();
    watch.renewed(data.me);
    switchUp = data.switch !== false;
    limits.advisor = data.pause_reminder;
    limits.supervisor = data.pause_alarm;
    limits.waiting = data.waiting_warning;
    search.offered = data.searchable === true;
    host.origins = data.embed_origins ?? [];
    takeTexts(data.texts);
    calls.clear();
    for (const pop of data.calls) calls.set(pop.call_id, pop);
    breaks.reminder = data.break_reminder;
    presences.clear();
    for (const each of data.presence) presences.set(each.user, each);
    showLink();
    alarmList.snapshot(data.alarms);
    today?.refresh();
  } else if (type === "call") {
    calls.set(data.call_id, data);
  } else if (type === "closed") {
    calls.delete(data.call_id);
    today?.refresh();
  } else if (type === "presence") {
    for (const user of data.gone) presences.delete(user);
    for (const each of data.advisors) presences.set(each.user, each);
    showPresence();
    return;
  } else if (type === "texts") {
    takeTexts(data);
    admin.part?.texts.refresh();
  } else if (type === "day") {
    today?.refresh();
    return;
  } else if (type === "alarm") {
    raise(data);
    return;
  } else if (type === "alarm_changed") {
    alarmList.changed(data);
    return;
  }
  render();
}

/** Show the lists of texts that are in force. */
function takeTexts({ line_names, no_note_reasons, break_reasons, former_reasons, purposes, free_text, teams }) {
  i18n.own.lines = line_names;
  i18n.own.teams = teams;
  i18n.own.words = Object.fromEntries(no_note_reasons.map((each) => [`no_note_reason.${each.code}`, each]));
  breaks.reasons = break_reasons;
  breaks.former = former_reasons;
  takePurposes(purposes, free_text);
  i18n.translate(main);
}

function render() {
  frame.ask();
}

function draw() {
  if (!list) return;
  const mine = [...calls.values()].filter((pop) => pop.mine);
  const shown = new Set(mine.map((pop) => pop.call_id));
  for (const [id, card] of cards) {
    if (!shown.has(id)) {
      const focused = card.box.contains(document.activeElement);
      card.box.remove();
      card.recording.leave();
      keepDraft(id, card.contact);
      cards.delete(id);
      if (focused) main.focus();
    }
  }
  for (const pop of mine) {
    let card = cards.get(pop.call_id);
    if (!card) {
      card = new CallCard(pop, { announce, store: storeCall, supervises: me.role !== "advisor", user: me.user, chime });
      cards.set(pop.call_id, card);
      card.contact.resume(drafts.notes.get(pop.call_id));
      drafts.notes.delete(pop.call_id);
      list.append(card.box);
      i18n.translate(card.box);
    }
    card.update(pop, known(), now(), talksIn(pop, mine));
  }
  showNotes();
  overview?.update([...calls.values()], known(), now());
  alarmList.update(calls);
  mini.update([...cards.values()].filter(({ pop }) => live(pop)));
  ringing.update(mine);
  showPresence();
  host.update(mine);
}

function showPresence() {
  presence.update(presences.get(me.user), connected, now());
  advisors?.update([...presences.values()], known(), now());
}

/**
 * Store what the desk answers to a change of a call or presence. If the stream has brought a newer state while the
 * answer was on its way, that state stays: it has the change already, or the stream brings it next.
 */
async function store(states, id, request) {
  const before = states.get(id);
  const answer = await request;
  if (states.get(id) === before) states.set(id, answer);
}

async function storePresence(user, request) {
  await store(presences, user, request);
  showPresence();
}

async function storeCall(id, request) {
  await store(calls, id, request);
  render();
}

/** Show calls with a long wrap-up as lines, one other call in full, and the rest in the strip. */
function showNotes() {
  const others = openNotes.update(cards, now());
  showOne(others);
  reveal(idle, others.length === 0);
  entitle(others, known());
}

/** Show one call in full, and the others in the strip. A card out of sight keeps what was typed. */
function showOne(pops) {
  const before = cards.get(slots.shown);
  const focus = document.activeElement;
  const focused = Boolean(before?.box.contains(focus));
  const id = slots.pick(pops, { focused, typing: focused && focus.matches("input, select, textarea") });
  for (const [other, card] of cards) reveal(card.box, other === id);
  strip.update(pops, id, known(), now());
  if (focused && id !== before.pop.call_id) {
    if (slots.chosen) cards.get(id)?.focus();
    else cards.get(id)?.focusHead();
  }
  measure();
}

/** Show a call because the advisor wants to see it. */
function chooseCall(id) {
  showCall(id);
  cards.get(id).focus();
}

/** Show the calls again after one became a line or a card; `id` is the card to show in full, if any. */
function showCall(id) {
  if (id) slots.choose(id);
  showNotes();
}

/** A report of an alarm, or of what ends one. */
function raise({ kind, alarm }) {
  if (kind === "switch.lost" || kind === "switch.connected") {
    switchUp = kind === "switch.connected";
    showLink();
    render();
  }
  if (alarm) alarmList.raised(alarm);
  if (kind === "note.refused") undelivered?.refresh();
  if (kind === "notes.not_written") closedNotes?.refresh();
  if (kind === "payment.forgotten_long" && me.role !== "advisor") chime.ring();
}

/** The parts that change with time alone. */
function tick() {
  watch?.tick([...cards.values()].some(({ pop }) => live(pop)));
  for (const card of cards.values()) card.tick(now());
  strip.tick(now());
  if (openNotes) showNotes();
  overview?.update([...calls.values()], known(), now());
  presence.tick(now());
  advisors?.update([...presences.values()], known(), now());
  mini.draw();
}

/** F8 only ever pauses, Shift+F8 only ever resumes: a nervous second press changes nothing. */
function onKey(event) {
  if (event.key !== PAUSE_KEY || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const inCall = [...cards.values()].filter(({ pop }) => live(pop));
  if (!list) return;
  const name = event.shiftKey ? `Shift+${PAUSE_KEY}` : PAUSE_KEY;
  if (!inCall.length) {
    notice.show("key.no_call", { key: name });
    return;
  }
  event.preventDefault();
  notice.hide();
  if (event.shiftKey && inCall.every(({ recording }) => recording.cannotResume())) notice.show("key.not_paused", { key: name });
  for (const card of inCall) {
    if (event.shiftKey) card.recording.resume();
    else card.recording.pause();
  }
}

/** The card that keys act on: of the call that is talked in, else of the one in sight. */
function keyedCard() {
  const heard = talkedIn([...cards.values()].map(({ pop }) => pop));
  return cards.get(heard?.call_id ?? slots.shown);
}

/** F7 goes to the question who is calling, Shift+F7 to their request about data; the call is shown in full. */
function onCallerKey(event) {
  if (event.key !== (event.shiftKey ? REQUEST_KEY : CONFIRM_KEY) || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (!list) return;
  const card = keyedCard();
  const name = event.shiftKey ? `Shift+${REQUEST_KEY}` : CONFIRM_KEY;
  if (!card) {
    notice.show("key.no_call", { key: name });
    return;
  }
  event.preventDefault();
  notice.hide();
  const possible = event.shiftKey ? card.request.possible : card.caller.asks;
  if (!possible) {
    notice.show(event.shiftKey ? "key.not_now" : "key.no_question", { key: name });
    return;
  }
  if (card.pop.call_id !== slots.shown) showCall(card.pop.call_id);
  if (event.shiftKey) card.request.open();
  else card.caller.focusQuestion();
}

/** F9 answers, holds and ends the hold; Shift+F9 hangs up; Shift+F2 hands over to Welsh speakers. */
function onPhoneKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const act = { [PHONE_KEY]: event.shiftKey ? "hangup" : "press", [WELSH_KEY]: event.shiftKey ? "welsh" : null }[event.key];
  if (!act || !list || (act === "welsh" && !welsh.offered)) return;
  const phone = keyedPhone(act);
  const name = event.shiftKey ? `Shift+${event.key}` : event.key;
  if (!cards.size) {
    notice.show("key.no_call", { key: name });
    return;
  }
  event.preventDefault();
  notice.hide();
  if (!phone) notice.show("key.not_now", { key: name });
  else if (act === "press") phone.press();
  else phone.act(act);
}

/**
 * The phone of the call that a key means: of a ringing one first, then of the one that is talked in and of no
 * other, then of the one in sight, then of the only one.
 */
function keyedPhone(act) {
  const able = [...cards.values()].filter(({ phone }) => (act === "press" ? phone.can("answer") || phone.can("hold") : phone.can(act)));
  const rings = act === "press" && able.find(({ phone }) => phone.can("answer"));
  if (rings) return rings.phone;
  const card = keyedCard();
  if (able.includes(card)) return card.phone;
  if (talkedIn([...cards.values()].map(({ pop }) => pop))) return null;
  return able.length === 1 ? able[0].phone : null;
}

async function choose(chosen) {
  hush();
  await i18n.use(chosen);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === chosen));
  }
  if (me) render();
  else entitle(null);
  today?.render();
  for (const { part } of [recordings, retention, holds, cases]) part?.render();
}

async function leave() {
  await storeAll([...cards.values()].map(({ contact }) => contact.draft));
  let answer = null;
  try {
    answer = await ask("POST", "/logout", {});
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
  showSignIn();
  if (answer) location.assign(answer.url); // the provider ends its own session
}

/** Say the result of a step-up when the part of the page that asked for it is there. */
async function tell(key) {
  await Promise.all([...doors.map((door) => door.follow()), approval.ready]);
  (await import("./step_up.js")).show(key);
}

async function begin() {
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      i18n.remember(button.dataset.language);
      choose(button.dataset.language);
    });
  }
  signOut.addEventListener("click", leave);
  connection.failed = () => stream?.doubt();
  document.addEventListener("keydown", onKey);
  document.addEventListener("keydown", onCallerKey);
  document.addEventListener("keydown", onPhoneKey);
  main.after(notice.box);
  document.addEventListener("click", (event) => dial.onClick(event));
  document.addEventListener("keydown", (event) => strip.key(event));
  document.addEventListener("keydown", (event) => openNotes?.onKey(event));
  guard(() => !me && drafts.notes.size > 0);
  signOut.before(mini.button, chime.toggle, account.button, secondFactor.button);
  link.after(presence.box);
  session.before(presence.reminder);
  who.after(recordings.button, retention.button, holds.button, cases.button, admin.button, tokens.button);
  chime.unlocked = () => ringing.apply();
  mini.offer(false);
  session.before(secondFactor.notice);
  session.before(chime.blocked, ringing.blocked);
  reveal(chime.toggle, false);
  for (const kind of ["keydown", "pointerdown"]) {
    document.addEventListener(kind, () => {
      watch?.act();
      chime.unlock();
    });
  }
  setInterval(tick, 1000);
  if (embedded) import("./panel_dial.js").then(({ listen }) => listen(dial));
  await Promise.all([choose(i18n.preferred()), loadWays()]);
  const reason = takeReason();
  resumeApproval();
  try {
    await start(await ask("GET", "/me"));
    if (reason) await tell(reason);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showSignIn(reason);
  }
}

begin();
