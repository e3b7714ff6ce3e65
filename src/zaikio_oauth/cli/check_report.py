"""``zaikio-oauth check``: everything that can be wrong, in one table, and how to fix it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zaikio_oauth.cli.database_check import check_database
from zaikio_oauth.cli.exit_status import Failed, printable
from zaikio_oauth.cli.finding import Finding, Status
from zaikio_oauth.cli.hub_check import check_hub
from zaikio_oauth.cli.progress import progress
from zaikio_oauth.cli.settings_check import read_settings

__all__ = ["check"]

STYLES: dict[Status, str] = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
STATUS_WIDTH = max(map(len, STYLES))

NARROW = 60
"""In a terminal with fewer columns, what was found is shown below its name."""


async def check(*, as_json: bool) -> None:
    """Print every finding; raises Failed if something failed, whatever else is right."""
    with progress("Checking", as_json=as_json):
        readable = read_settings()
        of_database, of_hub = await asyncio.gather(check_database(readable), check_hub(readable))
    findings = [_shown(each) for each in (*readable.findings, *of_database, *of_hub)]
    failed = [each for each in findings if each.status == "failed"]
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "checks": [each._asdict() for each in findings]}))
    else:
        _print(findings)
    if failed:
        raise Failed(_complaint(failed))


def _shown(finding: Finding) -> Finding:
    # What comes from outside must neither move the cursor nor break the line.
    return finding._replace(found=printable(finding.found), remedy=finding.remedy and printable(finding.remedy))


def _print(findings: Sequence[Finding]) -> None:
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        typer.echo("\n".join([*map(_line, findings), _summary(findings)]))
        return
    # Without colours it is the arrow that tells what was found from what to do.
    arrow = "->" if console.options.ascii_only else "→"
    console.print((_stacked if console.width < NARROW else _table)(findings, arrow))
    console.print(Text(f"\n{_summary(findings)}"))


def _line(finding: Finding) -> str:
    """Return a finding in one line, which can be searched for."""
    remedy = f". {finding.remedy}" if finding.remedy else ""
    return f"{finding.status:{STATUS_WIDTH}}  {finding.name:{NAME_WIDTH}}  {finding.found}{remedy}"


NAME_WIDTH = len("encryption keys")


def _table(findings: Iterable[Finding], arrow: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for finding in findings:
        table.add_row(_status(finding), finding.name, _text(finding, arrow))
    return table


def _stacked(findings: Iterable[Finding], arrow: str) -> Group:
    rows: list[RenderableType] = []
    for finding in findings:
        head = Text.assemble(_status(finding), " " * (STATUS_WIDTH + 2 - len(finding.status)), finding.name)
        rows += [head, Padding(_text(finding, arrow), (0, 0, 0, 2), expand=False)]
    return Group(*rows)


def _status(finding: Finding) -> Text:
    return Text(finding.status, STYLES[finding.status])


def _text(finding: Finding, arrow: str) -> Text:
    text = Text(finding.found, "dim" if finding.status == "skipped" else "")
    return text.append(f"\n{arrow} {finding.remedy}", "bold") if finding.remedy else text


def _summary(findings: Iterable[Finding]) -> str:
    counted = Counter(finding.status for finding in findings)
    words = {status: f"{counted[status]} {status}" for status in STYLES if counted[status]}
    if counted["warning"] > 1:
        words["warning"] += "s"
    return ", ".join(words.values())


def _complaint(failed: Sequence[Finding]) -> str:
    """Return the line on stderr: short below a table, complete where it may be all that anybody reads."""
    number = "1 check" if len(failed) == 1 else f"{len(failed)} checks"
    if sys.stdout.isatty():
        return f"{number} failed"
    details = "; ".join(f"{each.name}: {each.found}. {each.remedy or ''}".strip(". ") for each in failed)
    return f"{number} failed: {details}"
