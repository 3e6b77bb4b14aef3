// The texts of the page, in English and Welsh.

const TEXTS = {
  en: {
    title: "Card payment",
    number: "Card number",
    expiry: "Expiry date",
    done: "Payment is complete",
    cancel: "Cancel the payment",
    pausing: "Pausing the recording. Do not take card details yet.",
    paused: "The recording is paused. You may take card details.",
    unsure: "Galwad does not answer. Wait: do not take card details. The recording has not resumed by itself.",
    refused: "The recording is NOT paused by this page. Do not take card details. Open the payment page again from the CRM.",
    resuming: "Resuming the recording…",
    recording: "The recording has resumed. You can close this page.",
    held: "This page has released its pause. Another user still keeps the recording paused.",
    stuck: "The recording has NOT resumed. Press the button again, or ask a supervisor.",
    ended: "The call has ended. You can close this page.",
  },
  cy: {
    title: "Taliad â cherdyn",
    number: "Rhif y cerdyn",
    expiry: "Dyddiad dod i ben",
    done: "Mae'r taliad wedi'i gwblhau",
    cancel: "Canslo'r taliad",
    pausing: "Yn oedi'r recordiad. Peidiwch â chymryd manylion cerdyn eto.",
    paused: "Mae'r recordiad wedi'i oedi. Cewch gymryd manylion cerdyn.",
    unsure: "Nid yw Galwad yn ateb. Arhoswch: peidiwch â chymryd manylion cerdyn. Nid yw'r recordio wedi ailddechrau ohono'i hun.",
    refused: "NID yw'r recordiad wedi'i oedi gan y dudalen hon. Peidiwch â chymryd manylion cerdyn. Agorwch y dudalen dalu eto o'r CRM.",
    resuming: "Yn ailddechrau'r recordio…",
    recording: "Mae'r recordio wedi ailddechrau. Cewch gau'r dudalen hon.",
    held: "Mae'r dudalen hon wedi rhyddhau ei saib. Mae defnyddiwr arall yn cadw'r recordiad wedi'i oedi o hyd.",
    stuck: "NID yw'r recordio wedi ailddechrau. Pwyswch y botwm eto, neu gofynnwch i oruchwyliwr.",
    ended: "Mae'r alwad ar ben. Cewch gau'r dudalen hon.",
  },
};

const language = navigator.language.startsWith("cy") ? "cy" : "en";
document.documentElement.lang = language;

/** A text by its key. */
export function t(key) {
  return TEXTS[language][key];
}
