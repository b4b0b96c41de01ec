"""Flops of torch's operations: torch's own registry, and what it lacks or overstates.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils import flop_counter

Formula = Callable[[Sequence[Any], Mapping[str, Any], Any], float]
"""Flops of a call, from its arguments, keyword arguments and result."""

_torch: Any = flop_counter
_SHAPES_ONLY = _torch.shape_wrapper(len).__code__


def formula_of(operation: Any) -> Formula | None:
    """How many flops a call of an operation takes; None where that is not known.

    Parameters
    ----------
    operation : OpOverload or HigherOrderOperator
        What torch dispatches to.

    Returns
    -------
    callable or None
        See `Formula`.
    """
    packet = getattr(operation, "overloadpacket", operation)
    if packet in _OURS:
        return _OURS[packet]
    registered = _torch.flop_registry.get(packet)
    if registered is None:
        return None
    if getattr(registered, "__code__", None) is _SHAPES_ONLY:
        return _of_shapes(registered.__wrapped__)
    return lambda args, kwargs, out: float(registered(*args, **kwargs, out_val=out))


def _of_shapes(formula: Callable[..., int]) -> Formula:
    """What `shape_wrapper` does, without a walk through every argument (15 to 40 µs a call)."""

    def flops(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> float:
        shapes = [arg.shape if isinstance(arg, Tensor) else arg for arg in args]
        several = isinstance(out, tuple | list)
        out_shape = [_shape(each) for each in out] if several else _shape(out)
        if not kwargs:
            return float(formula(*shapes, out_shape=out_shape))
        named = {key: _shape(value) for key, value in kwargs.items()}
        return float(formula(*shapes, out_shape=out_shape, **named))

    return flops


def _shape(value: Any) -> Any:
    return value.shape if isinstance(value, Tensor) else value


def _attention(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> float:
    query, key, value = args[:3]
    return float(_torch.sdpa_flop_count(query.shape, key.shape, value.shape))


def _attention_backward(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> float:
    grad, query, key, value = args[:4]
    return float(_torch.sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))


def _lstm(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> float:
    """One layer and direction: every step multiplies by both matrices of weights."""
    steps, input_weight, hidden_weight = args[:3]
    weights: int = input_weight.numel() + hidden_weight.numel()
    return float(2 * prod(steps.shape[:-1]) * weights)


def _lstm_backward(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> float:
    return 2.0 * _lstm(args, kwargs, out)


def _convolution_backward(args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> float:
    """Either gradient takes as much as the forward pass.

    Torch's formula takes `groups` times too much for the gradient of the weights.
    """
    grad, steps, weight = args[:3]
    transposed, output_mask = args[7], args[10]
    forward = _torch.conv_flop_count(steps.shape, weight.shape, grad.shape, transposed)
    return float((output_mask[0] + output_mask[1]) * forward)


_aten: Any = torch.ops.aten
_OURS: Mapping[Any, Formula] = {
    # What attention and LSTMs are on the CPU; the registry has attention on GPUs.
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten.mkldnn_rnn_layer: _lstm,
    _aten.mkldnn_rnn_layer_backward: _lstm_backward,
    _aten.convolution_backward: _convolution_backward,
}
