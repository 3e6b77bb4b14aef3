// Galwad in the softphone panel of Salesforce Lightning (Open CTI). The script that salesforce.html loads from the
// organisation provides `sforce.opencti`.

import { showGalwad } from "./panel.js";

const { opencti } = window.sforce;

/** Write into the browser's console what Salesforce refuses. */
function callback({ success, errors }) {
  if (!success) console.error("Salesforce did not do what Galwad asked for", errors);
}

const show = () => opencti.setSoftphonePanelVisibility({ visible: true, callback });

const dial = showGalwad({
  calls: ({ ringing }) => {
    if (ringing) show();
  },
  record: (recordId) => {
    opencti.screenPop({ type: opencti.SCREENPOP_TYPE.SOBJECT, params: { recordId }, callback });
  },
});

opencti.onClickToDial({
  listener: ({ number }) => {
    show();
    dial(number);
  },
});
opencti.enableClickToDial({ callback });
