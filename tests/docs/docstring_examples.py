"""The examples in the docstrings of the library, and how one of them is run."""

from __future__ import annotations

import ast
import builtins
import dis
import re
import symtable
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from tests.docs.pages import ROOT

PACKAGE = ROOT / "src" / "zaikio_oauth"

NOT_PYTHON = {"errors"}
"""The docstrings whose indented text is no example: the tree of the errors."""

# An indented block, which may contain blank lines, or a paragraph.
BLOCK = re.compile(r"^ {4}.*(?:\n+ {4}.*)*|^.+(?:\n.+)*", flags=re.MULTILINE)

# A paragraph ends with a full stop or a colon; an example at most with an ellipsis.
PROSE = re.compile(r"(?<!\.\.)[.:]\Z")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Example:
    """An example, whose names are those that its reader has: ``name`` says to what it belongs."""

    name: str
    path: Path
    line: int
    code: str

    @property
    def place(self) -> str:
        """Return the file and the line at which it begins."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def is_part_of_a_function(self) -> bool:
        """Return True if it has a ``return`` of its own."""
        try:
            compile(self.code, str(self.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError:
            return True
        return False

    def compiled(self) -> CodeType:
        """Compile an ``async def example()`` that binds what the example binds as global names, at the same lines."""
        source = "\n" * (self.line - 2) + "async def example():\n" + textwrap.indent(self.code, "    ")
        (scope,) = symtable.symtable(source, str(self.path), "exec").get_children()
        module = ast.parse(source, str(self.path))
        bound = sorted(each.get_name() for each in scope.get_symbols() if each.is_local())
        if bound:
            module.body[0].body.insert(0, ast.Global(bound))  # type: ignore[attr-defined]
        # Annotations are evaluated, as they are for a reader without this module's __future__.
        return compile(ast.fix_missing_locations(module), str(self.path), "exec", dont_inherit=True)

    def names_needed(self) -> set[str]:
        """Return the names that it reads before it binds them."""
        needed, bound = set[str](), {"example", *dir(builtins)}

        def follow(code: CodeType) -> None:
            for instruction in dis.get_instructions(code):
                if isinstance(instruction.argval, CodeType):
                    follow(instruction.argval)
                elif instruction.opname in ("STORE_GLOBAL", "STORE_NAME"):
                    bound.add(instruction.argval)
                elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval not in bound:
                    needed.add(instruction.argval)

        follow(self.compiled())
        return needed

    async def run(self, names: dict[str, Any]) -> Any:
        """Run it with these names, to which it adds its own, and return what it returns."""
        exec(self.compiled(), names)
        return await names["example"]()


def examples() -> list[Example]:
    """Return the examples of the whole library."""
    found: list[Example] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for name, node in documented(module, ast.parse(path.read_text())):
            if name not in NOT_PYTHON:
                found += examples_of(name, path, node)
    return found


def documented(name: str, node: ast.Module | Definition) -> Iterator[tuple[str, ast.Module | Definition]]:
    """Yield what may have a docstring, with its name."""
    yield name, node
    for child in node.body:
        if isinstance(child, Definition):
            yield from documented(f"{name}.{child.name}", child)


def examples_of(name: str, path: Path, node: ast.Module | Definition) -> list[Example]:
    """Return the examples of one docstring. What is neither prose nor Python is among them, and does not compile."""
    docstring = ast.get_docstring(node) or ""
    found: list[Example] = []
    for block in BLOCK.finditer(docstring):
        if block[0].startswith("    ") or not PROSE.search(block[0]):
            line = node.body[0].lineno + docstring[: block.start()].count("\n")
            number = f"-{len(found) + 1}" if found else ""
            found.append(Example(name + number, path, line, textwrap.dedent(block[0]) + "\n"))
    return found
