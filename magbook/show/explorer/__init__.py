"""The explorer: a reduced order model that runs where it is looked at. Chapter 7 introduces it."""

import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anywidget
import numpy as np
import traitlets
from numpy.typing import ArrayLike

from ... import applied, sp4
from ..._arguments import array, listed, number
from .. import look

if TYPE_CHECKING:  # it starts Keras, which takes seconds
    from ...rom import ReducedOrderModel


def module() -> str:
    """The explorer's script as one module: a widget, and a page that was opened from the disk, load one file alone."""
    parts = (Path(__file__).with_name(f"{name}.js").read_text() for name in ("llg", "model", "draw", "parts", "panel", "drive", "neighbours", "widget"))
    return "\n".join(re.sub(r'^import .* from "\./\w+\.js";\n', "", part, flags=re.M) for part in parts)


class Explorer(anywidget.AnyWidget):
    """A reduced order model that runs in the browser, without Python: drag the field, and its rollout follows at once.

    model: "atlas", "paper", "driven", or a `rom.ReducedOrderModel` whose decoder is of one of their kinds, see `pack.pack`.
    panels: "field", a pad to drag the applied field on, the film and its averages against time; "latent", a slider for each latent
    number and a button that shows it alone; or both. The solver, in the page, answers beside the model. Or "drive" alone, for a model as
    "driven": time runs, you hold the field, and the solver answers, on request the model beside it. Or "neighbours" alone, for "paper":
    what the solver says in the training fields that are nearest, and in yours. Fields that ship with the solver's answer are dots on the
    pad. A model that steps, as "paper", begins with states of the solver, which takes a grid of powers of two.
    Traits to observe, set, and link to those of other widgets: field, mu0*H in T, a pair; time in s; latent, the latent state
    that is shown, as a list; it is empty until the panel is seen, unless it was given. "drive" has the field alone, which begins with 0.
    On a page of the built book it is alive too, if the model ships. Raises ValueError or TypeError, naming the argument.
    """

    _esm = module()
    _css = Path(__file__).with_name("explorer.css")
    model = traitlets.Unicode().tag(sync=True)
    panels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    field = traitlets.Any(sp4.FIELD_2).tag(sync=True)
    time = traitlets.Float().tag(sync=True)
    latent = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(self, model: "str | ReducedOrderModel" = "atlas", panels: str | Sequence[str] = ("field",), *,
                 field: ArrayLike | None = None, time: float = 0.3e-9, latent: Sequence[float] = (), **options):
        from .pack import neighbours, pack, start  # it starts Keras, which takes seconds

        panels = [panels] if isinstance(panels, str) else listed("panels", panels, "a list of names")
        known = all(isinstance(one, str) for one in panels) and (panels in (["drive"], ["neighbours"]) or set(panels) <= {"field", "latent"})
        if not known or not panels:
            raise ValueError(f"panels: got {panels!r}; 'field', 'latent' or both are needed, or 'drive' or 'neighbours' alone")
        if panels == ["neighbours"] and model != "paper":
            raise ValueError(f"model: got {model!r}; a panel of neighbours shows the fields of 'paper'")
        time, latent = number("time", time, "a time in s is"), array("latent", latent, "(n,)").tolist()
        self._packed = pack(model)
        header, weights = self._packed
        if panels == ["drive"] and header["dynamics"]["kind"] != "driven":
            raise ValueError("panels: this model cannot be driven; 'drive' needs one like 'driven'")
        if "field" in panels and header["dynamics"]["history"] and header["solver"] is None:
            raise ValueError("panels: this model steps, and its cells, or its mask, are not such that the solver in the page could give it its "
                             "first states; it has a 'latent' panel alone")
        name = model if isinstance(model, str) else hashlib.sha256(weights).hexdigest()[:16]
        if field is None:
            field = (0.0, 0.0) if panels == ["drive"] else sp4.FIELD_2
        super().__init__(model=name, panels=panels, field=field, time=time, latent=latent, **options)
        parts = {"model": lambda: self._packed, "start": lambda: start(model), "neighbours": neighbours}

        def answer(_, asked, __):  # what a panel asks for
            part = asked["want"]
            header, weights = parts[part]()
            self.send({"part": part, "header": header}, [weights])

        self.on_msg(answer)

    @traitlets.validate("field")
    def _finite(self, proposal):
        return applied.vector(proposal["value"])[:2].tolist()

    @traitlets.validate("time")
    def _known_time(self, proposal):
        last = self._packed[0].get("last", np.inf) * 1e-9
        if not 0 <= proposal["value"] <= last * (1 + 1e-9):
            raise ValueError(f"time: got {proposal['value']:g} s; this model knows 0 to {last:g} s")
        return proposal["value"]

    @traitlets.validate("latent")
    def _whole(self, proposal):
        n = self._packed[0]["latent"]
        if len(proposal["value"]) not in (0, n) or not np.isfinite(proposal["value"]).all():
            raise ValueError(f"latent: got {len(proposal['value'])} numbers; {n} finite ones are needed")
        return proposal["value"]

    def _repr_mimebundle_(self, **options):
        """In a build of the book, what the page's script brings to life, around what a reader without scripts sees."""
        if not os.environ.get("MAGBOOK_BUILD"):
            return super()._repr_mimebundle_(**options)
        from ...rom import load_rom

        state = {name: getattr(self, name) for name in ("model", "panels", "field", "time", "latent")}
        rom, c = load_rom(self.model), np.array(self.latent or self._packed[0]["start"])
        if "field" in self.panels and not self.latent:
            k = max(1, round(self.time / rom.every))  # two samples at least make a run
            c = rom.latents(self.field, duration=k * rom.every)[round(self.time / rom.every)]
        told = ("This panel solves the equation of motion as you move the field, which needs a browser that runs scripts; this is the film at rest."
                if self.panels == ["drive"] else "This panel needs a browser that runs scripts; this is the film that it begins with.")
        picture = look.png(look.hue_colors(rom.decode(c)))
        return {"text/html": f'<div class="magbook-explorer" data-model="{html.escape(self.model)}" data-options="{html.escape(json.dumps(state))}">'
                             f'<img src="{picture}" alt="The film, coloured by the direction of its magnetization" style="width: 100%">'
                             f"<p>{told}</p></div>"}, {}
