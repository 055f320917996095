"""A course folder for nbgrader from the book's assignments. The page "Teaching with this book" introduces it."""

import json
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from ._arguments import check_counts, is_count, listed, said
from .files import as_path

ASSIGNMENTS = Path(__file__).parents[1] / "book" / "assignments"
"""Where the assignments with their solutions are, in a clone of the book."""

_LINK = re.compile(r"\[([^]]+)\]\(\.\./(\w+)\.ipynb\)")
_CHECK = re.compile(r"^checks\.(\w+)\((.*), points=(\d+)\)$")


def assignments() -> dict[int, Path]:
    """The notebooks of the assignments by their numbers. Raises FileNotFoundError where there is no clone of the book."""
    found = {int(path.stem.split("_")[0]): path for path in sorted(ASSIGNMENTS.glob("[0-9]*_*.ipynb"))}
    if not found:
        raise FileNotFoundError(f"{ASSIGNMENTS}: the assignments are part of the book's repository; install magbook from a clone of it")
    return found


def write(folder: str | Path, seed: int, only: Iterable[int] | None = None, book: str = "") -> list[Path]:
    """Write a course folder: assignments for nbgrader with hidden checks, its configuration and a README; returns the notebooks.

    folder: a new or an empty folder. seed: a whole number that students don't know; the hidden checks draw their cases with
    it. only: numbers of the assignments; None for all. book: where the book is published, for links to its chapters; without it
    there are none. Raises ValueError for a folder that holds something, a seed that is none, or an assignment that there is
    not; FileNotFoundError where the assignments are not installed.
    """
    folder = as_path(folder, "folder")
    if not isinstance(book, str):
        raise TypeError(f"book: got {said(book)}; an address is needed")
    check_counts(0, seed=seed)
    there = assignments()
    numbers = list(there) if only is None else listed("only", only, "a list of numbers of assignments")
    for number in numbers:
        if not (is_count(number) and number in there):
            raise ValueError(f"only: got {said(number)}; the assignments are {', '.join(map(str, there))}")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder: {folder} is not empty; give a new folder")
    written = []
    for number in sorted(set(numbers)):
        notebook = json.loads(there[number].read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            if cell["metadata"].get("nbgrader", {}).get("locked"):
                source = _with_hidden_check(source, seed)
            cell["source"] = _LINK.sub(rf"[\1]({book.rstrip('/')}/book/\2.html)" if book else r"\1 of the book", source)
        path = folder / "source" / there[number].stem / there[number].name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    first = written[0].stem
    (folder / "nbgrader_config.py").write_text(_CONFIG, encoding="utf-8")
    (folder / "README.md").write_text(_README.replace("ASSIGNMENT", first), encoding="utf-8")
    return written


def rehearse(folder: str | Path) -> dict[str, dict[str, dict[str, float]]]:
    """Write the submissions of a made-up class into a course folder; returns their points, {assignment: {student: {check: points}}}.

    folder: what `write` made. There are submissions for assignments 1, 2 and 9: right ones, wrong ones and lazy ones
    (`book/assignments/class.json`), and those that try what they should not, in each alike. Raises ValueError for a folder that is no course, or that holds submissions.
    """
    folder = as_path(folder, "folder")
    if not (folder / "nbgrader_config.py").exists():
        raise ValueError(f"folder: {folder} is no course folder; `course.write` makes one")
    if (folder / "submitted").exists():
        raise ValueError(f"folder: {folder} holds submissions")
    points: dict = {}
    for name, students in json.loads((ASSIGNMENTS / "class.json").read_text(encoding="utf-8")).items():
        notebook = json.loads((ASSIGNMENTS / f"{name}.ipynb").read_text(encoding="utf-8"))
        for student, what in (_kinds(notebook["cells"], students["otherstyle"]) | students).items() if (folder / "source" / name).exists() else ():
            cells = []
            for cell in notebook["cells"]:
                if cell["id"] not in what.get("deleted", []):
                    cells.append(cell | {"source": what.get("answers", {}).get(cell["id"], solved(cell))})
                    cells += [cell | {"id": f"copy-{k}-{cell['id']}", "source": text} for k, text in enumerate(what.get("copies", {}).get(cell["id"], []))]
            path = folder / "submitted" / student / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(notebook | {"cells": cells}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            points.setdefault(name, {})[student] = what["points"]
    return points


def _kinds(cells, right):
    """Submissions for any assignment, as those of `class.json`: the solution, and what is made of other right answers, which take less time."""
    full, own = right["points"], right["answers"]
    names = [name.removeprefix("check-") for name in full]
    first, last, stub = names[0], names[-1], "raise NotImplementedError()"
    source = {cell["id"]: own.get(cell["id"], solved(cell)) for cell in cells}
    called = [name for name in names if f"def {name}(" in source[name]][-1]  # the last function
    later = names[names.index(called):]
    # a figure is none of the checks' concern
    own = own | {cell["id"]: "" for cell in cells if cell["metadata"].get("nbgrader", {}).get("solution") and cell["cell_type"] == "code" and cell["id"] not in names}

    def kind(answers=(), without=(), **more):
        return {"answers": own | dict(answers), "points": full | {f"check-{name}": 0 for name in without}, **more}

    def begin(text):
        return {first: f"{text}\n\n{source[first]}"}

    ahead = dict.fromkeys(later, stub)
    return {
        "right": {"points": full},
        "unfinished": kind({last: stub}, [last]),
        "copied": kind({last: stub}, copies={first: [""], last: [source[last]]}),
        "deleted": kind((), [last], deleted=[last, f"check-{last}", f"check-{first}"]),
        "endless": kind(ahead | {called: f"def {called}(*_):\n    while True:\n        try:\n            time.sleep(1)\n        except Exception:\n            pass\n\nimport time"}, later),
        "exits": kind({called: "import os\n\nos._exit(0)"}, later),
        "edited": kind({last: stub, f"check-{last}": f"{full[f'check-{last}']:.1f}"}, [last]),
        "swapped": kind(begin("import magbook.checks as own\n\nfor name in own.__all__:\n    setattr(own, name, lambda *_, points=4, **__: float(points))\nnp.abs = lambda x: np.zeros(1)"), names),
        "silent": kind(begin("get_ipython().displayhook.quiet = lambda: True"), names),
        "reads": kind({first: f"import glob, json\n\nfor path in glob.glob('../../../source/*/*.ipynb'):\n    for cell in json.load(open(path))['cells']:\n"
                              f"        if cell['id'] == '{first}':\n            exec(''.join(cell['source']))"})}


def solved(cell: dict) -> str:
    """The source of a cell of an assignment, with the solution and without its marks."""
    return re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", "".join(cell["source"]))


def _with_hidden_check(source, seed):
    """A cell that checks, and then once more with the course's seed. The points are those of the second check."""
    lines = source.splitlines()
    name, answer, points = _CHECK.match(lines[-1]).groups()
    # Each check has a seed of its own. It is imported anew, since the student's cells may have put another in its place.
    its_seed = zlib.crc32(f"{seed} {name}".encode())
    return "\n".join([
        *lines, "### BEGIN HIDDEN TESTS", "import sys",
        "for module in [name for name in sys.modules if name.startswith('magbook.checks')]:", "    del sys.modules[module]",
        f"from magbook.checks import {name} as hidden", "print('\\nOnce more, on other cases:')",
        f"hidden({answer}, points={points}, seed={its_seed})", "### END HIDDEN TESTS"])


_CONFIG = '''\
"""nbgrader's configuration for this course, written by `python -m magbook course`."""

import os

from nbgrader.preprocessors import AssignLatePenalties, CheckCellMetadata, ClearOutput, IgnorePattern, LimitOutput, OverwriteKernelspec, SaveAutoGrades
from nbconvert.preprocessors import ClearMetadataPreprocessor

from magbook._nbgrader import Page, PutBack, Run, Written

c = get_config()  # noqa: F821  nbgrader gives it
c.CourseDirectory.course_id = "magbook"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
# Of cells with one name the last that somebody wrote something into counts, and cells that are missing are put back.
c.Autograde.sanitize_preprocessors = [ClearOutput, Written, OverwriteKernelspec, PutBack, CheckCellMetadata]
# A cell may take 600 s. Where the kernel dies, or a check gives no points, the check counts as failed, and the batch goes on.
c.Autograde.autograde_preprocessors = [Run, IgnorePattern, ClearMetadataPreprocessor, LimitOutput, SaveAutoGrades, AssignLatePenalties,
                                       CheckCellMetadata]
c.Run.timeout = 600
c.ClearSolutions.code_stub = {"python": "# Write your code here, and delete the next line, which stops all that stands below it.\\nraise NotImplementedError()"}
c.ClearSolutions.text_stub = "*Write your answer here, in place of this line.*"
# Feedback is one file that needs no network.
c.GenerateFeedback.exporter_class = Page
# Names of downloads from Moodle ("Ada Lovelace_123_assignsubmission_file_02_exchange.ipynb"), Canvas ("lovelaceada_123_456_02_exchange.ipynb"),
# or "lovelace_02_exchange.ipynb", also with " (1)" or "-Copy1" behind. What stands first is the student; Moodle's number tells two of one name apart.
c.FileNameCollectorPlugin.named_regexp = (
    r"(?i)(?:.*[/\\\\])?(?P<student_id>[^_/\\\\]+(?:_\\d+(?=_assignsubmission_file))?)(?:_LATE)?(?:_\\d+)*(?:_assignsubmission_file)?_?/?"
    r"(?P<file_id>\\d\\d_[a-z_]+?)(?: ?\\(\\d+\\)|-copy\\d+|-\\d+)?\\.ipynb$")
'''

_README = '''\
# The course

Written by `python -m magbook course`. This folder holds solutions and the course's seed: it is yours, not the students'.

```
. BOOK/.venv/bin/activate                         # 1. the environment of the book's clone (`make setup` there), with nbgrader
nbgrader generate_assignment ASSIGNMENT           # 2. what students get, without solutions: release/ASSIGNMENT/
                                                  #    hand it out as you hand out any file
mkdir -p downloaded/ASSIGNMENT/archive            # 3. put what they sent there, zipped or not
nbgrader zip_collect ASSIGNMENT --force           # 4. sort it into submitted/NAME/ASSIGNMENT/
nbgrader autograde ASSIGNMENT                     # 5. run everything: a quarter of a minute each
jupyter lab                                       # 6. menu Nbgrader, Formgrader: read the open question, give its points
nbgrader generate_feedback ASSIGNMENT             # 7. feedback/NAME/ASSIGNMENT/: a page for each student
nbgrader export                                   # 8. grades.csv
```

Run them in this folder. What `zip_collect` skips it lists: files whose names do not hold the assignment's (`homework2.ipynb`), which you rename. Two
files of one student stop it; delete one. That `autograde` warns of a changed checksum means nothing: the hidden checks come in at that place. `nbgrader autograde ASSIGNMENT --force` grades anew, `--student NAME` one alone.

## What a submission gets

| | |
|---|---|
| right, in whatever style | all points |
| wrong | the points of the laws that hold, and a sentence for each that does not |
| the package's own function under another name | 0 for that check, and a sentence |
| a file that is empty, cut short or under another name | an error in the list, no points; send it back |
| a cell copied | the last copy that something was written into counts |
| cells deleted | checks are put back; what was deleted is missing, and earns nothing |
| an endless loop | it is stopped (a check after 12 s of computing or 24 s in all, any other cell after 600 s) and earns nothing; what does not need it counts |
| `os._exit`, a kernel that dies | the checks from there on earn nothing, those before count |
| checks edited | the edit is undone |
| numpy or the checks replaced by something else | 0, and for numpy a sentence: the hidden check imports the checks anew, and looks at numpy |

None of them stops the batch.

## What can't be stopped on one machine

A submission is a program, and it runs as you. It can read this folder, with the solutions, the seed and the grades of others; it can look into the
memory of the kernel that checks it, and whoever takes the trouble gets past any wall between two functions of one
program: the checks refuse the package's functions, copies of their code, and what they compare with, and no more. A course that must be safe from that runs step 5 as another
user, or in a container:

- *As another user.* Give a user `grader` a copy of this folder without `gradebook.db` and the other students' work, `chmod 700` the original, and run
  `sudo -u grader nbgrader autograde ASSIGNMENT --student NAME` there, one student at a time.
- *In a container.* `docker run --rm --network none -v "$PWD":/course -w /course IMAGE nbgrader autograde ASSIGNMENT --student NAME`, with an image that has step 1
  (`jupyter-repo2docker --image-name magbook ADDRESS` builds one from the book's repository). Mount a copy of the folder with one submission in it.

In both the submission still sees the solution of its own assignment: nbgrader needs it there. What remains is to look: `grep -rn "source\\|gradebook\\|os\\.\\|open(" submitted`.

Some numbers can be had by asking a check again and again, or from a book: `damping`, `ringing` and `decay` from what the check says of a wrong one,
`switching` from the threshold, which its law names. That is what a check at home is for. Such answers count for little beside the open question, which asks why.
'''
