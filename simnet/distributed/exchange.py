"""The data plane: whose tensors get what, and when they can; knows nothing of the network.

Tensors move in wall time, as soon as the ranks whose data are needed have made their calls. When
a rank goes on is decided by the network alone; it copies what it got when it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from simnet.ranks.call import Call
from simnet.ranks.data import Alone

Tensors = Sequence[Tensor]


class Gathered:
    """Everybody's data are complete when the last rank has come.

    Until then a rank's own list of tensors is held, not a copy: see `SimWork`, which puts copies
    in it when the rank goes on early.

    Parameters
    ----------
    size : int
        Ranks of the group.
    combine : callable
        ``combine(inputs)`` makes each position's outputs of all positions' inputs. Called when
        the last rank has come: nobody can have gone on and changed its tensors before.
    """

    def __init__(
        self, size: int, combine: Callable[[Sequence[Tensors]], Sequence[Tensors]]
    ) -> None:
        self._inputs: list[Tensors | None] = [None] * size
        self._missing = size
        self._combine = combine
        self._outputs: Sequence[Tensors] = ()

    def join(self, position: int, tensors: Tensors) -> Sequence[int]:
        """Take in a rank's tensors; the last one to come completes all."""
        self._inputs[position] = tensors
        self._missing -= 1
        if self._missing:
            return ()
        inputs = [given for given in self._inputs if given is not None]
        self._inputs = []
        with torch.no_grad():
            self._outputs = self._combine(inputs)
        return range(len(inputs))

    def outputs(self, position: int) -> Tensors:
        """What all together made for one."""
        return self._outputs[position]


class FromRoot:
    """A broadcast or a scatter: everybody gets what the root had when it called."""

    def __init__(self, size: int, root: int, *, cut: bool) -> None:
        self._size, self._root, self._cut = size, root, cut
        self._source: Tensors | None = None
        self._waiting: list[int] = []

    def join(self, position: int, tensors: Tensors) -> Sequence[int]:
        """Take in a rank; it is complete if the root has been here."""
        if position == self._root:
            # The root may be gone, and its tensors changed, before the last rank comes.
            self._source = _copies(tensors)
            return (position, *self._waiting)
        if self._source is None:
            self._waiting.append(position)
            return ()
        return (position,)

    def outputs(self, position: int) -> Tensors:
        """The root's tensors, or the one for this rank."""
        assert self._source is not None
        if self._cut:
            return self._source[position : position + 1]
        return () if position == self._root else self._source


class ToRoot:
    """A reduce or a gather: the root is complete when all have come, the others at once.

    Parameters
    ----------
    size, root : int
        Ranks of the group, and which gets the data.
    combine : callable
        ``combine(inputs)`` makes the root's outputs of all positions' inputs.
    """

    def __init__(
        self, size: int, root: int, combine: Callable[[Sequence[Tensors]], Tensors]
    ) -> None:
        self._inputs: list[Tensors | None] = [None] * size
        self._missing = size
        self._root, self._combine = root, combine
        self._output: Tensors = ()

    def join(self, position: int, tensors: Tensors) -> Sequence[int]:
        """Take in a rank's tensors."""
        # Who is not the root may be gone, and its tensors changed, before the last rank comes.
        self._inputs[position] = tensors if position == self._root else _copies(tensors)
        self._missing -= 1
        if not self._missing:
            inputs = [given for given in self._inputs if given is not None]
            self._inputs = []
            with torch.no_grad():
                self._output = self._combine(inputs)
        done = [] if position == self._root else [position]
        return done if self._missing else [*done, self._root]

    def outputs(self, position: int) -> Tensors:
        """All for the root, nothing for others."""
        return self._output if position == self._root else ()


Exchange = Gathered | FromRoot | ToRoot | Alone


def make_exchange(call: Call) -> Exchange:
    """The exchange that a call takes part in.

    What ranks give and get, in order: all_reduce, broadcast and reduce give tensors and get as
    many; all_gather gives k and gets k · N, those of the first tensor first; reduce_scatter gives
    k · N and gets k; gather and scatter are one to N and N to one; all_to_all gives N, gets N.
    """
    size, root, op = len(call.ranks), call.root, call.op
    if call.empty:
        return Alone(call)
    if call.kind == "all_reduce":
        return Gathered(size, lambda inputs: [_reduced(inputs, op)] * size)
    if call.kind == "all_gather":
        return Gathered(size, lambda inputs: [_transposed(inputs)] * size)
    if call.kind == "reduce_scatter":
        return Gathered(size, lambda inputs: _scattered(inputs, op, size))
    if call.kind == "all_to_all":
        return Gathered(
            size, lambda inputs: [_copies(column) for column in zip(*inputs, strict=True)]
        )
    if call.kind in ("broadcast", "scatter"):
        return FromRoot(size, root, cut=call.kind == "scatter")
    if call.kind == "reduce":
        return ToRoot(size, root, lambda inputs: _reduced(inputs, op))
    if call.kind == "gather":
        return ToRoot(size, root, lambda inputs: [tensors[0] for tensors in inputs])
    return Alone(call)


def _copies(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def _reduced(inputs: Sequence[Tensors], op: str) -> list[Tensor]:
    return [reduce_in_order(column, op) for column in zip(*inputs, strict=True)]


def _transposed(inputs: Sequence[Tensors]) -> list[Tensor]:
    """Copies, the first tensors of all ranks first."""
    return [tensor.detach().clone() for column in zip(*inputs, strict=True) for tensor in column]


def _scattered(inputs: Sequence[Tensors], op: str, size: int) -> list[list[Tensor]]:
    """Reduce every chunk once, and give position p chunk p of each tensor."""
    sums = _reduced(inputs, op)
    return [sums[position::size] for position in range(size)]


# Reductions

COMBINE: dict[str, Callable[..., Tensor]] = {
    "SUM": torch.add,
    "AVG": torch.add,
    "PREMUL_SUM": torch.add,
    "PRODUCT": torch.mul,
    "MIN": torch.minimum,
    "MAX": torch.maximum,
    "BAND": torch.bitwise_and,
    "BOR": torch.bitwise_or,
    "BXOR": torch.bitwise_xor,
}


UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that torch cannot add nor compare."""


def reduce_in_order(tensors: Sequence[Tensor], op: str) -> Tensor:
    """Combine tensors of one size, first to last, in their own type (8-bit floats in float32).

    Where torch records gradients it would record these; exchanges turn that off.

    The order is that of the ranks whatever the algorithm and the network, so the result is the
    same to the bit for all of them.

    Parameters
    ----------
    tensors : sequence of Tensor
        One a rank.
    op : str
        A name of `COMBINE`; PREMUL_SUM is followed by its factor: ``"PREMUL_SUM 0.5"``.
    """
    name, _, factor = op.partition(" ")
    combine = COMBINE[name]
    dtype = tensors[0].dtype
    wide = torch.float32 if is_narrow_float(dtype) else dtype
    given = [tensor if tensor.dim() == 1 else tensor.reshape(-1) for tensor in tensors]
    if wide is not dtype:
        given = [tensor.to(wide) for tensor in given]
    if name == "PREMUL_SUM":  # each input scaled first, as NCCL defines it
        given = [tensor * float(factor) for tensor in given]
    result = given[0].clone()
    for tensor in given[1:]:
        combine(result, tensor, out=result)
    if name == "AVG":
        result.div_(len(tensors))
    return result if wide is dtype else result.to(dtype)


def is_narrow_float(dtype: torch.dtype) -> bool:
    """Whether a type is an 8-bit float, which torch cannot add."""
    return dtype.is_floating_point and dtype.itemsize == 1


def put(target: Tensor, values: Tensor) -> None:
    """Copy values into a tensor of the same number of elements, whatever its strides and device."""
    shaped = values if values.shape == target.shape else values.reshape(target.shape)
    target.detach().copy_(shaped)
