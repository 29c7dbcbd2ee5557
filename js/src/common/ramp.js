/** Colors of numbers, told apart by everybody: dark to bright for amounts, orange to purple around 0. */

const AMOUNT = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const SIGNED = [[179, 88, 6], [241, 163, 64], [247, 247, 247], [153, 142, 195], [84, 39, 136]];

function ramp(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const mixed = stops[low].map((from, index) => Math.round(from + (stops[low + 1][index] - from) * (place - low)));
  return `rgb(${mixed.join(",")})`;
}

/** The color of an amount in [0, 1]. */
export const amountColor = (share) => ramp(AMOUNT, share);

/** The color of a number in [-1, 1]. */
export const signedColor = (number) => ramp(SIGNED, (number + 1) / 2);
