// Galwad's page in a panel, and the messages between it and the page around it.

import { DESK, DIRECTORY } from "./config.js";

/**
 * Show Galwad in the element with the id `panel`. `on.calls({ringing, live, paused})` is called when the number of
 * the advisor's calls changes, and `on.record(id)` when the advisor has confirmed a caller or opens their record.
 * Returns a function that fills a number in there; the advisor calls it with a press on Galwad's own button.
 */
export function showGalwad(on) {
  const frame = document.createElement("iframe");
  frame.src = `${DESK}/embedded`;
  frame.title = "Galwad";
  frame.allow = "autoplay"; // the chime for a pause that may be forgotten
  document.getElementById("panel").append(frame);
  window.addEventListener("message", (event) => {
    // Any window can send a message. Only Galwad's frame is believed.
    if (event.origin !== DESK || event.source !== frame.contentWindow) return;
    const message = event.data;
    if (message?.source !== "galwad") return;
    if (message.type === "calls") on.calls(message);
    else if (message.type === "record" && message.directory === DIRECTORY) on.record(message.record_id);
  });
  return (number) => frame.contentWindow.postMessage({ source: "galwad-crm", type: "dial", number }, DESK);
}
