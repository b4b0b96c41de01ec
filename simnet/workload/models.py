"""Models of known size, and the sizes of what they communicate.

Torch is imported when a model is built, not before. Built under ``torch.device("meta")`` a model
has shapes and no memory, which is all that sizes need.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def mnist_cnn() -> nn.Module:
    """The convolutional network for 28 × 28 MNIST images that ExoGym's example trains.

    Two blocks of two 3 × 3 convolutions with batch norm (64 and 128 channels), each halved by a
    max pool, then 256 hidden units: 1,868,234 parameters in 20 tensors (7,472,936 bytes of fp32).

    References
    ----------
    https://github.com/exo-explore/gym, example/mnist.py, commit 9fa323c.
    """
    from torch import nn

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        """Two convolutions, and half the side length."""
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU()]
        return [*layers, nn.MaxPool2d(2), nn.Dropout2d(0.25)]

    head = [nn.Flatten(), nn.Linear(128 * 7 * 7, 256), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*block(1, 64), *block(64, 128), *head, nn.Linear(256, 10))


def gpt2_small() -> nn.Module:
    """GPT-2 small: 12 layers, width 768, 12 heads, the token embedding tied to the output.

    124,439,808 parameters in 148 tensors.

    References
    ----------
    A. Radford et al., *Language Models are Unsupervised Multitask Learners*, OpenAI, 2019 (which
    calls it 117M); sizes as in https://github.com/openai/gpt-2.
    """
    from simnet.workload.gpt2 import GPT2

    return GPT2()


def small_cnn() -> nn.Module:
    """A small convolutional network for 8 × 8 digits: 19,578 parameters in 8 tensors.

    No dropout and no batch norm: what it learns depends on parameters and data alone.
    """
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def tensor_sizes(model: str | Callable[[], nn.Module] | nn.Module) -> list[int]:
    """Bytes of each parameter tensor of a model, in the order of ``model.parameters()``.

    Parameters
    ----------
    model : str, callable or torch.nn.Module
        A factory (a function without arguments, or a class), called on the meta device, so that
        no memory is needed; text ``"package.module:factory"`` names one, looked for in the
        current directory too. A module is taken as it is. What it prints goes to stderr.

    Returns
    -------
    list of int
        Bytes a tensor; tied tensors count once.

    Raises
    ------
    ValueError
        If the text names nothing, or the factory fails.
    TypeError
        If what it names or returns is no ``torch.nn.Module``.
    """
    import torch
    from torch import nn

    where = model if isinstance(model, str) else getattr(model, "__name__", repr(model))
    found = _resolve(model) if isinstance(model, str) else model
    if not isinstance(found, nn.Module):
        if not callable(found):
            raise TypeError(f"model {where!s:.80}: a function that returns a torch.nn.Module")
        try:
            with torch.device("meta"), redirect_stdout(sys.stderr):
                found = found()
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"model {where}: the factory failed: {type(error).__name__}: {_first_line(error)}"
            ) from error
    if not isinstance(found, nn.Module):
        raise TypeError(f"model {where}: gave {type(found).__name__}, not a torch.nn.Module")
    return [parameter.numel() * parameter.element_size() for parameter in found.parameters()]


def _resolve(text: str) -> Any:
    """What ``package.module:factory`` names."""
    module_name, colon, path = text.partition(":")
    if not (module_name and colon and path):
        raise ValueError(f"model {text!r}: write package.module:factory")
    try:
        with _current_directory_importable(), redirect_stdout(sys.stderr):
            found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and _is_part_of(error.name, module_name):
            raise ValueError(f"model {text!r}: there is no module {error.name!r}") from None
        raise ValueError(
            f"model {text!r}: importing {module_name} failed: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ValueError(f"model {text!r}: {module_name} has no {path!r}")
        found = getattr(found, name)
    return found


def _is_part_of(missing: str | None, module_name: str) -> bool:
    """Whether what was not found is the module asked for or one of its packages."""
    return missing is not None and f"{module_name}.".startswith(f"{missing}.")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def _current_directory_importable() -> Iterator[None]:
    """Let imports find the user's own files, as ``python -m`` does, for a moment."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)
