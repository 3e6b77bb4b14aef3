// Galwad in the softphone panel of Salesforce Lightning (Open CTI). The script that salesforce.html loads from the
// organisation provides `sforce.opencti`.

import { showGalwad } from "./panel.js";

const { opencti } = window.sforce;

/** Write into the browser's console what Salesforce refuses. */
function callback({ success, errors }) {
  if (!success) console.error("Salesforce did not do what Galwad asked for", errors);
}

showGalwad({
  calls: ({ ringing }) => {
    if (ringing) opencti.setSoftphonePanelVisibility({ visible: true, callback });
  },
  record: (recordId) => {
    opencti.screenPop({ type: opencti.SCREENPOP_TYPE.SOBJECT, params: { recordId }, callback });
  },
});
