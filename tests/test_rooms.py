"""Data flow one way: a room imports only rooms before it, and `import simnet` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "topologies",
    "simnet.version",
    "simnet.seeds",
    "simnet.arrays",
    "simnet.units",
    "simnet.progress",
    "simnet.conditions",
    "simnet.graph_check",
    "simnet.links",
    "simnet.searches",
    "simnet.routing",
    "simnet.network",
    "simnet.scenarios",
    "simnet.collectives",
    "simnet.transport",
    "simnet.engine",
    "simnet.report",
    "simnet.simulation",
    "simnet.many",
    "simnet.testing",
    "simnet.ranks",
    "simnet.guide",
    "simnet.workload",
    "simnet.distributed",
    "simnet.study",
    "simnet.cli",
)
LIGHT_ROOMS = ROOMS[: ROOMS.index("simnet.workload")]
HEAVY = ("torch", "pandas", "matplotlib", "pyarrow", "typer", "rich")
FOUND_BY = {
    "torch": ("simnet.workload", "simnet.distributed", "simnet.study"),
    "simpy": ("simnet.engine", "simnet.simulation", "simnet.ranks", "simnet.study"),
    "matplotlib": ("simnet.report",),
}


def files():
    return sorted([*ROOT.glob("simnet/**/*.py"), *ROOT.glob("topologies/**/*.py")])


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    found = [room for room in ROOMS if module == room or module.startswith(room + ".")]
    return max(found, key=len) if found else None


def imports(path, *, top_level_only=False):
    """Modules that a file imports, at run time (not under TYPE_CHECKING)."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped.update(map(id, ast.walk(node)))
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            skipped.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_a_room_imports_only_rooms_before_it(path):
    module = module_of(path)
    if module == "simnet":
        return
    room = room_of(module)
    assert room is not None, f"{module} belongs to no room"
    for name in imports(path):
        other = room_of(name)
        if other is not None:
            assert ROOMS.index(other) <= ROOMS.index(room), f"{module} imports {name}"


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_only_these_rooms_know(path):
    module = module_of(path)
    for name in imports(path):
        package = name.split(".")[0]
        if package in FOUND_BY:
            assert room_of(module) in FOUND_BY[package], f"{module} imports {name}"


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_light_rooms_import_heavy_packages_only_when_used(path):
    if room_of(module_of(path)) in LIGHT_ROOMS or module_of(path) == "simnet":
        loaded = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert not loaded & set(HEAVY)


def loaded_by(statement):
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_import_simnet_loads_nothing_but_itself():
    packages = loaded_by("import simnet") - sys.stdlib_module_names
    assert {name for name in packages if not name.startswith("__")} == {"simnet"}


def test_a_simulation_loads_no_heavy_package():
    packages = loaded_by(
        "import simnet, topologies; "
        "net = simnet.Network(topologies.ring(4, bandwidth='1Gbit/s')); "
        "simnet.simulate(net, simnet.collectives.all_reduce('1MB')).to_dict()"
    )
    assert not packages & set(HEAVY)


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_files_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 400
