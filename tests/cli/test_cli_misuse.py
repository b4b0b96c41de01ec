"""Every mistake is one line on stderr and exit code 2, before any work is done."""

import pytest

from simnet.cli.app import run

QUICK = ("--size", "1MB", "--profile", "lan", "--topology", "star")


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch):
    def ran(*_, **__):
        pytest.fail("work was begun")

    monkeypatch.setattr("simnet.study.compare.simulate", ran)
    monkeypatch.setattr("simnet.study.curves.run", ran)


def complaint(capsys, *arguments):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("simnet: ")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--topology", "rign"), "did you mean 'ring'"),
        (("--topology", "ring(0)"), "n must be at least 1"),
        (("--topology", "ring(__import__('os'))"), "write a builder's name"),
        (("--topology", "leaf_spine"), "needs arguments"),
        (("--topology", "nowhere.graphml"), "cannot read nowhere.graphml"),
        (("--topology", "nowhere.json"), "cannot read nowhere.json"),
        (("--topology", ""), "write a builder's name"),
        (("--topology", "torus(2, 2)", "--ranks", "5"), "--ranks 5: torus(2, 2) has 4 hosts"),
        (("--topology", "two\nlines"), "two\\nlines"),
        (("--topology", "ring(3, loss=1.5)"), "outside [0, 1)"),
        (("--topology", "ring(3, bandwidth='10mb')"), "could mean more than one thing"),
        (("--profile", "moblie"), "profile 'moblie' is unknown"),
        (("--profile", "none"), "bandwidth is missing"),
        (("--algorithm", "rign"), "did you mean ring?"),
        (("--algorithm", "torus"), "all_reduce by torus"),
        (("--algorithm", "binomial", "--collective", "all_to_all"), "--algorithm binomial"),
        (("--collective", "allreduce"), "did you mean all_reduce?"),
        (("--collective", "barrier"), "--collective barrier"),
        (("--size", "10mb"), "could mean more than one thing"),
        (("--size", "-1"), "size"),
        (("--size", ""), "size"),
        (("--size", "much"), "size"),
        (("--size", "1.5B"), "not a whole number"),
        (("--model", "nothing"), "write package.module:factory"),
        (("--model", "not_there_at_all:build"), "there is no module 'not_there_at_all'"),
        (("--model", "json:loads"), "the factory failed"),
        (("--model", "json:nothing"), "json has no 'nothing'"),
        (("--bucket", "loose"), "--bucket loose: one of fused, as-issued"),
        (("--transport", "tcp"), "--transport tcp: one of ideal, retransmit"),
        (("--ranks", "0"), "--ranks"),
        (("--ranks", "-3"), "--ranks"),
        (("--ranks", "many"), "--ranks"),
        (("--ranks", "1000000"), "--ranks"),
        (("--seed", "-1"), "--seed"),
        (("--seed", "1.5"), "--seed"),
        (("--json", "--csv"), "choose one"),
        (("--plot", "p.pdf"), "write .png or .svg"),
        (("--plot", "p"), "write .png or .svg"),
        (("--plot", "no/such/place/p.png"), "there is no directory no/such/place"),
        (("--colour",), "--colour"),
        (("--size",), "--size"),
        (("extra",), "extra"),
    ],
)
def test_compare(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [] if {"--size", "--model"} & set(arguments) else ["--size", "1MB"]
    assert message in complaint(capsys, "compare", *given, *arguments)
    assert not list(tmp_path.iterdir())


def test_where_a_picture_cannot_go(capsys, tmp_path):
    (tmp_path / "p.png").mkdir()
    assert "is a directory" in complaint(
        capsys, "compare", *QUICK, "--plot", str(tmp_path / "p.png")
    )
    (tmp_path / "file").write_text("")
    assert "there is no directory" in complaint(
        capsys, "compare", *QUICK, "--plot", str(tmp_path / "file" / "p.png")
    )


@pytest.mark.parametrize("name", ["bad.json", "bad.graphml"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe\x00", b"<graphml>", b"[1, 2]"])
def test_files_that_are_no_graphs(name, content, capsys, tmp_path):
    (tmp_path / name).write_bytes(content)
    message = complaint(capsys, "compare", "--size", "1MB", "-t", str(tmp_path / name))
    assert name in message or "no nodes" in message or "no hosts" in message


def test_a_graph_with_a_wrong_attribute(capsys, tmp_path):
    path = tmp_path / "g.json"
    path.write_text(
        '{"nodes": [{"id": 0}, {"id": 1}], "edges": [{"source": 0, "target": 1, "bandwith": 1}]}'
    )
    assert "bandwidth" in complaint(capsys, "compare", "--size", "1MB", "-t", str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--profile", "moblie"), "profile 'moblie' is unknown"),
        (("--strategy", "fedsgd"), "--strategy fedsgd: one of all_reduce, fedavg"),
        (("--topology", "rign"), "did you mean 'ring'"),
        (("--algorithm", "rign"), "--algorithm rign"),
        (("--step-time", "5m"), "min"),
        (("--step-time", "-1s"), "time"),
        (("--bucket", "loose"), "bucket='loose'"),
        (("--target", "0"), "target"),
        (("--target", "95"), "target"),
        (("--target", "high"), "--target"),
        (("--ranks", "0"), "--ranks"),
        (("--ranks", "5", "--topology", "torus(2, 2)"), "ranks=5"),
        (("--rounds", "0"), "--rounds"),
        (("--local-steps", "0"), "--local-steps"),
        (("--batch", "0"), "--batch"),
        (("--seed", "-1"), "--seed"),
        (("--json", "--csv"), "choose one"),
        (("--plot", "p.gif"), "write .png or .svg"),
        (("--trace", "nowhere/a"), "--trace nowhere/a: there is no directory nowhere"),
    ],
)
def test_train(arguments, message, capsys):
    assert message in complaint(capsys, "train", *arguments)


@pytest.mark.parametrize("arguments", [("compair",), ("--verbose",), ("compare", "train")])
def test_no_such_command(arguments, capsys):
    complaint(capsys, *arguments)
