// Makes speech faster or slower without changing its pitch (WSOLA): windows of sound overlap by half, and each is taken
// from the place where it best continues the window before.

const HALF_S = 0.015; // half a window
const REACH_S = 0.01; // how far a window may be from its place

/** The samples of an AudioBuffer from `skipped` on, at another speed, as an AudioBuffer of the same rate. */
export function stretched(piece, skipped, speed) {
  const channels = [0, 1].map((channel) => piece.getChannelData(channel).subarray(skipped));
  const count = channels[0].length;
  const rate = piece.sampleRate;
  const half = Math.round(HALF_S * rate);
  if (speed === 1 || count < 4 * half) return bufferOf(channels, rate);
  const length = Math.floor(count / speed);
  const made = channels.map(() => new Float32Array(length));
  const last = count - 2 * half; // where the last window can begin
  let from = 0;
  for (let to = 0; to < length; to += half) {
    if (to > 0) from = best(channels, { place: Math.round(to * speed), goesOn: from + half, reach: Math.round(REACH_S * rate), half, last });
    for (const [channel, samples] of channels.entries()) {
      for (let index = 0; index < 2 * half && to + index < length; index++) {
        const share = index >= half ? 2 - index / half : to === 0 ? 1 : index / half;
        made[channel][to + index] += samples[from + index] * share;
      }
    }
  }
  return bufferOf(made, rate);
}

/** The place at most `reach` from `place` whose samples are most like those at `goesOn`. */
function best(channels, { place, goesOn, reach, half, last }) {
  let found = Math.min(place, last);
  let score = -Infinity;
  for (let from = Math.max(0, found - reach); from <= Math.min(place + reach, last); from++) {
    let sum = 0;
    for (const samples of channels) {
      for (let index = 0; index < half; index += 2) sum += samples[from + index] * samples[goesOn + index];
    }
    if (sum > score) [found, score] = [from, sum];
  }
  return found;
}

function bufferOf(channels, sampleRate) {
  const made = new AudioBuffer({ length: Math.max(1, channels[0].length), numberOfChannels: 2, sampleRate });
  for (const [channel, samples] of channels.entries()) made.copyToChannel(samples, channel);
  return made;
}
