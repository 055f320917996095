// Brings the book's explorers to life without Python. A page leaves <div class="magbook-explorer" data-options="{...}"> with
// what a reader without scripts sees. The widget itself, magbook/show/explorer, and the networks are scripts beside this one: a
// browser that opens a page from the disk reads nothing but scripts. What needs no network, the film that
// is driven and the neighbours in the fan, begins when it comes near the screen. Networks are megabytes, so they wait until a reader asks.
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
        script.onerror = () => {
          loaded.delete(name);
          reject(new Error(`${name} did not load`));
        };
        document.head.append(script);
      }));
    }
    return loaded.get(name);
  };

  async function packed(name) {
    await load(`explore-${name}.js`);
    const { header, weights } = globalThis.magbookModels[name];
    delete globalThis.magbookModels[name];  // megabytes of text
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
      await load("explore-module.js");
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
  document.querySelectorAll(".magbook-explorer").forEach((div) => {
    if (["drive", "neighbours"].includes(JSON.parse(div.dataset.options).panels[0])) return near.observe(div);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "magbook-wake";
    button.textContent = "Load the networks, then drag the field";
    button.onclick = async () => {
      button.textContent = "The networks are being loaded.";
      button.disabled = true;
      await mount(div);
      button.disabled = false;  // where it is still there
      button.textContent = "They could not be loaded. Try again";
      div.querySelector("input, button")?.focus();
    };
    div.prepend(button);
  });
})();
