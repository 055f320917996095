// The explorer's way in, in JupyterLab and on a page of the book. `Explorer` in `__init__.py` is the widget.

import { Drive } from "./drive.js";
import { unpack, unpacked } from "./model.js";
import { Neighbours } from "./neighbours.js";
import { Panel } from "./panel.js";
import { make } from "./parts.js";

const fetched = (globalThis.magbookFetched ??= new Map());  // what the widgets of a page share

/** A packed part of what a widget shows, "model", "start" or "neighbours", unpacked once: from a page's script, or asked of Python. */
function fetchPart(widget, part) {
  const name = `${widget.get("model")}-${part}`;
  if (!fetched.has(name)) {
    const packed = widget.packed ? widget.packed(name) : new Promise((resolve) => {
      const hear = (answer, buffers) => {
        if (answer.part !== part) return;
        widget.off("msg:custom", hear);
        resolve([answer.header, buffers[0]]);
      };
      widget.on("msg:custom", hear);
      widget.send({ want: part });
    });
    fetched.set(name, packed.then(([header, bytes]) => (part === "model" ? unpack : unpacked)(header, bytes)));
    fetched.get(name).catch(() => fetched.delete(name));
  }
  return fetched.get(name);
}

async function render({ model: widget, el }) {
  el.classList.add("magbook-explorer-panel");
  const said = make("p", { className: "mbx-said", role: "status", textContent: "It is being loaded." });
  el.replaceChildren(said);
  try {
    const [kind] = widget.get("panels");
    const panel = kind === "drive" ? new Drive(widget, await fetchPart(widget, "start"), () => fetchPart(widget, "model"), el, said)
      : kind === "neighbours" ? new Neighbours(widget, await fetchPart(widget, "neighbours"), el, said)
      : new Panel(widget, await fetchPart(widget, "model"), el, said);
    return () => panel.close.abort();
  } catch (error) {
    said.textContent = `It could not be loaded: ${error.message}`;
    throw error;
  }
}

export default { render };
