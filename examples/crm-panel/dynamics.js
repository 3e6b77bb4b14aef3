// Galwad in the panel of Dynamics 365 (Channel Integration Framework). The framework's own script, which
// dynamics.html loads from the organisation, provides `Microsoft.CIFramework`.

import { TABLE } from "./config.js";
import { showGalwad } from "./panel.js";

const DOCKED = 1;

window.addEventListener("CIFInitDone", () => {
  const { CIFramework } = window.Microsoft;
  const failed = (error) => console.error("Dynamics did not do what Galwad asked for", error);
  const show = () => CIFramework.setMode(DOCKED).catch(failed);
  const dial = showGalwad({
    calls: ({ ringing }) => {
      if (ringing) show();
    },
    record: (id) => {
      CIFramework.openForm(JSON.stringify({ entityName: TABLE, entityId: id })).catch(failed);
    },
  });
  const clicked = async (event) => {
    const { value } = typeof event === "string" ? JSON.parse(event) : event; // a text, or the object
    show();
    dial(value);
  };
  CIFramework.addHandler("onclicktoact", clicked).catch(failed);
  CIFramework.setClickToAct(true).catch(failed);
}, { once: true });
