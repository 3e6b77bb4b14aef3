// The page in a panel of a CRM. A script of ours in the CRM's page, the adapter, learns from here
// how many calls there are, and which record it must open. Only the sites that the desk allows
// get these messages, and no message has a name or a number.

/** Whether this page is in a panel of a CRM. */
export const embedded = location.pathname === "/embedded";

class Host {
  constructor() {
    this.origins = []; // who may embed the page; the desk says so
    this.confirmed = null; // the calls whose caller is confirmed
    this.state = "";
  }

  /** Report the calls, if their number has changed, and let the adapter open who was confirmed. */
  update(pops) {
    if (!embedded || !this.origins.length) return;
    const live = pops.filter((pop) => pop.state === "answered" || pop.state === "held");
    const counts = {
      ringing: pops.filter((pop) => pop.state === "ringing").length,
      live: live.length,
      paused: live.filter((pop) => pop.recording === "paused").length,
    };
    if (this.state !== JSON.stringify(counts)) this.send({ type: "calls", ...counts });
    this.state = JSON.stringify(counts);
    const confirmed = pops.filter((pop) => pop.caller.confirmed);
    for (const { call_id, caller } of confirmed) {
      // After a reload, the record is open already.
      if (this.confirmed?.has(call_id) === false && caller.pages.length) this.open(call_id, caller.pages[0]);
    }
    this.confirmed = new Set(confirmed.map((pop) => pop.call_id));
  }

  /** Let the adapter open a record in the CRM; false where there is no adapter to do it. */
  open(callId, page) {
    if (!embedded) return false;
    this.send({ type: "record", call_id: callId, directory: page.directory, record_id: page.record_id, url: page.url });
    return true;
  }

  send(message) {
    for (const origin of this.origins) window.parent.postMessage({ source: "galwad", ...message }, origin);
  }
}

export const host = new Host();
