"""Files and functions stay small enough to be read at one sitting."""

import ast

import pytest

from house import ROOT, parse, place, sources

FILE_LINES = 600
FUNCTION_LINES = 70


def test_no_file_is_longer_than_600_lines():
    wrong = []
    for folder in ("cpp", "python", "tests", "bench"):
        for path in sources(ROOT / folder, ".h", ".cpp", ".py", ".pyi"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > FILE_LINES:
                wrong.append(f"{place(path)}: {lines} lines")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["python", "tests", "bench", "scripts"])
def test_no_python_function_is_longer_than_70_lines(folder):
    wrong = []
    for path in sources(ROOT / folder, ".py"):
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                wrong.append(f"{place(path, node.lineno)}: {node.name} has {lines} lines")
    assert not wrong, "\n".join(wrong)
