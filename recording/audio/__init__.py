"""From RTP packets to samples: codecs, one clock for both parties, and FLAC in an age payload."""
