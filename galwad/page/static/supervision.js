// The parts of the page that only supervisors and administrators see. They are loaded when one of
// these signs in, so that the page of the advisors stays small.

export { AlarmPanel } from "./alarm_panel.js";
export { Advisors } from "./advisors.js";
export { ClosedNotes } from "./closed_notes.js";
export { Figures } from "./figures.js";
export { Overview } from "./overview.js";
export { Undelivered } from "./undelivered.js";
