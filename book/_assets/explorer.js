// Brings the book's explorers to life without Python. A page leaves <div class="magbook-explorer" data-options="{...}"> with
// what a reader without scripts sees. The widget itself, magbook/show/explorer, and the networks are scripts beside this one, loaded
// once, when the first explorer comes near the screen: a browser that opens a page from the disk reads nothing but scripts.
(() => {
  "use strict";
  const here = document.currentScript;
  const loaded = new Map();

  const load = (name) => {
    if (!loaded.has(name)) {
      loaded.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(name, here.src);
        script.onload = resolve;
        script.onerror = () => reject(new Error(`${name} did not load`));
        document.head.append(script);
      }));
    }
    return loaded.get(name);
  };

  async function packed(name) {
    await load(`explore-${name}.js`);
    const { header, weights } = globalThis.magbookModels[name];
    delete globalThis.magbookModels[name];  // 7 MB of text
    const text = atob(weights), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return [header, bytes];
  }

  /** What an explorer asks of its widget in JupyterLab. */
  function widget(options) {
    return { packed, get: (name) => options[name], set: (more) => Object.assign(options, more), on() {}, off() {}, save_changes() {} };
  }

  async function mount(div) {
    const fallback = [...div.childNodes], el = document.createElement("div");
    try {
      const model = widget(JSON.parse(div.dataset.options));
      await Promise.all([load("explore-module.js"), load(`explore-${model.get("model")}.js`)]);
      div.replaceChildren(el);
      await globalThis.magbookExplorer.render({ model, el });
    } catch (error) {
      console.error("An explorer could not be started:", error);
      div.replaceChildren(...fallback);
    }
  }

  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => {
    near.unobserve(target);
    mount(target);
  }), { rootMargin: "600px" });
  document.querySelectorAll(".magbook-explorer").forEach((div) => near.observe(div));
})();
