"""Models have the sizes that they are known for; a user's own is found or refused in one line."""

import pytest
import torch
from torch import nn

from simnet.workload.gpt2 import GPT2
from simnet.workload.models import gpt2_small, mnist_cnn, small_cnn, tensor_sizes


@pytest.mark.parametrize(
    ("factory", "tensors", "parameters"),
    [(mnist_cnn, 20, 1_868_234), (gpt2_small, 148, 124_439_808), (small_cnn, 8, 19_578)],
)
def test_sizes(factory, tensors, parameters):
    sizes = tensor_sizes(factory)
    assert len(sizes) == tensors
    assert sum(sizes) == 4 * parameters


def test_sizes_are_in_the_order_of_the_parameters():
    # 3 × 3 kernels from 1 to 16 and 16 to 16 channels; 4 × 4 pixels of 16 channels to 64 to 10.
    elements = [9 * 16, 16, 9 * 16 * 16, 16, 16 * 16 * 64, 64, 64 * 10, 10]
    assert tensor_sizes(small_cnn) == [4 * each for each in elements]


def test_models_compute():
    assert mnist_cnn()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert small_cnn()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    model = GPT2(layers=2, width=8, heads=2, vocabulary=11, context=5)
    assert model(torch.zeros(3, 5, dtype=torch.long)).shape == (3, 5, 11)


def test_gpt2_sees_no_later_token():
    torch.manual_seed(0)
    model = GPT2(layers=2, width=8, heads=2, vocabulary=11, context=5)
    first = torch.tensor([[1, 2, 3, 4]])
    second = torch.tensor([[1, 2, 3, 9]])
    with torch.no_grad():
        logits = [model(tokens) for tokens in (first, second)]
    assert torch.allclose(logits[0][:, :3], logits[1][:, :3])
    assert not torch.allclose(logits[0][:, 3], logits[1][:, 3])


def test_text_names_a_factory_in_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        "from torch import nn\n"
        "class Zoo:\n"
        "    half = staticmethod(lambda: nn.Linear(3, 2).half())\n"
        "ready = nn.Linear(2, 2, bias=False)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert tensor_sizes("my_models:Zoo.half") == [12, 4]
    assert tensor_sizes("my_models:ready") == [16]


def test_a_class_and_a_module_will_do():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(5, dtype=torch.float64))

    assert tensor_sizes(Model) == [40]
    assert tensor_sizes(Model()) == [40]


def broken():
    raise KeyError("no such\nlayer")


def no_model():
    return [1, 2]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("resnet", ValueError, "model 'resnet': write package.module:factory"),
        (":factory", ValueError, "model ':factory': write package.module:factory"),
        ("module:", ValueError, "model 'module:': write package.module:factory"),
        ("no_such:f", ValueError, "model 'no_such:f': there is no module 'no_such'"),
        (
            "simnet.no_such:f",
            ValueError,
            "model 'simnet.no_such:f': there is no module 'simnet.no_such'",
        ),
        ("math:cnn", ValueError, "model 'math:cnn': math has no 'cnn'"),
        ("math:pi", TypeError, "model math:pi: a function that returns a torch.nn.Module"),
        ("os:getcwd", TypeError, "model os:getcwd: gave str, not a torch.nn.Module"),
        (no_model, TypeError, "model no_model: gave list, not a torch.nn.Module"),
        (
            broken,
            ValueError,
            r"model broken: the factory failed: KeyError: 'no such\nlayer'",
        ),
        (3, TypeError, "model 3: a function that returns a torch.nn.Module"),
    ],
)
def test_what_cannot_be_sized_says_why_in_one_line(text, error, message):
    with pytest.raises(error) as caught:
        tensor_sizes(text)
    assert str(caught.value) == message


def test_a_module_that_does_not_import_says_why(tmp_path, monkeypatch):
    (tmp_path / "half_done.py").write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"importing half_done failed: .* 'no_such_library'$"):
        tensor_sizes("half_done:f")


def test_a_factory_that_talks_keeps_off_stdout(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talkative.py").write_text(
        "from torch import nn\n"
        "print('imported')\n"
        "def model():\n    print('built')\n    return nn.Linear(2, 2)\n"
        "def leaves():\n    raise SystemExit(7)\n"
    )
    assert tensor_sizes("talkative:model") == [16, 8]
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="the factory failed: SystemExit: 7"):
        tensor_sizes("talkative:leaves")
