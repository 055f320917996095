// Draws the book's figures. A page has <div class="magbook-figure"> with the address of a script that holds the figure.
// It is loaded when the figure comes near the screen, plotly.js with the first; a script tag also works from file://.
(() => {
  "use strict";
  const here = document.currentScript;
  const root = document.documentElement;
  const sources = new Map();  // the JSON of each figure that is drawn
  let library;

  const load = (url) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(script);
    script.onerror = () => reject(new Error(`${url} did not load`));
    document.head.append(script);
  });
  const plotly = () => (library ??= load(new URL(here.dataset.plotly, here.src)));

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // Colours and letters of the page, over those of the figure's template; what the figure itself sets stays.
  function theme() {
    const text = css("--pst-color-text-base");
    const font = { color: text, family: getComputedStyle(document.body).fontFamily };
    return {
      font, updatemenudefaults: { font, bgcolor: css("--pst-color-surface") }, sliderdefaults: { font },
      hoverlabel: { bgcolor: css("--pst-color-surface"), bordercolor: css("--magbook-line"), font },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    };
  }

  const plain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const merged = (base, extra) => Object.entries(extra).reduce((result, [key, value]) => ({
    ...result, [key]: plain(value) ? merged(plain(result[key]) ? result[key] : {}, value) : value,
  }), base);

  // Draws a figure, or draws it again in the theme's other colours; `uirevision` keeps a reader's zoom.
  async function draw(div) {
    const source = sources.get(div) ?? JSON.stringify((await load(div.dataset.source)).figure);
    // A colour given as "var(--name)" is the theme's.
    const figure = JSON.parse(source.replace(/"var\((--[\w-]+)\)"/g, (_, name) => JSON.stringify(css(name))));
    const { width, ...layout } = figure.layout ?? {};  // the page sets the width
    const { fixed, aspect, beside, wheel } = layout.meta ?? {};  // a film keeps its shape: narrower means lower
    if (aspect) {
      layout.height = Math.min(layout.height, fixed + aspect * (div.clientWidth - beside));
      div.style.minHeight = `${layout.height}px`;
    }
    const template = merged(layout.template ?? {}, { layout: theme() });
    await plotly();
    // The tool bar is where the legend is not; a slider leaves it no place.
    div.classList.toggle("magbook-tools-below", !(layout.legend?.y < 0));
    const bare = wheel || layout.sliders;
    if (!sources.has(div)) div.replaceChildren();  // the line for readers without scripts
    sources.set(div, source);
    await window.Plotly.react(div, {
      data: figure.data, frames: figure.frames,
      layout: { uirevision: "kept", height: parseFloat(div.style.minHeight) || 450, ...layout, autosize: true, template },
      config: { responsive: true, displaylogo: false, showSendToCloud: false, ...(bare && { displayModeBar: false }),
        ...figure.config },
    });
    // The description of the whole is read out, not each tick.
    div.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
    if (layout.sliders || layout.updatemenus) {
      div.tabIndex = 0;
      const bar = layout.sliders && layout.updatemenus && (plays(layout.updatemenus[0]) ? "plays and stops" : "goes on in the menu");
      div.ariaDescription = `Arrow keys choose${bar ? `, the space bar ${bar}` : ""}.`;
      div.onkeydown = press;
    }
  }

  // What plotly leaves to the mouse: arrow keys move a figure's slider, or choose in its menu. Beside a slider the space bar plays, or
  // goes on to the menu's next choice.
  const plays = (menu) => menu.buttons[0].method === "animate";
  const playing = new WeakSet();
  function press(event) {
    const div = event.currentTarget, { sliders: [slider] = [], updatemenus: [menu] = [] } = div.layout;
    const run = ({ method, args }) => window.Plotly[method](div, ...args);
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (event.target !== div || !(step || (event.key === " " && slider && menu))) return;
    event.preventDefault();
    if (!step && !plays(menu)) {
      const next = ((menu.active ?? 0) + 1) % menu.buttons.length;
      run(menu.buttons[next]);
      window.Plotly.relayout(div, { "updatemenus[0].active": next });
      return;
    }
    if (!step) {
      run(menu.buttons[playing.has(div) ? 1 : 0]).finally(() => playing.delete(div)).catch(() => {});  // stopped
      playing.add(div);
      return;
    }
    const [name, control, choices] = slider ? ["sliders", slider, slider.steps] : ["updatemenus", menu, menu.buttons];
    const next = Math.min(Math.max((control.active ?? 0) + step, 0), choices.length - 1);
    run(choices[next]);
    window.Plotly.relayout(div, { [`${name}[0].active`]: next });
  }

  const attempt = (div) => {
    waiting.delete(div);
    near.unobserve(div);
    return draw(div).catch((error) => {
      console.error("A figure could not be drawn:", error);
      div.textContent = "This figure could not be drawn.";
    });
  };

  const near = new IntersectionObserver((entries) => entries.filter((one) => one.isIntersecting).forEach((one) => attempt(one.target)),
    { rootMargin: "600px" });
  const waiting = new Set(document.querySelectorAll(".magbook-figure"));
  waiting.forEach((div) => near.observe(div));

  // Paper shows the whole page, also what was not scrolled to. The page's button and Ctrl-P draw it first. A browser's own menu does
  // not wait, so a wide screen, on which people print, draws all by and by once the page is there.
  const seen = () => [...waiting].filter((div) => div.clientWidth);  // not in what is folded
  async function drawAll(pause = () => {}) {
    for (let [div] = seen(); div; [div] = seen()) {
      await attempt(div);
      await pause();
    }
  }
  const print = window.print.bind(window);
  window.print = () => drawAll().then(print);
  addEventListener("keydown", (event) => {
    if (event.key !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || !seen().length) return;
    event.preventDefault();
    window.print();
  });
  const idle = () => new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve));
  if (matchMedia("(hover: hover) and (min-width: 900px)").matches && !navigator.connection?.saveData) {
    addEventListener("load", () => setTimeout(() => idle().then(() => drawAll(idle)), 3000));
  }
  new MutationObserver(() => sources.forEach((_, div) => attempt(div))).observe(root, { attributeFilter: ["data-theme"] });
})();
