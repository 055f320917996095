"""A model as a functional mock-up unit, for circuit simulators and controllers: FMI 2.0, co-simulation. Chapter 8.

The unit is a zip file: a description in XML, the model as C, `_fmu.c`, with its numbers in a header, and the same compiled for this
machine. It needs no Python.
Modelica Association, Functional Mock-up Interface 2.0.4 (2022).
"""

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ._arguments import said
from .files import as_path, atomic

SOURCE = Path(__file__).with_name("_fmu.c")
"""The unit in C, but for its numbers."""

VARIABLES = {"hx": ("input", "T", "mu0 Hx, the applied field along x"), "hy": ("input", "T", "mu0 Hy, the applied field along y"),
             "mx": ("output", "1", "mean of m along x"), "my": ("output", "1", "mean of m along y"), "mz": ("output", "1", "mean of m along z")}
"""What goes in and what comes out: (which of the two, unit, what it is), in the order of their numbers."""


def write(path: str | Path, parts: dict[str, Any], start: np.ndarray, every: float, about: str) -> None:
    """Write a unit. `ReducedOrderModel.to_fmu` calls this.

    path: the file, `.fmu`. parts: of a dynamics, as `Dynamics.parts` gives them. start: (latent,). every: s of a step. about: a sentence.
    The C is compiled by `$CC`, `cc`, `gcc` or `clang`; where there is none a warning says that the unit holds its source alone.
    Raises ValueError for another name of a file, RuntimeError where the compiler fails.
    """
    path = as_path(path)
    if path.suffix != ".fmu":
        raise ValueError(f"path: got {said(str(path))}; a file whose name ends with .fmu is needed")
    name = re.sub(r"\W|^(?=\d)", "_", path.stem, flags=re.ASCII)
    numbers = _header(parts, start, every)
    guid = hashlib.sha256((numbers + SOURCE.read_text()).encode()).hexdigest()[:32]
    header = f'#define GUID "{guid}"\n{numbers}'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as unit:
        unit.writestr("modelDescription.xml", _description(name, guid, every, about))
        unit.writestr("sources/model.h", header)
        unit.write(SOURCE, "sources/fmu.c")
        if (binary := _compiled(header)) is not None:
            folder, suffix = {"win32": ("win64", ".dll"), "darwin": ("darwin64", ".dylib")}.get(sys.platform, ("linux64", ".so"))
            unit.writestr(f"binaries/{folder}/{name}{suffix}", binary)
    with atomic(path) as file:
        file.write(packed.getbuffer())


def _header(parts, start, every):
    """The numbers of a model as C."""
    weights, parities, readout = parts["weights"], parts["parities"], parts["readout"]
    latent, widths = len(readout), [len(weights[0]), *(len(bias) for bias in weights[1::2])]
    mirrored = parities is not None
    flips = (parities < 0).astype(int) if mirrored else np.zeros((latent, 2), int)

    def rows(values):
        if np.ndim(values):
            return "{" + ",".join(map(rows, values)) + "}"
        return f"{values}" if np.asarray(values).dtype.kind == "i" else f"{float(values):.9e}f"

    return "\n".join([
        f"#define LATENT {latent}", f"#define EVERY {every!r}", f"#define MIRRORED {int(mirrored)}", f"#define LAYERS {len(widths) - 1}",
        f"#define WIDEST {max(widths)}",
        f"static const int widths[] = {rows(np.array(widths))};", f"static const int leading[2] = {rows(np.array(parts['leading']))};",
        f"static const int flips[LATENT][2] = {rows(flips)};", f"static const float readout[LATENT][3] = {rows(readout)};",
        f"static const float start[LATENT] = {rows(start)};",
        "/* of each layer the matrix, a row for each number that goes in, and then the bias */",
        f"static const float weights[] = {rows(np.concatenate([w.ravel() for w in weights]))};", ""])


def _description(name, guid, every, about):
    """modelDescription.xml."""
    from . import __version__  # the package imports this module

    variables = "\n".join(
        f'    <ScalarVariable name="{one}" valueReference="{k}" causality="{which}" variability="continuous" description={quoteattr(what)}'
        + (f'><Real unit="{unit}" start="0"/>' if which == "input" else f' initial="calculated"><Real unit="{unit}"/>') + "</ScalarVariable>"
        for k, (one, (which, unit, what)) in enumerate(VARIABLES.items()))
    outputs = [k for k, (which, *_) in enumerate(VARIABLES.values(), 1) if which == "output"]
    unknowns = "".join(f'<Unknown index="{k}" dependencies=""/>' for k in outputs)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName={quoteattr(name)} guid="{guid}" description={quoteattr(about)}
    generationTool="magbook {__version__}" variableNamingConvention="flat" numberOfEventIndicators="0">
  <CoSimulation modelIdentifier="{name}" canHandleVariableCommunicationStepSize="true" canGetAndSetFMUstate="true" canSerializeFMUstate="true">
    <SourceFiles><File name="fmu.c"/></SourceFiles>
  </CoSimulation>
  <UnitDefinitions>
    <Unit name="T"><BaseUnit kg="1" s="-2" A="-1"/></Unit>
    <Unit name="1"><BaseUnit/></Unit>
  </UnitDefinitions>
  <DefaultExperiment startTime="0" stopTime="{100 * every!r}" stepSize="{every!r}"/>
  <ModelVariables>
{variables}
  </ModelVariables>
  <ModelStructure>
    <Outputs>{unknowns}</Outputs>
    <InitialUnknowns>{unknowns}</InitialUnknowns>
  </ModelStructure>
</fmiModelDescription>
"""


def _compiled(header):
    """The unit as a shared library for this machine; None without a compiler, and on a processor for which FMI 2 has no folder."""
    compiler = os.environ.get("CC", "").split() or next(([found] for found in map(shutil.which, ("cc", "gcc", "clang")) if found), None)
    known = platform.machine() in ("x86_64", "AMD64")
    if compiler is None or not known:
        why = f"there is no C compiler on this {platform.system()} machine" if known else f"FMI 2 has no place for programs of {platform.machine()}"
        warnings.warn(f"{why}: the unit holds its source alone, which a simulator must compile", UserWarning, stacklevel=4)
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.h").write_text(header)
        library = Path(folder) / "unit"
        done = subprocess.run([*compiler, "-shared", "-fPIC", "-O2", "-fvisibility=hidden", "-w", "-I", folder, str(SOURCE), "-lm", "-o", str(library)],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the C compiler {' '.join(compiler)} failed on a unit: {done.stderr.strip()[:500]}")
        return library.read_bytes()
