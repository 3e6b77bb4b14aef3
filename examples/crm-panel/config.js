// What you set for your site. The address of Galwad is never taken from the page's own address: a
// link could then name another server, which would ask the advisors for their passwords.

/** The origin of Galwad's desk. */
export const DESK = "https://galwad.example.gov.uk";

/** The name of the CRM's `[[directories]]` in Galwad's settings: only its records are opened. */
export const DIRECTORY = "crm";

/** The table that the record ids belong to, in Dynamics. */
export const TABLE = "contact";
