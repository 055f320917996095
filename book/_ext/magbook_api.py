"""The directive `{magbook-api}`: every public name of the package, from its source.

Modules are read, not imported, so nothing starts Keras. They come in the order in which the directive names them, and
then those that it doesn't name: a new module is on the page without being entered anywhere. Docstrings are Markdown.
"""

import ast
import inspect
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

LONGEST = 60  # letters of a value that is shown
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def setup(app):
    app.add_directive("magbook-api", Api)
    app.connect("html-page-context", shorten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def shorten(app, pagename, templatename, context, doctree):
    """Sphinx wraps each word of inline code in a span of its own: a third of this page's size."""
    if pagename == "book/api":
        context["body"] = re.sub(r'<span class="pre">(.*?)</span>', r"\1", context["body"])


def public_modules(package):
    """The files of the modules that `mb` offers, by name: those of the package and of show/. A folder has its `__init__.py`."""
    found = [*package.glob("*.py"), *package.glob("show/*.py"), *package.glob("show/*/__init__.py"), package / "checks" / "__init__.py"]
    names = {(path.parent.name if path.stem == "__init__" else path.stem): path for path in found
             if path.parent.name not in ("magbook", "show") or path.stem != "__init__"}
    return {name: path for name, path in sorted(names.items()) if not name.startswith("_")}


def public(body, kind):
    """The public definitions of a kind in a module or class. What only overrides, without a docstring, is left out."""
    return [node for node in body if isinstance(node, kind) and not node.name.startswith("_") and ast.get_docstring(node)]


def short(node):
    """A hint as text, without the modules that its names come from, and without quotes."""
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)


def parameters(function):
    """The parameters of a function as texts: `name: type = default`; those of a method without its first."""
    args = function.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    shown = [one(*pair) for pair in zip(positional, defaults)]
    if args.posonlyargs:
        shown.insert(len(args.posonlyargs), "/")
    if args.vararg:
        shown.append("*" + one(args.vararg, None))
    elif args.kwonlyargs:
        shown.append("*")
    shown += [one(*pair) for pair in zip(args.kwonlyargs, args.kw_defaults)]
    return shown + (["**" + one(args.kwarg, None)] if args.kwarg else [])


def one(argument, default):
    text = argument.arg + (f": {short(argument.annotation)}" if argument.annotation else "")
    if default is None:
        return text
    value = ast.unparse(default)
    return text + (" = " if argument.annotation else "=") + (value if len(value) <= LONGEST else "...")


def fields(cls):
    """What a class is made with: the parameters of `__init__`, else the fields of a dataclass."""
    for node in cls.body:
        if isinstance(node, FUNCTIONS) and node.name == "__init__":
            return parameters(node)[1:]
    if not any("dataclass" in ast.unparse(mark) for mark in cls.decorator_list):
        return []
    return [one(ast.arg(node.target.id, node.annotation), node.value) for node in cls.body
            if isinstance(node, ast.AnnAssign) and not node.target.id.startswith("_")
            and "init=False" not in (ast.unparse(node.value) if node.value else "").replace(" ", "")]


def markdown(docstring, names):
    """A docstring as Markdown: its lines `name: text` become a list, and a star between letters is no emphasis."""
    text = inspect.cleandoc(docstring)
    if names:
        name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        text = re.sub(rf"(^|(?<=[.;]) )((?:{name})(?:, (?:{name}))*): ", r"\n* **\2**: ", text, flags=re.M)
    text = re.sub(r"^(?=Raises |Returns )", "\n", text, flags=re.M)
    parts = re.split(r"(`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$)", text, flags=re.S)
    return "".join(part if index % 2 else re.sub(r"(?<=[\w)])\*(?=[\w(])", r"\\*", part) for index, part in enumerate(parts))


class Api(SphinxDirective):
    """Sections, one a module: what it is about, its constants, functions and classes."""

    has_content = True

    def run(self):
        modules = public_modules(Path(self.env.srcdir) / "magbook")
        first = " ".join(self.content).split()
        if gone := [name for name in first if name not in modules]:
            raise self.error(f"no such module: {', '.join(gone)}")
        found = [self.module(name, modules[name]) for name in [*first, *(name for name in modules if name not in first)]]
        return [section for section in found if section is not None]

    def module(self, name, path):
        self.env.note_dependency(str(path))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # what a folder offers stands in its files
        parts = [one for one in sorted(path.parent.glob("[!_]*.py")) if path.stem == "__init__"]
        body = tree.body + [node for part in parts for node in ast.parse(part.read_text(encoding="utf-8")).body]
        entries = [self.function(node, f"mb.{name}") if isinstance(node, FUNCTIONS) else self.cls(node, f"mb.{name}")
                   for node in public(body, (*FUNCTIONS, ast.ClassDef))]
        if not entries:
            return None
        title = nodes.title("", "", nodes.literal("", f"mb.{name}"))
        section = nodes.section("", title, ids=[f"mb.{name}"], classes=["magbook-api"])
        section += self.parse(markdown((ast.get_docstring(tree) or "").split("\n\n")[0], []))
        constants = [(node.targets[0] if isinstance(node, ast.Assign) else node.target, node.value) for node in tree.body
                     if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value]
        values = [f"`{name.id} = {ast.unparse(value)}`" for name, value in constants if isinstance(name, ast.Name)
                  and re.fullmatch(r"[A-Z][A-Z0-9_]*", name.id) and len(ast.unparse(value)) <= LONGEST]
        section += self.parse("\n".join(f"- {value}" for value in values))
        section += entries
        return section

    def function(self, node, owner):
        marks = [ast.unparse(mark) for mark in node.decorator_list]
        method = owner.count(".") > 1
        shown = parameters(node)
        if method and "staticmethod" not in marks:
            shown = shown[1:]
        property_ = any(mark.split(".")[-1] in ("property", "cached_property") for mark in marks)
        returns = short(node.returns) if node.returns else None
        return self.entry(node, owner, "property" if property_ else "method" if method else "function",
                          None if property_ else shown, returns, names(node))

    def cls(self, node, owner):
        known = [re.match(r"\**(\w*)", text)[1] for text in fields(node)]
        entry = self.entry(node, owner, "class", fields(node), None, [name for name in known if name])
        for method in public(node.body, FUNCTIONS):
            entry[-1] += self.function(method, f"{owner}.{node.name}")
        return entry

    def entry(self, node, owner, kind, shown, returns, known):
        """A signature with the docstring below it, as Sphinx marks up an object of Python."""
        signature = addnodes.desc_signature("", "", ids=[f"{owner}.{node.name}"])
        if kind in ("class", "property"):
            signature += addnodes.desc_annotation("", f"{kind} ")
        signature += addnodes.desc_name("", node.name)
        if shown is not None:
            signature += addnodes.desc_parameterlist("", "", *(addnodes.desc_parameter("", text) for text in shown))
        if returns:
            signature += addnodes.desc_returns("", returns)
        content = addnodes.desc_content("", *self.parse(markdown(ast.get_docstring(node), known)))
        return addnodes.desc("", signature, content, domain="py", objtype=kind, desctype=kind, noindex=True,
                             classes=["py", kind])

    def parse(self, text):
        holder = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), source=self.env.docname), self.content_offset, holder)
        return holder.children


def names(function):
    args = function.args
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [argument.arg for argument in every if argument and argument.arg not in ("self", "cls")]
