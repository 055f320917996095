"""What a course's configuration adds to nbgrader, so that no submission stops a batch. `course.write` writes the configuration."""

import re
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute, NbGraderPreprocessor, OverwriteCells

_HIDDEN = re.compile(r"\n?### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", re.S)


def _name(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _is_check(cell):
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade", False)


class Written(NbGraderPreprocessor):
    """Of several cells with one name, as a student's copy makes them, keep the last that something was written into."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        cells = {}
        for cell in nb.cells:
            if _name(cell):
                cells.setdefault(_name(cell), []).append(cell)
        for copies in cells.values():
            chosen = ([cell for cell in copies if cell.source.strip() and "raise NotImplementedError()" not in cell.source] or copies)[-1]
            for cell in copies:
                if cell is not chosen:
                    del cell.metadata["nbgrader"]
        return nb, resources


class PutBack(OverwriteCells):
    """Undo what was changed in cells that check, and put those back that are missing: below the answer, or at the end."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.add_missing_cells = True

    def add_missing_grade_cells(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        source = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        text, answers = {cell.name: cell for cell in source.source_cells}, {cell.name for cell in source.solution_cells}
        for graded in sorted(source.grade_cells, key=lambda cell: list(text).index(cell.name)):
            if any(_name(cell) == graded.name for cell in nb.cells):
                continue
            answer = [k for k, cell in enumerate(nb.cells) if f"check-{_name(cell)}" == graded.name]
            cell = self.missing_cell_transform(text[graded.name], graded.max_score, is_solution=graded.name in answers)
            nb.cells.insert(answer[0] + 1 if answer else len(nb.cells), cell)
        return nb, resources


class Run(Execute):
    """Execute; where the kernel dies or falls silent, or a check ends without a number, say so in the check, which then earns nothing."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        if getattr(self, "dead", False):
            return self._failed(cell, "KernelGone", "the kernel had gone in a cell above"), resources
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError):  # it ended, or is beyond interrupting
            self.dead = True
            return self._failed(cell, "KernelGone", "the kernel died in this cell, or answered no more"), resources
        if _is_check(cell) and not self._points(cell):
            self._failed(cell, "NoPoints", "the check did not end with a number of points")
        return cell, resources

    @staticmethod
    def _points(cell):
        """Did it end with an error, or with a number that the cell can give?"""
        for output in cell.outputs:
            if output.output_type == "error":
                return True
            if output.output_type == "execute_result":
                text = output.data.get("text/plain", "")
                return re.fullmatch(r"[0-9.]+", text) is not None and 0 <= float(text) <= cell.metadata.nbgrader.points
        return False

    @staticmethod
    def _failed(cell, name, text):
        if cell.cell_type == "code":
            cell.outputs.insert(0, nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"]))
        return cell


class Page(HTMLExporter):
    """Feedback as one file that needs no network and does not show the course's seed."""

    def from_notebook_node(self, nb: NotebookNode, resources: dict | None = None, **kw) -> tuple[str, dict]:  # type: ignore[override]
        for cell in nb.cells:
            cell.source = _HIDDEN.sub("\n# ... and once more, on other cases. The points are those of the second time.", cell.source)
            for output in cell.get("outputs", []) if _is_check(cell) else ():
                if output.output_type == "error":  # its traceback shows the hidden lines
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        page, resources = super().from_notebook_node(nb, resources, **kw)
        begin, end = page.find("<!-- Load mathjax -->"), page.find("<!-- End of mathjax configuration -->")
        if begin >= 0:
            page = page[:begin] + "<style>pre {white-space: pre-wrap !important; word-break: normal !important; overflow-wrap: anywhere}</style>" + _mathjax() + page[end:]
        return page, resources


def _mathjax():
    """MathJax as text, where the book's own copy is installed; without it formulas stay as they were typed."""
    there = find_spec("sphinx-mathjax-offline")
    if there is None or not there.origin:
        return ""
    code = (Path(there.origin).parent / "static" / "mathjax" / "tex-svg.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    return f"<script>MathJax = {{tex: {{inlineMath: [['$', '$']]}}, svg: {{fontCache: 'global'}}}}</script><script>{code}</script>"
