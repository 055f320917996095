"""Executes the chapters: each once, two at a time, kept for all that read them, the site's pages and the tests.

They lie where myst-nb looks for them (a jupyter-cache), in a folder named for all that can change an output besides a
chapter's own code: the package, its data and the lock file.

After a chapter its solutions are executed in the same kernel, in their order. The page doesn't show what they put out; what
went wrong is kept beside the outputs, for a test. A line "% holds: <expression>" after a solution's code, which no page shows
either, says in Python what the text of the solution says of the result.
"""

import asyncio
import hashlib
import json
import math
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient

CELL_SECONDS = 300
# A chapter has one core, so that two side by side neither wait for each other nor make each other's timings jump.
ONE_CORE = {name: "1" for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
                                   "TF_NUM_INTEROP_THREADS"]}


def digest(root, patterns):
    """A short hash of the files under `root` that match."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in Path(root).glob(pattern) if path.is_file()):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def folder(root):
    """Where executed chapters lie while package, data and lock file are what they are."""
    return Path(root) / "_build/.jupyter_cache" / digest(root, ["magbook/**/*.py", "data/*", "requirements.lock"])


def solutions(notebook):
    """The code of the chapter's solutions, and of what they say of it."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for solution in re.findall(r"^:::+\{admonition\} Solution\n(.*?)^:::+ *$", text, re.M | re.S):
        for code, claim in re.findall(r"^```python\n(.*?)^```|^% holds: ([^\n]+)$", solution, re.M | re.S):
            yield code or f"assert {claim}, {claim!r}"


def with_captions(notebook):
    """A chapter as the site reads it: each caption, a Markdown cell tagged `caption` under its figure, in that figure's metadata.

    So JupyterLab, which knows nothing of captions, shows them too, and they are written once.
    """
    cells = []
    for cell in notebook.cells:
        if "caption" in cell.metadata.get("tags", []):
            cells[-1].metadata["mystnb"]["figure"]["caption"] = cell.source
        else:
            cells.append(cell)
    notebook.cells = cells
    return notebook


def read(chapter):
    """A chapter (its path) as the site reads it."""
    return with_captions(nbformat.read(chapter, as_version=4))


def executed(chapter, kept):
    """A chapter (its path) with outputs, the seconds that they took, and what went wrong in its solutions; or None, not kept."""
    notebook = read(chapter)
    cache = get_cache(str(kept))
    try:
        record, notebook = cache.match_cache_notebook(notebook), cache.merge_match_into_notebook(notebook)[1]
    except KeyError:
        return None
    return notebook, record.data["execution_seconds"], record.data["solutions"]


def execute(chapters, kept, say=print):
    """Execute those of the `chapters` (paths) that `kept` doesn't have; return the errors by chapter."""
    stale = [Path(chapter) for chapter in chapters if executed(chapter, kept) is None]
    times = Path(kept).parent / "seconds.json"  # of the last time, whatever has changed since
    known = json.loads(times.read_text()) if times.exists() else {}
    stale.sort(key=lambda path: (known.get(path.name, math.inf), path.stat().st_size), reverse=True)  # the longest first
    if not stale:
        return {}
    with ThreadPoolExecutor(1) as thread:  # the caller's may have a loop of its own, as under the browser's tests
        errors = thread.submit(asyncio.run, _execute_all(stale, kept, known, say)).result()
    times.write_text(json.dumps(known))
    return errors


async def _execute_all(chapters, kept, known, say):
    cache, places, errors = get_cache(str(kept)), asyncio.Semaphore(2), {}

    async def one(chapter):
        async with places:
            notebook = read(chapter)
            own = len(notebook.cells)
            notebook.cells += [nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"]}) for code in solutions(notebook)]
            # A time in a cell's metadata would make it another notebook. The kernel's warnings concern no reader of ours.
            client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(chapter.parent)}},
                                    record_timing=False, extra_arguments=["--log-level=ERROR"])
            start, done = time.perf_counter(), {}
            client.on_cell_executed = lambda cell, cell_index, execute_reply: done.update({cell_index: time.perf_counter() - start})
            try:
                await client.async_execute(env=os.environ | ONE_CORE | {"MAGBOOK_BUILD": "1"})
            except Exception as error:  # a cell's, a cell's that doesn't end, a kernel's that dies
                errors[chapter] = error
                return
            known[chapter.name] = time.perf_counter() - start
            seconds = max(end for index, end in done.items() if index < own)
            notebook.cells, answers = notebook.cells[:own], notebook.cells[own:]
            wrong = [f"{cell.source}\n{output.ename}: {output.evalue}" for cell in answers for output in cell.outputs
                     if output.output_type == "error"]
            say(f"{chapter.name}: executed in {seconds:.0f} s, its solutions in {known[chapter.name] - seconds:.0f} s")
            bundle = CacheBundleIn(notebook, str(chapter), data={"execution_seconds": seconds, "solutions": wrong})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    await asyncio.gather(*map(one, chapters))
    return errors
