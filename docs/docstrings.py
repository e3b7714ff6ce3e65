"""Turns the docstrings of the library, which are plain text, into what Sphinx understands.

A docstring has paragraphs, explanations such as ``name``: …, sentences that begin with "Raises", and examples.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

from docutils.nodes import Element, reference
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import stringify_signature

import zaikio_oauth
import zaikio_oauth.testing

__all__ = ["as_restructuredtext", "setup"]

PUBLIC = {
    name: f"{module.__name__}.{name}" for module in (zaikio_oauth.testing, zaikio_oauth) for name in module.__all__
}

# "``a``: …", "``a``, ``b`` and ``c``: …"; what is in the double backticks of a value is no name.
_NAMED = re.compile(r"(?:^|(?<=[.;:] ))((?:``\w+(?:\([\w, ]*\))?``(?:, | and )?)+): (?=\S)")
_RAISES = re.compile(r"(?:^|(?<=[.] ))Raises (?=\S)")
_LITERAL = re.compile(r"``([^`]+)``")
_CLASS = re.compile(r"(?<![\w`.~])([A-Z]\w+[a-z][A-Z]\w+)\b(?![`(]|\.\w)")


def as_restructuredtext(text: str, own_name: str = "") -> str:
    """Return a docstring as reStructuredText. What has ``own_name`` does not link to itself."""
    parts = [_example(block) or _paragraph(block, own_name) for block in _blocks(text)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _blocks(text: str) -> Iterator[str]:
    """Yield paragraphs and examples; an example may contain blank lines."""
    example: list[str] = []
    for block in re.split(r"\n[ \t]*\n", text.strip("\n")):
        if block.startswith("    "):
            example.append(block)
            continue
        if example:
            yield "\n\n".join(example)
            example = []
        yield block
    if example:
        yield "\n\n".join(example)


def _example(block: str) -> str | None:
    indented = block.startswith("    ")
    # An example that is all that follows the first line is not indented, because the formatter takes it for text.
    if not indented and not _is_python(block):
        return None
    lines = block.splitlines()
    shown = "\n".join(line if indented or not line else f"    {line}" for line in lines)
    return f".. code-block:: python\n\n{shown}"


def _is_python(block: str) -> bool:
    try:
        ast.parse(block)
    except SyntaxError:
        return False
    return True


def _paragraph(block: str, own_name: str) -> str:
    text = " ".join(line.strip() for line in block.splitlines())
    text, raises = _split(_RAISES, text)
    explanations = list(_NAMED.finditer(text))
    before = text[: explanations[0].start()] if explanations else text
    fields = []
    for position, match in enumerate(explanations):
        end = explanations[position + 1].start() if position + 1 < len(explanations) else len(text)
        meaning = _capitalized(_linked(text[match.end() : end].strip(), own_name))
        fields += [f":param {name.partition('(')[0]}: {meaning}" for name in _LITERAL.findall(match[1])]
    if raises:
        fields.append(f":Raises: {_linked(raises, own_name)}")
    shown = [_linked(before.strip(), own_name)] if before.strip() else []
    return "\n\n".join([*shown, "\n".join(fields)] if fields else shown)


def _split(pattern: re.Pattern[str], text: str) -> tuple[str, str]:
    match = pattern.search(text)
    return (text[: match.start()].strip(), text[match.end() :]) if match else (text, "")


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _linked(text: str, own_name: str) -> str:
    """Return a text in which the public names are links."""

    def link(match: re.Match[str]) -> str:
        name = match[1]
        return f":py:obj:`~{PUBLIC[name]}`" if name in PUBLIC and name != own_name else match[0]

    # Whole literals first, so that nothing inside of one becomes a link.
    return "".join(
        _LITERAL.sub(link, part) if part.startswith("``") else _CLASS.sub(link, part)
        for part in re.split(r"(``[^`]+``)", text)
    )


def _process(_app: Sphinx, _what: str, name: str, _object: object, _options: Any, lines: list[str]) -> None:
    lines[:] = as_restructuredtext("\n".join(lines), name.rpartition(".")[2]).splitlines()


def _signature(_app: Sphinx, _what: str, _name: str, documented: Any, *_more: Any) -> tuple[str, str] | None:
    """Return the arguments of a model without how their values are validated."""
    if not (inspect.isclass(documented) and "__pydantic_fields__" in vars(documented)):
        return None
    signature, plain = inspect.signature(documented), get_type_hints(documented)
    arguments = [each.replace(annotation=plain.get(each.name, Any)) for each in signature.parameters.values()]
    return stringify_signature(signature.replace(parameters=arguments), unqualified_typehints=True), ""


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element) -> reference | None:
    """Resolve the name of a module of ours, as annotations have it, to the public one."""
    target = PUBLIC.get(str(node.get("reftarget", "")).rpartition(".")[2])
    if target is None or node.get("reftarget") == target:
        return None
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)  # type: ignore[return-value]


def setup(app: Sphinx) -> None:
    """Connect to autodoc."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _resolve)
