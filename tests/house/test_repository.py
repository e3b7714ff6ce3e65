"""What stands around the code: the workflow of CI, hooks, templates and the security policy are well-formed and true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOW = GITHUB / "workflows" / "ci.yml"
HOOKS = ROOT / ".pre-commit-config.yaml"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def read(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text())


def steps() -> list[dict[str, Any]]:
    """Return every step of the workflow."""
    return [step for job in read(WORKFLOW)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [*sorted(GITHUB.rglob("*.yml")), HOOKS], ids=lambda path: path.name)
def test_every_yaml_file_is_well_formed(path: Path) -> None:
    """A file with a wrong indentation would be ignored without a word."""
    assert isinstance(read(path), dict)


def test_the_workflow_runs_what_a_developer_runs() -> None:
    """CI decides by ``.ci/run``, measures coverage every week, builds the site, and runs the matrix. It knows no command of its own."""
    commands = [step["run"] for step in steps() if "run" in step]
    assert commands == [
        ".ci/run",
        "make coverage",
        "make docs",
        'make test-matrix ARGS="${{ matrix.versions }}-${{ matrix.python }}"',
    ]


def test_the_matrix_is_the_one_of_the_script() -> None:
    """Workflow, script and the classifiers of the package name the same versions of Python."""
    matrix = read(WORKFLOW)["jobs"]["matrix"]["strategy"]["matrix"]
    script = (ROOT / "scripts" / "test-matrix").read_text()
    assert f"PYTHONS = {tuple(matrix['python'])}".replace("'", '"') in script
    assert f"KINDS = {tuple(matrix['versions'])}".replace("'", '"') in script
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classifiers = [f"Programming Language :: Python :: {version}" for version in matrix["python"]]
    assert [each for each in project["classifiers"] if "Python :: 3" in each] == classifiers


def test_actions_are_pinned_and_may_change_nothing() -> None:
    """Each action has a major version or a commit. The workflow can only read, and leaves no token in the checkout."""
    actions = [step for step in steps() if "uses" in step]
    assert [step["uses"] for step in actions if not re.fullmatch(r"[\w/-]+@(v\d+|[0-9a-f]{40})", step["uses"])] == []
    assert read(WORKFLOW)["permissions"] == {"contents": "read"}
    checkouts = [step for step in actions if step["uses"].startswith("actions/checkout@")]
    assert len(checkouts) == len(read(WORKFLOW)["jobs"])
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_hooks_need_no_network() -> None:
    """Every hook is local, runs a command of the Makefile, and does not get file names, which make would not take."""
    (repository,) = read(HOOKS)["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        make, target, *_ = hook["entry"].split()
        assert (make, target in TARGETS) == ("make", True), hook
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one(path: Path) -> None:
    """GitHub shows a form only if it has these keys, and if each field has an id of its own and a label."""
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_the_changelog_has_the_usual_form() -> None:
    """As keepachangelog.com describes it: versions with a date, newest first, in these sections only."""
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d{2}-\d{2})", version) for version in versions[1:]]
    assert all(dated)
    assert [match.groups() for match in dated if match] == sorted(
        (match.groups() for match in dated if match), reverse=True
    )
    sections = set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert not re.search(r"^#{4,} ", text, flags=re.MULTILINE)


def test_the_security_policy_names_no_address() -> None:
    """A report goes through the repository's page, so that no mailbox has to exist."""
    policy = (ROOT / "SECURITY.md").read_text()
    assert "Report a vulnerability" in policy
    assert not re.search(r"[\w.]+@[\w.]+|https?://", policy)
    for page in re.findall(r"\]\(([^)]+)\)", policy):
        assert (ROOT / page).is_file()
