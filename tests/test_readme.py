"""What the README shows is tried, not assumed."""

import re
import subprocess
import sys
from pathlib import Path

import simnet

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_examples_run_one_after_the_other(tmp_path):
    program = tmp_path / "readme.py"
    text = "\n".join(blocks("python"))
    assert "10_000" in text
    if simnet.kernel() == "reference":  # which takes as long for a few as the kernel for all
        text = text.replace("10_000", "10")
    program.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "% of the best possible here" in done.stdout
    assert (tmp_path / "links.png").stat().st_size > 10_000


def test_the_first_block_is_the_two_commands():
    commands = blocks("sh")[0].splitlines()
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/simnet train",
        ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
    ]


def test_its_pictures_are_there():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (Path(__file__).parents[1] / picture).is_file(), picture
