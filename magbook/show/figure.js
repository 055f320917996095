// A plotly figure that follows what Python shows. The whole figure is one trait, so a page that draws late draws the latest.

// plotly.js is a model of its own that the kernel sends once. It serves all figures of a page.
async function load(model) {
  const [, id] = model.get("library").split("IPY_MODEL_");
  const source = (await model.widget_manager.get_model(id)).get("source");
  const file = new Blob(["const module = { exports: {} };", source, "export default module.exports;"], { type: "text/javascript" });
  window.magbookPlotly ??= import(URL.createObjectURL(file));
  return (await window.magbookPlotly).default;
}

function render({ model, el }) {
  const box = document.createElement("div"), loading = load(model);
  el.append(box);
  let last = Promise.resolve(), waiting = false, width = 0;

  const draw = () => {
    if (waiting || !width) return;
    waiting = true;
    last = last.then(() => loading).then(async (Plotly) => {
      waiting = false; // what changes from here on needs another drawing
      const { data, layout, config } = JSON.parse(model.get("drawn"));
      const first = !box.on, { fixed, aspect, beside } = layout.meta ?? {}; // a film keeps its shape: narrower means lower
      const height = aspect ? Math.min(layout.height, fixed + aspect * (width - beside)) : layout.height ?? 360;
      await Plotly.react(box, data, { uirevision: true, ...layout, width, height }, { displaylogo: false, ...config });
      if (first) box.on("plotly_click", ({ points }) => model.send(points.map((at) => [at.curveNumber, at.pointNumber])));
    }).catch(console.error);
  };

  // Without a place in the page it has no width, and the place changes: half a window, a menu that opens
  const size = new ResizeObserver(() => {
    width = el.clientWidth;
    draw();
  });
  size.observe(el);
  model.on("change:drawn", draw);
  return () => {
    size.disconnect();
    model.off("change:drawn", draw);
    last.then(() => loading).then((Plotly) => Plotly.purge(box));
  };
}

export default { render };
