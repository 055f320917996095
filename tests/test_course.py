"""From the assignments to grades: nbgrader on a class of made-up submissions, and what is promised in the course's README."""

import contextlib
import csv
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from magbook import course

NUMBERS = course.assignments()
GRADED = (1, 2, 9)  # by nbgrader
SECRET = 20261128
DOWNLOADED = ["Ada Lovelace_1234_assignsubmission_file_{}.ipynb", "noetheremmy_77_889_{}.ipynb", "curie_LATE_5_6_{}-1.ipynb", "meitner_{}.ipynb",
              "Ada Lovelace_1235_assignsubmission_file_{}.ipynb", "hahn_{} (1).ipynb", "Kaiser_{}-Copy1.ipynb"]


def cells(path):
    return {cell["id"]: cell for cell in json.loads(path.read_text())["cells"]}


# ---------------------------------------------------------------------------- the sources


@pytest.mark.parametrize("number", NUMBERS)
def test_an_assignment_is_a_clean_notebook_whose_checks_follow_answers(number):
    path = NUMBERS[number]
    nbformat.validate(nbformat.read(path, as_version=4))
    there, above = cells(path), set()
    assert not any(cell.get("outputs") for cell in there.values())
    assert "".join(there["title"]["source"]).startswith(f"# Assignment {number}: ")
    kinds = {"answer": 0, "check": 0, "question": 0}
    for name, cell in there.items():
        meta, source = cell["metadata"].get("nbgrader"), "".join(cell["source"])
        if meta is None:
            assert "BEGIN" not in source
            continue
        assert meta["grade_id"] == name
        kind = "check" if meta["locked"] else "question" if meta["grade"] else "answer"
        kinds[kind] += 1
        if kind == "check":
            assert name.removeprefix("check-") in above, "nbgrader puts a check that is missing below its answer"
            assert course._CHECK.match(source.splitlines()[-1]).group(3) == str(meta["points"])
        else:
            assert source.count("### BEGIN SOLUTION") == source.count("### END SOLUTION") == 1 or "number =" in source, name
        above.add(name)
    assert 3 <= kinds["answer"] <= 6 and kinds["check"] and kinds["question"] == 1


def test_a_course_is_written_once_and_with_its_own_seed(tmp_path):
    one, = course.write(tmp_path / "a", SECRET, [2])
    two, = course.write(tmp_path / "b", SECRET + 1, [2], book="https://example.org/")
    hidden = [re.findall(r"seed=(\d+)", path.read_text()) for path in (one, two)]
    assert len(set(hidden[0])) == len(hidden[0]) and not set(hidden[0]) & set(hidden[1])
    assert "https://example.org/book/01_llg_and_sp4.html" in two.read_text() and "chapter 1 of the book" in one.read_text().lower()
    with pytest.raises(ValueError, match="folder: .* is not empty"):
        course.write(tmp_path / "a", SECRET, [2])
    for wrong in ([99], [2.5], ["2"]):
        with pytest.raises(ValueError, match="only"):
            course.write(tmp_path / "c", SECRET, wrong)
    with pytest.raises(ValueError, match="seed"):
        course.write(tmp_path / "c", -1)
    assert not (tmp_path / "c").exists()


# ---------------------------------------------------------------------------- nbgrader, in the background


def solutions(name):
    """{cell: source} of the answers, with what stands between the solution marks."""
    return {key: course.solved(cell) for key, cell in cells(course.ASSIGNMENTS / f"{name}.ipynb").items()
            if cell["metadata"].get("nbgrader", {}).get("solution")}


def scores(folder, name):
    """Points of the cells that are graded by themselves, {student: {cell: points}}."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder}/gradebook.db") as book:
        return {one.student.id: {grade.name: grade.score for grade in one.notebooks[0].grades if grade.cell.cell_type == "code"}
                for one in book.assignment_submissions(name)}


@pytest.fixture(scope="module")
def grading(tmp_path_factory):
    """Three courses whose classes are graded while other tests run, since endless answers only wait; of the second all else is done too.

    Gives the process that does it, its log, and {number: (folder, assignment, expected points)}.
    """
    pytest.importorskip("nbgrader")
    there, courses, commands = tmp_path_factory.mktemp("course"), {}, {}
    for number in GRADED:
        folder = there / f"{number}" / "magbook"
        name = course.write(folder, SECRET, [number])[0].stem
        courses[number] = folder, name, course.rehearse(folder)[name]
        commands[str(folder)] = [["generate_assignment", name], ["autograde", name, "--Run.timeout=60"]]
    folder, name, expected = courses[2]
    # one that a rehearsal would wait ten minutes for: its kernel answers no more, not to an interrupt either
    lost = folder / "submitted" / "lost" / name
    shutil.copytree(folder / "submitted" / "silent" / name, lost)
    text = (lost / f"{name}.ipynb").read_text()
    assert "displayhook.quiet = lambda: True" in text
    (lost / f"{name}.ipynb").write_text(text.replace("displayhook.quiet = lambda: True", "displayhook = lambda *_: None"))
    expected["lost"] = expected["silent"]
    archive = folder / "downloaded" / name / "archive"
    archive.mkdir(parents=True)
    for file in DOWNLOADED:
        shutil.copy(course.ASSIGNMENTS / f"{name}.ipynb", archive / file.format(name))
    commands[str(folder)] += [["generate_feedback", name], ["export"], ["zip_collect", name, "--force"]]

    # it calls alembic by its name, as in an environment that is activated
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with open(there / "log", "w") as log:
        process = subprocess.Popen([sys.executable, Path(__file__).with_name("forked.py"), "nbgrader", json.dumps(commands)],
                                   env=environment, stdout=log, stderr=log)
    yield process, there / "log", courses
    process.kill()


@pytest.fixture(scope="module", autouse=True)
def begin(request):
    """Begin with the first test of this module, where one asks for it."""
    if any("classes" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("grading")


@pytest.fixture(scope="module")
def classes(grading):
    """The courses with their classes graded: {number: (folder, assignment, expected points)}."""
    process, log, courses = grading
    assert process.wait(900) == 0, log.read_text()
    return courses


# ---------------------------------------------------------------------------- each assignment with its solution, and with a wrong one


def wrongs():
    """{name of an assignment: (answers, points)} that the tests of the checks keep."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_checks_*.py")):
        found |= getattr(importlib.import_module(path.stem), "WRONG", {})
    return found


def run(name, changes):
    """The points of each check of an assignment, executed with other answers, here: a kernel of its own would take longer to start."""
    import matplotlib

    matplotlib.use("Agg")
    names, points = {}, {}
    for key, cell in cells(course.ASSIGNMENTS / f"{name}.ipynb").items():
        source = changes.get(key, "".join(cell["source"]))
        if key.startswith("check-"):
            try:
                points[key] = eval(source, names)
            except NameError:  # an answer that there is not
                points[key] = 0.0
        elif cell["cell_type"] == "code":
            with contextlib.suppress(Exception if changes else ()):
                exec(source, names)
    return points


@pytest.mark.slow
@pytest.mark.parametrize("number", sorted(set(NUMBERS) - set(GRADED)))  # there one of the class hands in the solution
def test_the_solution_earns_all_points(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = NUMBERS[number].stem
    points = {key: cell["metadata"]["nbgrader"]["points"] for key, cell in cells(NUMBERS[number]).items() if key.startswith("check-")}
    assert run(name, {}) == points


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_a_wrong_submission_earns_what_it_should(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = NUMBERS[number].stem
    changes, points = wrongs()[name]
    assert sum(run(name, changes).values()) == pytest.approx(points)


# ---------------------------------------------------------------------------- what nbgrader made of them


@pytest.mark.slow
def test_what_is_handed_out_holds_no_solution_no_hidden_check_and_no_seed(classes):
    folder, name, _ = classes[2]
    files = [path for path in (folder / "release").rglob("*") if path.is_file()]
    text = "".join(path.read_text() for path in files)
    assert [path.name for path in files] == [f"{name}.ipynb"]
    assert not re.search(r"SOLUTION|HIDDEN|seed|np\.moveaxis|" + str(SECRET), text)
    assert "raise NotImplementedError()" in text and "checks.exchange(exchange, points=4)" in text


@pytest.mark.slow
@pytest.mark.parametrize("number", GRADED)
def test_each_gets_the_points_that_the_readme_promises(classes, number):
    folder, name, expected = classes[number]
    got = scores(folder, name)
    assert set(got) == set(expected) and len(got) >= 14
    wrong = {student: {cell: (got[student][cell], points) for cell, points in cells.items() if got[student][cell] != points}
             for student, cells in expected.items()}
    assert not {student: cells for student, cells in wrong.items() if cells}


@pytest.mark.slow
def test_grades_are_exported(classes):
    folder, _, expected = classes[2]
    assert {row["student_id"] for row in csv.DictReader((folder / "grades.csv").open())} == set(expected)


@pytest.mark.slow
def test_feedback_reads_by_itself_and_keeps_the_seed(classes):
    folder, name, expected = classes[2]
    hidden = re.findall(r"seed=(\d+)", (folder / "source" / name / f"{name}.ipynb").read_text())
    for student in expected:
        page = (folder / "feedback" / student / name / f"{name}.html").read_text()
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", page), student
        assert not any(seed in page for seed in hidden) and "MathJax" in page
    page = (folder / "feedback" / "periodic" / name / f"{name}.html").read_text()
    assert "a film has no neighbour across its border" in " ".join(page.split())


@pytest.mark.slow
def test_downloads_of_learning_management_systems_are_sorted(classes):
    folder, name, _ = classes[2]
    there = {path.parts[-3] for path in (folder / "submitted").glob(f"*/{name}/{name}.ipynb")}
    assert {"Ada Lovelace_1234", "Ada Lovelace_1235", "noetheremmy", "curie", "meitner", "hahn", "Kaiser"} <= there
