/** Draw now and whenever one of these traits changes; returns how to stop, for the widget's end. */
export function drawOnChange(model, traits, draw, announcer) {
  const events = traits.map((trait) => `change:${trait}`);
  for (const event of events) model.on(event, draw);
  draw();
  return () => {
    announcer.stop();
    for (const event of events) model.off(event, draw);
  };
}
