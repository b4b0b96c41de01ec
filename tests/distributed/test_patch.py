"""The guide's own names: a program patched in each of the possible places."""

import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import leftovers
import pytest
import torch
import torch.distributed as dist

import simnet
import topologies
from simnet import NetworkSimulator, NetworkTopology, patch_distributed_functions
from simnet.distributed import siblings
from simnet.distributed.patched import plan_for

SCRIPTS = Path(__file__).parent / "scripts"
PLACES = ("before", "after", "parent")
SIM = NetworkSimulator(bandwidth_range=(1, 1), delay_range=(0.1, 0.1))


@pytest.fixture(scope="module")
def patches():
    sys.path.insert(0, str(SCRIPTS))
    import patches

    sys.path.remove(str(SCRIPTS))
    return patches


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the guide's program says in each place, what is on stderr, and what mark it had."""
    folder = tmp_path_factory.mktemp("patches")
    places = ("gloo", *PLACES, "stuck")
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "patches.py"), str(folder), *places],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {leftovers.MARK: folder.name},
    )
    assert done.returncode == 0, done.stderr
    said = {place: json.loads((folder / f"{place}.json").read_text()) for place in places}
    return said | {"stderr": done.stderr, "mark": folder.name}


@pytest.fixture(scope="module")
def run(patches):
    """The same program by simnet.run on the same network."""

    def train(rank, world_size):
        return patches.fedavg(rank, world_size), patches.SIM.virtual_time

    return simnet.run(train, patches.SIM.network(3, patches.TOPOLOGY), quiet=True)


# The guide's program


@pytest.mark.parametrize("place", PLACES)
def test_parameters_are_those_of_gloo(place, told):
    for got, real in zip(told[place]["ranks"], told["gloo"]["ranks"], strict=True):
        assert (real["backend"], got["backend"]) == ("gloo", "simnet")
        for one, other in zip(got["trained"], real["trained"], strict=True):
            torch.testing.assert_close(torch.tensor(one), torch.tensor(other))


@pytest.mark.parametrize("place", PLACES)
def test_times_are_those_of_simnet_run(place, told, run):
    assert run.network.seed == 0
    expected = [(trained, time) for trained, time in run.results]
    assert [(rank["trained"], rank["time"]) for rank in told[place]["ranks"]] == expected


def test_the_parent_is_told_when_its_ranks_have_ended(told, run):
    assert told["parent"]["times"] == [run.time] * 3  # before undo, after it, and the Run


def test_the_group_that_was_set_aside_comes_back_and_works(told):
    ranks = told["after"]["ranks"]
    assert [rank["again"] for rank in ranks] == [["gloo", 3.0]] * 3
    assert [len(rank["warned"]) for rank in ranks] == [1, 1, 0]
    assert "1 process groups beside the default one stay real" in ranks[0]["warned"][0]


def test_a_deadlock_is_said_where_no_rank_could(told):
    assert told["stuck"]["times"] == [0.0, 0.0]
    assert "simnet: deadlock at virtual time 0 s: rank 0 waits in recv" in told["stderr"]


def test_it_is_said_what_carries_the_calls(told):
    said = "simnet: init_process_group('gloo'): simnet's network carries it instead"
    assert said in told["stderr"]
    assert "ResourceWarning" not in told["stderr"]
    assert "Exception ignored" not in told["stderr"]


def test_nothing_is_left(told):
    leftovers.eventually(lambda: leftovers.marked(told["mark"]) == [])
    folders = {rank["folder"] for place in PLACES for rank in told[place]["ranks"]}
    assert len(folders) == 3
    assert not any(map(os.path.exists, folders))


# Processes


def test_a_spawned_process_that_patches_again_is_adopted_already():
    # One message of 1 MiB at 1 MiB/s, 0.1 s away.
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "patched_again.py")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "1.1\n"), done.stderr


def test_siblings_find_each_other_and_end_together():
    mark = "siblings"
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPTS / "sibling.py")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | about | {"RANK": str(rank), leftovers.MARK: mark},
        )
        for rank in range(2)
    ]
    outs, errs = zip(*(process.communicate() for process in processes), strict=True)
    folders = {out.split()[2] for out in outs}
    assert [out.split()[:2] for out in outs] == [["0", "1.1"], ["1", "1.1"]], errs
    assert [process.returncode for process in processes] == [1, 1]
    assert errs[0].endswith("simnet: the run has ended, and this rank with it\n")
    assert "KeyError: 'on purpose'" in errs[1]
    assert len(folders) == 1
    leftovers.eventually(lambda: leftovers.marked(mark) == [])
    assert not os.path.exists(folders.pop())


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_what_a_crashed_job_has_left_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(siblings, "MEET_S", 0.0)
    store = dist.HashStore()
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "key").write_bytes(b"key")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "run"))
    store.set("meeting", str(folder / "run"))
    with pytest.raises(RuntimeError, match=r"^init_process_group: rank 1 has not met .* nothing"):
        siblings._look_up(store, "meeting", 1)
    with listener:
        listener.listen()
        assert siblings._look_up(store, "meeting", 1).key == b"key"
        folder.chmod(0o750)
        with pytest.raises(PermissionError, match=r"private is not this user's alone"):
            siblings._look_up(store, "meeting", 1)
    with pytest.raises(RuntimeError, match=r"rank 1 has not met the others: no word of rank 0"):
        siblings._look_up(store, "nowhere", 1)


# One process


def test_a_single_process_just_works_and_is_as_before():
    dist.distributed_c10d._default_pg_init_method = None  # as torch leaves it, whoever came before
    before = leftovers.caller_state()
    with leftovers.nothing_left():
        undo = patch_distributed_functions(SIM)
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        assert dist.get_backend() == "simnet"
        simnet.compute(0.5)
        dist.barrier()
        assert SIM.virtual_time == 0.5
        with pytest.raises(RuntimeError, match="a rank on another simulator's network"):
            patch_distributed_functions(SIM, NetworkTopology(2))
        undo()
        undo()
        assert SIM.virtual_time == 0.5
        assert leftovers.caller_state() == before


def test_a_patch_gives_way_to_the_next():
    before = leftovers.caller_state()
    first = patch_distributed_functions(SIM)
    second = patch_distributed_functions(SIM, NetworkTopology(2))
    first()
    net = simnet.Network(topologies.star(2, bandwidth="1MB/s", latency="10ms"))
    run = simnet.run(lambda rank, world_size: dist.get_backend(), net, quiet=True)
    assert run.results == ("simnet", "simnet")
    second()
    assert leftovers.caller_state() == before


def test_ranks_of_simnet_run_keep_their_network():
    def train(rank, world_size):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            undo = patch_distributed_functions(SIM)
        dist.all_reduce(torch.ones(1))
        return str(caught[0].message), undo(), SIM.virtual_time

    net = simnet.Network(topologies.star(2, bandwidth="1MB/s", latency="10ms"))
    run = simnet.run(train, net, quiet=True)
    for said, undone, time in run.results:
        assert said.startswith("patch_distributed_functions: nothing to do, simnet's network ")
        assert undone == ()
        assert time == run.time


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("slow",), TypeError, "sim='slow': a simnet.NetworkSimulator"),
        ((SIM, "ring"), TypeError, "topology='ring': a NetworkTopology, a networkx graph or a"),
    ],
)
def test_misuse(arguments, error, said):
    with pytest.raises(error, match=f"^{said}"):
        patch_distributed_functions(*arguments)


def test_a_world_too_large_for_the_topology_is_refused():
    with pytest.raises(ValueError, match=r"^num_ranks=3: the topology has 2 hosts$"):
        plan_for(SIM, NetworkTopology(2), 3)


@pytest.mark.parametrize(("number", "world_size"), [(1, 1), (-2, 3), (3, 3)])
def test_a_rank_that_is_none_is_refused(number, world_size):
    with (
        pytest.raises(ValueError, match=rf"^init_process_group: rank={number}, but ranks are 0 to"),
        siblings.met(number, world_size, {}, None),
    ):
        pass
