"""The check of the pages' commands, on a repository of one page and on the pages themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import docs_check
import pytest
from docs_check import PAGES, PageError, check_page, names_needed, read_commands

ROOT = Path(__file__).parents[1]
PAGE = """# Page

```sh
# a remark
echo first \\
  line > note.txt
cat note.txt && grep -q 'first line' note.txt
```

<!-- docs-check: skip, needs a GPU -->
```sh
touch skipped.txt
```

<!-- docs-check: slow, takes hours -->
```sh
test ! -e skipped.txt && echo slow
```

```python
no command
```

```sh
echo what it says; exit 3
python -c "import sys; print(sys.executable)"
```
"""


@pytest.fixture
def repository(tmp_path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "PAGE.md").write_text(PAGE)
    for words in (["init", "-q"], ["add", "PAGE.md"], ["commit", "-q", "-m", "page"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b.c", *words], cwd=root, check=True)
    return root


def test_commands_are_read_as_they_stand():
    commands = read_commands(PAGE, "PAGE.md")
    assert [command.kind for command in commands] == ["run", "run", "skip", "slow", "run", "run"]
    assert commands[0].text == "echo first \\\n  line > note.txt"
    assert (commands[2].text, commands[2].reason) == ("touch skipped.txt", "needs a GPU")


def test_failing_command_is_named_with_its_output_and_the_others_run(repository, capsys):
    assert check_page("PAGE.md", repository) == ["echo what it says; exit 3"]
    printed = capsys.readouterr().out
    verdicts = [line.split(" s  ")[0].split()[:2] for line in printed.splitlines() if " s  " in line]
    assert [verdict[0] for verdict in verdicts] == ["ok", "ok", "exit", "ok"]
    assert "\nwhat it says\n" in printed  # beside the command itself
    assert "touch skipped.txt\n                 (needs a GPU)" in printed and "(takes hours)" in printed
    assert [path.name for path in repository.iterdir() if path.name != ".git"] == ["PAGE.md"]


def test_slow_blocks_run_with_all(repository, capsys):
    check_page("PAGE.md", repository, everything=True)
    printed = capsys.readouterr().out
    assert "(takes hours)" not in printed and "(needs a GPU)" in printed


def test_python_of_the_pages_is_this_one(repository, capsys):
    page = repository / "PAGE.md"
    page.write_text(f"```sh\ntest \"$(python -c 'import sys; print(sys.executable)')\" = {sys.executable}\n```\n")
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qam", "python"], cwd=repository, check=True
    )
    assert check_page("PAGE.md", repository) == []


def test_page_that_is_not_committed_is_refused(repository):
    (repository / "NEW.md").write_text(PAGE)
    with pytest.raises(PageError, match="NEW.md: not in a fresh clone"):
        check_page("NEW.md", repository)


@pytest.mark.parametrize(
    "mark", ["<!-- docs-check: skip -->", "<!-- docs-check: never, why -->", "<!-- docs-check: skip, why -->\n"]
)
def test_comment_that_would_skip_nothing_is_refused(mark):
    with pytest.raises(PageError, match="PAGE.md: 1 docs-check comments, 0 of them understood"):
        read_commands(f"{mark}\n```sh\nls\n```\n", "PAGE.md")


@pytest.mark.parametrize("text, message", [("ls DATA", "nothing stands for DATA"), ("cd models", "lost on the next")])
def test_command_that_cannot_run_as_it_stands_is_refused(text, message):
    with pytest.raises(PageError, match=message):
        names_needed(read_commands(f"```sh\n{text}\n```\n", "PAGE.md"), "PAGE.md")


def test_names_are_found_in_options_and_paths():
    commands = read_commands("```sh\na --dataset_dir=DIR --adapter OUT/adapter.pt $HOME INT8 x/DIR\n```\n", "PAGE.md")
    assert names_needed(commands, "PAGE.md") == ["DIR", "OUT"]


@pytest.mark.parametrize("page", PAGES)
def test_everything_that_the_pages_name_can_be_given(page):
    commands = read_commands((ROOT / page).read_text(), page)
    assert set(names_needed(commands, page)) <= set(docs_check.GIVEN)
    assert any(command.kind == "run" for command in commands)
