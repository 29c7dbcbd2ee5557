/** What the sliders do to the offsets and to the attention logits of one head. */

export const STRAIGHT = Object.freeze({ scale: 1, rotation: 0, temperature: 1, boostLevel: 0, boost: 0 });

export const isStraight = (bend) => bend.scale === 1 && bend.rotation === 0 && bend.temperature === 1 && bend.boost === 0;

/** Offsets (x, y) times `scale`, turned by `rotation` degrees, clockwise on the screen where y points down. */
export function bendOffset([x, y], { scale, rotation }) {
  if (scale === 1 && rotation === 0) return [x, y];
  const angle = (rotation * Math.PI) / 180;
  const cosine = Math.cos(angle) * scale;
  const sine = Math.sin(angle) * scale;
  return [x * cosine - y * sine, x * sine + y * cosine];
}

/** Logits [level][point] divided by the temperature, one level raised by `boost` afterwards. */
export function bendLogits(logits, { temperature, boostLevel, boost }) {
  return logits.map((points, level) =>
    points.map((logit) => logit / temperature + (level === boostLevel ? boost : 0)),
  );
}
