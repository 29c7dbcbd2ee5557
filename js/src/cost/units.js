/** Large numbers with three digits and a unit. */

const digits = (number) => number.toPrecision(3).replace(/e\+?(-?\d+)/, " e$1");

function withUnit(number, base, units) {
  let step = 0;
  while (number >= 999.5 && step < units.length - 1) {
    number /= base;
    step += 1;
  }
  return `${number >= 100 ? Math.round(number) : Number(digits(number))} ${units[step]}`.trim();
}

export const bytesText = (bytes) => withUnit(bytes, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
export const workText = (multiplyAdds) => withUnit(multiplyAdds, 1000, ["", "K", "M", "G", "T", "P"]);
export const countText = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
export const timesText = (ratio) => (ratio >= 100 ? countText(Math.round(ratio)) : String(Number(ratio.toPrecision(2))));
