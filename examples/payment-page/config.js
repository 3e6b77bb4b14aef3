// What you set for your site. The address of Galwad is never taken from the page's own address: a
// link could then name another server, which would say that the recording is paused.

/** The origin of Galwad's desk. */
export const DESK = "https://galwad.example.gov.uk";

/** The seconds between two renewals of the pause. */
export const RENEW_S = 10;

/** After so many seconds without a renewal, Galwad warns the advisor. A hidden tab renews each minute. */
export const HEARTBEAT_S = 75;
