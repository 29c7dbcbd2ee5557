/**
 * The front-end half of a widget model without a kernel: what an anywidget module expects, on a static page.
 *
 * Each element `[data-detr-widget=NAME]` holds its state as JSON. Elements are taken once, so a page may carry
 * the same module several times and several widgets.
 */

/** A model with the methods of anywidget's front-end: get, set, on, off, save_changes, send. */
export class StaticModel {
  #state;
  #listeners = new Map();

  constructor(state) {
    this.#state = { ...state };
  }

  get(name) {
    return this.#state[name];
  }

  set(name, value) {
    if (Object.is(this.#state[name], value)) return;
    this.#state[name] = value;
    this.#emit(`change:${name}`);
    this.#emit("change");
  }

  on(event, listener) {
    for (const name of event.split(/\s+/)) {
      this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener]);
    }
  }

  off(event, listener) {
    if (event === undefined || event === null) {
      this.#listeners.clear();
      return;
    }
    for (const name of event.split(/\s+/)) {
      const kept = listener ? (this.#listeners.get(name) ?? []).filter((other) => other !== listener) : [];
      this.#listeners.set(name, kept);
    }
  }

  save_changes() {}

  send() {}

  #emit(event) {
    for (const listener of this.#listeners.get(event) ?? []) listener();
  }
}

/** Bring every widget of this name on the page to life. */
export function mountStatic(name, render, page = globalThis.document) {
  if (!page) return;
  for (const host of page.querySelectorAll(`[data-detr-widget="${name}"]:not([data-alive])`)) {
    host.setAttribute("data-alive", "");
    const state = JSON.parse(host.querySelector('script[type="application/json"]').textContent);
    const el = host.querySelector("[data-detr-widget-body]");
    render({ model: new StaticModel(state), el });
  }
}
