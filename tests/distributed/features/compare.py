"""Whether a feature's outcomes are those expected."""

import re
from collections.abc import Mapping

import torch


def difference(feature, outcomes, gloo=None, *, on_gloo=False):
    """What is wrong with the ranks' outcomes, in words; empty if nothing is.

    Parameters
    ----------
    outcomes : list of tuple
        By rank ``("returned", value)`` or ``("raised", "Type: message", traceback)``.
    gloo : list of tuple, optional
        The same, of real gloo; needed for features that are compared with it.
    on_gloo : bool
        The outcomes themselves are gloo's.
    """
    if on_gloo and feature.no_gloo:
        if feature.refused or _wrong(feature, outcomes, None):
            return ""
        return f"gloo runs it, but the mark says {feature.no_gloo}"
    if feature.refused:
        return _not_refused(feature, outcomes)
    return _wrong(feature, outcomes, outcomes if on_gloo else gloo)


def _wrong(feature, outcomes, gloo):
    for rank, outcome in enumerate(outcomes):
        if outcome[0] == "raised":
            return f"rank {rank} raised {outcome[1]}"
    for rank, (_, value) in enumerate(outcomes):
        if callable(feature.reference):
            expected = feature.reference(rank, len(outcomes))
        else:
            ended, expected, *_ = gloo[rank]
            if ended == "raised":
                return f"gloo raised on rank {rank}: {expected}"
        try:
            assert_same(value, expected, exact=feature.exact)
        except AssertionError as error:
            return f"rank {rank}: {error}"
    return ""


def _not_refused(feature, outcomes):
    errors = [outcome[1] for outcome in outcomes if outcome[0] == "raised"]
    if not errors:
        return f"nothing was raised, but {feature.refused!r} was expected"
    if not any(re.search(feature.refused, error) for error in errors):
        return f"raised {errors[0]!r}, but {feature.refused!r} was expected"
    return ""


def assert_same(found, expected, *, exact, where="result"):
    """Compare tensors, numbers and what holds them."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor), f"{where}: {found!r} is no tensor"
        assert found.dtype == expected.dtype, f"{where}: {found.dtype}, not {expected.dtype}"
        assert found.shape == expected.shape, f"{where}: {found.shape}, not {expected.shape}"
        _assert_same_tensor(found.detach(), expected.detach(), exact, where)
    elif isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), f"{where}: keys {set(found) ^ set(expected)}"
        for key in expected:
            assert_same(found[key], expected[key], exact=exact, where=f"{where}[{key!r}]")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), f"{where}: {len(found)} of {len(expected)}"
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_same(*pair, exact=exact, where=f"{where}[{i}]")
    elif isinstance(expected, float) and not exact:
        close = abs(found - expected) <= 1e-6 * max(1.0, abs(expected))
        assert close, f"{where}: {found!r}, not {expected!r}"
    else:
        assert found == expected, f"{where}: {found!r}, not {expected!r}"


def _assert_same_tensor(found, expected, exact, where):
    if exact or expected.dtype == torch.bool:
        assert torch.equal(_bits(found), _bits(expected)), f"{where}: {found}, not {expected}"
    else:
        torch.testing.assert_close(found, expected, msg=lambda text: f"{where}: {text}")


def _bits(tensor):
    """The bytes; of bools, which gloo stores as any number but 0, whether they are set."""
    found = tensor.contiguous().reshape(-1).view(torch.uint8)
    return found != 0 if tensor.dtype == torch.bool else found
