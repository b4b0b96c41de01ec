"""Recordings: what they hold, how they are kept on disk, and what a damaged one says."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist

import simnet
import topologies

STAR = simnet.Network(topologies.star(3, bandwidth="1MB/s", latency="10ms"))


def train(rank, world_size):
    group = dist.new_group([0, 2])
    simnet.compute(0.1 * (rank + 1))
    work = dist.all_reduce(torch.ones(10, 3), async_op=True)
    simnet.compute("50ms")
    work.wait()
    if rank != 1:
        dist.broadcast(torch.ones(5), src=2, group=group)
    if rank == 0:
        dist.send(torch.ones(4, dtype=torch.float64), 1, tag=7)
    if rank == 1:
        dist.recv(torch.ones(4, dtype=torch.float64), 0, tag=7)


@pytest.fixture(scope="module")
def run():
    return simnet.run(train, STAR, seed=5, algorithm="ring", quiet=True)


@pytest.fixture
def path(run, tmp_path):
    path = tmp_path / "step.parquet"
    run.trace.save(path)
    return path


def test_a_trace_says_what_each_rank_did(run):
    actions = [entry.action for entry in run.trace.entries[0]]
    assert actions == [
        "compute", "issue", "compute", "wait", "issue", "wait", "issue", "wait", "end",
    ]  # fmt: skip
    first = run.trace.calls[1][0]
    assert (first.kind, first.shape, first.dtype, first.size) == (
        "all_reduce", (10, 3), "float32", 120,
    )  # fmt: skip
    assert first.algorithm == "ring"
    assert first.where.rpartition(":")[0].endswith("test_traces.py")
    message = run.trace.calls[1][1]
    assert (message.kind, message.peer, message.tag, message.size) == ("recv", 0, 7, 32)
    assert run.trace.calls[2][1].ranks == (0, 2)
    assert not run.trace.approximate


def test_a_file_gives_back_the_same_trace(run, path):
    loaded = simnet.Trace.load(path)
    assert loaded == run.trace
    assert repr(loaded) == repr(run.trace) == f"<Trace of 3 ranks: 7 calls, {run.time:.9g} s>"


def test_the_file_is_parquet_with_a_json_header(path):
    header = json.loads(pq.read_schema(path).metadata[b"simnet"])
    assert (header["format"], header["ranks"], header["seed"]) == (1, 3, 5)
    assert header["version"] == simnet.__version__
    table = pq.read_table(path)
    assert set(table["action"].to_pylist()) == {"compute", "issue", "wait", "end"}


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        simnet.Trace.load(tmp_path / "none.parquet")


@pytest.mark.parametrize("text", [b"", b"PAR1", b"\x80\x04", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path, text):
    path = tmp_path / "bad.parquet"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"^trace .*bad\.parquet: not a Parquet file"):
        simnet.Trace.load(path)


def rewritten(path, change):
    table = change(pq.read_table(path))
    pq.write_table(table, path)


def with_header(table, **changes):
    header = json.loads(table.schema.metadata[b"simnet"]) | changes
    return table.replace_schema_metadata({b"simnet": json.dumps(header).encode()})


def replaced(table, name, values):
    column = pa.array(values, type=table.schema.field(name).type)
    return table.set_column(table.schema.get_field_index(name), name, column)


DAMAGES = {
    "it has no header": lambda t: t.replace_schema_metadata({}),
    "its header names 1 hosts for 3 ranks": lambda t: with_header(t, hosts=[0]),
    "its format is not 1": lambda t: with_header(t, format=2),
    "unexpected keyword": lambda t: with_header(t, more=1),
    "column peer is missing": lambda t: t.drop_columns(["peer"]),
    "the deeds of rank 2 do not end": lambda t: t.slice(0, len(t) - 1),
    "a row of rank 7, but there are 3": lambda t: replaced(t, "rank", [7] * len(t)),
    "unknown action": lambda t: replaced(t, "action", ["dance", *t["action"].to_pylist()[1:]]),
    "a wait for nothing was interrupted": lambda t: replaced(
        t,
        "action",
        ["interrupt" if each == "compute" else each for each in t["action"].to_pylist()],
    ),
    "waits for a call that it has not made": lambda t: replaced(
        t,
        "tickets",
        [
            [9] if action == "wait" else numbers
            for action, numbers in zip(
                t["action"].to_pylist(), t["tickets"].to_pylist(), strict=True
            )
        ],
    ),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_trace_says_what_is_wrong_in_one_line(path, words):
    rewritten(path, DAMAGES[words])
    with pytest.raises(ValueError, match=words) as caught:
        simnet.Trace.load(path)
    assert "\n" not in str(caught.value)
