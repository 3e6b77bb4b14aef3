// Listening to a recording: its purpose, the officer's key, the player, and what the page has verified. The desk only
// sends encrypted parts; everything is opened here.

import { ApiError, ask, connection } from "./api.js";
import { clock, el, reveal, say, show } from "./dom.js";
import { t, translate } from "./i18n.js";
import { FlacFile } from "./flac.js";
import { KeyError, Keys, octets, verified } from "./keys.js";
import { Player } from "./player.js";
import { DamagedError, SealedPayload } from "./sealed.js";
import { bar, nameOf } from "./timeline.js";
import { Waveform } from "./waveform.js";

const SPEEDS = ["0.75", "1", "1.25", "1.5", "2"];
const STEP_S = 10;
const SHOWN_MS = 200;

export class Listening {
  /**
   * All recordings of the page share the `ring`: `ring.keys` are the opened keys, or null, `ring.heard` is the recording
   * that plays, or has played last, and `ring.showKeys()` shows in all recordings whether there are keys.
   */
  constructor(row, purposes, ring) {
    this.row = row;
    this.ring = ring;
    this.path = `/recordings/${encodeURIComponent(row.call_id)}`;
    this.id = `listen-${row.call_id}`;
    this.file = this.input("file", { type: "file", multiple: true }, "recordings.listen.file_hint");
    this.passphrase = this.input("passphrase", { type: "password", autocomplete: "off", maxlength: 1000 });
    this.reference = this.input("reference", { type: "text", required: true, maxlength: 200, autocomplete: "off" });
    const options = purposes.map((value) => el("option", { value, t: `recordings.purpose.${value}` }));
    this.purpose = el("select", { id: `${this.id}-purpose`, required: true }, el("option", { value: "", t: "recordings.purpose.none" }), ...options);
    this.submit = el("button", { type: "submit", class: "primary", t: "recordings.listen" });
    this.keyFields = el("div", { class: "pair" }, this.field("file", this.file), this.field("passphrase", this.passphrase));
    this.open = el(
      "p",
      { class: "note", hidden: true },
      el("span", { t: "recordings.listen.key_open" }),
      el("button", { type: "button", class: "quiet", t: "recordings.listen.forget", on: { click: () => this.forget() } }),
    );
    this.form = el(
      "form",
      { class: "filters", autocomplete: "off", on: { submit: (event) => this.start(event) } },
      el("p", { class: "note", t: "recordings.listen.hint" }),
      el("div", { class: "pair" }, this.field("purpose", this.purpose), this.field("reference", this.reference)),
      this.keyFields,
      this.open,
      el("div", { class: "buttons" }, this.submit),
    );
    this.problem = el("p", { class: "warning", role: "alert", hidden: true });
    this.stage = el("div", { class: "player", hidden: true });
    this.box = el("section", { class: "listen", "aria-labelledby": `${this.id}-title` }, el("h3", { id: `${this.id}-title`, t: "recordings.listen.title" }), this.form, this.problem, this.stage);
    this.player = null;
    this.turn = null; // the attempt to open the recording; null once it is not wanted any more
    this.showKey();
  }

  input(name, attributes, hint = null) {
    const input = el("input", { id: `${this.id}-${name}`, ...attributes });
    if (hint) input.dataset.hint = hint;
    return input;
  }

  field(name, input) {
    const hint = input.dataset.hint ? el("p", { class: "note", id: `${input.id}-hint`, t: input.dataset.hint }) : null;
    if (hint) input.setAttribute("aria-describedby", hint.id);
    return el("div", { class: "field" }, el("label", { for: input.id, t: `recordings.listen.${name}` }), input, hint);
  }

  showKey() {
    reveal(this.keyFields, !this.ring.keys);
    reveal(this.open, Boolean(this.ring.keys));
    this.file.required = !this.ring.keys;
  }

  forget() {
    this.ring.keys = null;
    this.ring.showKeys();
    this.file.focus();
  }

  /** Open the key, state the purpose, and open the recording. Nothing is fetched before the key is open. */
  async start(event) {
    event.preventDefault();
    if (this.submit.getAttribute("aria-busy") === "true") return;
    this.submit.setAttribute("aria-busy", "true");
    reveal(this.problem, false);
    const turn = {};
    this.turn = turn;
    const wanted = (found) => {
      if (this.turn !== turn) throw new ClosedError();
      return found;
    };
    try {
      const keys = this.ring.keys ?? wanted(await Keys.open(this.file.files, this.passphrase.value));
      this.ring.keys = keys;
      this.passphrase.value = "";
      this.file.value = "";
      this.ring.showKeys();
      const opened = wanted(await ask("POST", `${this.path}/listen`, { purpose: this.purpose.value, reference: this.reference.value }));
      await this.play(opened, keys, wanted);
    } catch (error) {
      this.fail(error);
    } finally {
      this.submit.setAttribute("aria-busy", "false");
    }
  }

  async play(opened, keys, wanted) {
    const fileKey = wanted(await keys.fileKey(octets(opened.header)));
    const payload = wanted(await SealedPayload.open(fileKey, opened.payload_size, (from, to) => this.part(opened.entry, from, to)));
    const file = wanted(await FlacFile.open(payload));
    this.close();
    this.player = new Player(file);
    this.player.addEventListener("change", () => this.render());
    this.player.addEventListener("failed", ({ detail }) => this.fail(detail));
    this.draw(file);
    reveal(this.form, false);
    reveal(this.stage, true);
    this.button.focus();
    this.sound();
    await this.check(opened, payload, keys.trusted);
  }

  /** Play, and stop another recording. */
  sound() {
    if (this.ring.heard !== this) this.ring.heard?.pause();
    this.ring.heard = this;
    this.player.play();
  }

  async part(entry, from, to) {
    let response;
    try {
      response = await fetch(`/api/v1${this.path}/payload?entry=${entry}`, { cache: "no-store", headers: { Range: `bytes=${from}-${to - 1}` } });
    } catch {
      connection.failed();
      throw new ApiError(0);
    }
    if (!response.ok) throw new ApiError(response.status);
    return new Uint8Array(await response.arrayBuffer());
  }

  draw(file) {
    this.button = el("button", { type: "button", class: "primary", on: { click: () => (this.player.playing ? this.player.pause() : this.sound()) } });
    const step = (key, seconds) => el("button", { type: "button", t: key, on: { click: () => this.player.seek(this.player.position + seconds) } });
    this.place = el("input", {
      type: "range",
      min: 0,
      max: Math.ceil(this.player.length),
      step: 1,
      value: 0,
      "data-t-label": "recordings.listen.place",
      on: { input: () => this.player.seek(Number(this.place.value)) },
    });
    this.time = el("p", { class: "place-time" });
    this.here = el("p", { class: "here" });
    this.progress = el("p", { class: "note" });
    this.verdict = el("p", { class: "verdict", role: "status" });
    this.waveform = new Waveform(file, (position) => this.player.seek(position));
    const party = (name) => {
      const box = el("input", { type: "checkbox", checked: true, id: `${this.id}-${name}`, on: { change: () => this.player.setHeard(name, box.checked) } });
      return el("label", { for: box.id }, box, el("span", { t: `recordings.listen.hear.${name}` }));
    };
    const speeds = SPEEDS.map((value) => el("option", { value, raw: `× ${value}`, selected: value === "1" }));
    const speed = el("select", { id: `${this.id}-speed`, on: { change: () => this.player.setSpeed(Number(speed.value)) } }, ...speeds);
    this.stage.replaceChildren(
      this.waveform.box,
      bar(this.row),
      this.place,
      el("div", { class: "buttons" }, this.button, step("recordings.listen.back", -STEP_S), step("recordings.listen.forward", STEP_S), this.time),
      this.here,
      el("div", { class: "buttons" }, party("caller"), party("advisor"), el("label", { for: speed.id, t: "recordings.listen.speed" }), speed),
      this.progress,
      this.verdict,
    );
    translate(this.stage);
    this.timer = setInterval(() => this.render(), SHOWN_MS);
    this.render();
  }

  render() {
    const { player } = this;
    if (!player) return;
    const at = player.position;
    say(this.button, player.playing ? "recordings.listen.pause" : "recordings.listen.play");
    const [now, length] = [clock(at), clock(player.length)];
    show(this.time, `${now} / ${length}`);
    const us = at * 1e6;
    const holds = ({ from_us: from, to_us: to }) => from <= us && us < to;
    const gap = this.row.unexplained.some(holds) ? t("recordings.unexplained") : this.row.gaps.filter(holds).map(({ reason }) => nameOf(reason))[0];
    if (gap) say(this.here, "recordings.listen.gap", { reason: gap });
    else say(this.here, "recordings.listen.recorded");
    const shown = Math.floor(at);
    if (document.activeElement !== this.place || Number(this.place.value) !== shown) this.place.value = shown;
    const text = t("recordings.listen.position", { now, length, here: this.here.textContent });
    if (this.place.getAttribute("aria-valuetext") !== text) this.place.setAttribute("aria-valuetext", text);
    this.waveform.mark(at);
  }

  /** Read the whole payload, draw it, and say whether it is what the node has signed. */
  async check(opened, payload, trusted) {
    const { player, waveform } = this;
    let finding = "unfinished";
    try {
      const digest = await payload.digest(async (end) => {
        if (this.player !== player) throw new ClosedError();
        say(this.progress, "recordings.listen.verifying", { percent: Math.floor((100 * end) / payload.length) });
        await waveform.add(end);
      });
      finding = findingOf(opened.manifest, this.row, { size: payload.size, sha256: digest }, trusted);
    } finally {
      if (this.player === player) {
        reveal(this.progress, false);
        this.verdict.classList.toggle("warning", !["whole", "unproven"].includes(finding));
        say(this.verdict, `recordings.listen.verdict.${finding}`);
      }
    }
  }

  fail(error) {
    if (error instanceof ClosedError) return;
    reveal(this.problem, false);
    say(this.problem, textOf(error));
    requestAnimationFrame(() => reveal(this.problem, true));
    if (!this.player || error instanceof DamagedError || error.status === 403) {
      this.close();
      reveal(this.stage, false);
      reveal(this.form, true);
    }
    if (!KNOWN.some((kind) => error instanceof kind)) throw error; // the browser's console shows it
  }

  /** End the sound and forget what was opened. */
  close() {
    this.turn = null;
    clearInterval(this.timer);
    this.player?.close();
    this.player = null;
  }

  /** Stop the sound, or do not begin it. */
  pause() {
    this.turn = null;
    if (this.player?.playing) this.player.pause();
  }
}

/** What is found about a recording that was read completely: the end of a text's key. */
function findingOf(manifest, row, read, trusted) {
  if (!manifest) return "missing";
  try {
    const { key, document } = verified(manifest, "manifest");
    const { call_id, payload } = document;
    if (call_id !== row.call_id || payload.size !== read.size || payload.sha256 !== read.sha256) return "changed";
    if (gapsOf(document) !== gapsOf(row)) return "changed";
    if (!trusted) return "unproven";
    if (!trusted.has(key)) return "stranger";
    return document.damaged || document.unexplained.length ? "faulty" : "whole";
  } catch {
    return "changed";
  }
}

/** The gaps that the timeline shows, as a text that can be compared. */
function gapsOf({ gaps }) {
  const found = gaps.map(({ from_us, to_us, reason, trigger, actor }) => [from_us, to_us, reason, trigger, actor]);
  return JSON.stringify(found.sort((one, other) => one[0] - other[0]));
}

/** The key of the text about an error. */
function textOf(error) {
  if (error.reason === "step_up_needed") return "stepup.needed";
  if (error instanceof KeyError) return `recordings.listen.error.${error.reason}`;
  if (error instanceof DamagedError) return "recordings.listen.error.damaged";
  if (!(error instanceof ApiError)) return "recordings.listen.error.page";
  if (error.reason === "card_number") return "recordings.listen.error.card";
  const known = [403, 404, 409, 410].includes(error.status);
  return `recordings.listen.error.${known ? error.status : "desk"}`;
}

/** The recording was closed while it was verified. */
class ClosedError extends Error {}

const KNOWN = [KeyError, DamagedError, ApiError];
