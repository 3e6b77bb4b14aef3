// Numbers that the person has clicked in the CRM around a panel. The adapter there sends each one,
// and it is filled in here. Only a press on this page's own button calls it: a message proves no
// click, and a script in the CRM could otherwise call any number in the person's name.

import { announce } from "./announce.js";
import { dialling } from "./dial.js";
import { el, say } from "./dom.js";
import { host } from "./embedding.js";

const DIALLED = /^\+?[A-Za-z0-9 ().*#_/-]{1,64}$/; // as the desk has it, in galwad/calls/phones.py

/** Fill in what the CRM sends; `dial` is the form of the page. */
export function listen(dial) {
  const notice = el("p", { class: "warning", role: "alert" });

  function refuse(key) {
    say(notice, key);
    dial.box.before(notice);
  }

  addEventListener("message", ({ source, origin, data }) => {
    // Any window can send a message. Only the page around this one is believed, and only of a named site.
    if (source !== window.parent || !host.origins.includes(origin)) return;
    if (data?.source !== "galwad-crm" || data.type !== "dial" || !dial.box.isConnected) return;
    const number = typeof data.number === "string" ? data.number.trim() : "";
    notice.remove();
    if (!dialling.offered) refuse("dial.crm.no_phone");
    else if (!DIALLED.test(number) || !/\d/.test(number)) refuse("dial.crm.no_number");
    // A person who works here has clicked nothing there: what they read must not change under a key.
    else if (document.hasFocus()) refuse("dial.crm.again");
    else {
      dial.offer(number);
      announce("dial.crm.offered", { number });
    }
  });
}
