"""Writes docs/bad_inputs.md: ``python tests/bad_inputs_page.py`` runs every row of bad_inputs.yaml."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Bad inputs and what is said

One row a case of `tests/bad_inputs.yaml`, with the message in full; `...` stands for a folder. What follows `done` are
quality flags. Written by `python tests/bad_inputs_page.py`.
"""
TITLES = {
    "films": "Films in a folder",
    "data": "Data sets with masks",
    "folders": "Folders, boxes and tables",
    "weights": "Weights and artefacts",
    "settings": "Settings that the parts refuse",
    "prepare": "Published data sets to prepare",
    "typed": "What is typed",
}


def said(message: str, folder: Path) -> str:
    """`message` without what differs from run to run, as a cell of a table."""
    message = message.replace(str(folder), "...").replace(f"{ROOT}/", "").replace("|", "\\|")
    message = re.sub(r"_[0-9a-f]{12}(?=\.png)", "_...", message)
    return re.sub(r"(\w)\1{40,}", r"\1\1\1...", message)


def write_page() -> None:
    """Run every row and write what was said."""
    import test_bad_inputs as bad

    from scripts.errors import BundleError
    from scripts.settings import check_command

    lines = [HEAD]
    for group, table in bad.TABLE.items():
        lines += [f"\n## {TITLES[group]}\n", "| input | what is said |", "| --- | --- |"]
        with tempfile.TemporaryDirectory() as top:
            results = bad.segmented(Path(top))["results"] if group == "films" else {}
            for number, row in enumerate(table):
                folder = Path(top) / str(number)
                folder.mkdir(mode=0o777)
                Path(top).chmod(0o777)
                folder.chmod(0o777)
                if group == "films":
                    result = results.get(row.get("shows", bad.file_name(row)), {"status": "not listed, read once"})
                    flags = (result.get("flags") or "").replace(";", ", ")
                    message = result.get("message") or ": ".join(filter(None, [result["status"], flags]))
                    message = said(message, Path(top) / "films")
                elif group == "typed":
                    sys.argv = ["/site-packages/monai/bundle/__main__.py", *bad.words_of(row, folder)]
                    try:
                        check_command()
                        message = "done"
                    except BundleError as error:
                        message = said(str(error), folder)
                elif row.get("shell") == "only":
                    message = said(bad.error_line(bad.ended(row, folder)), folder)
                else:
                    message = said(bad.message_of(row, folder), folder)
                lines.append(f"| {row['name']} | {message} |")
            subprocess.run(["chmod", "-R", "u+rwx", top], check=True)
    (ROOT / "docs" / "bad_inputs.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    write_page()
