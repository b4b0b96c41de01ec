"""Which network model a run gets: the compiled kernel, or the reference that defines it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from simnet.engine.episodes import EpisodesModel
from simnet.engine.fabric import NetworkModel, Observer
from simnet.engine.kernel import KernelModel, load_core
from simnet.engine.maxplus import max_plus
from simnet.engine.reference import FluidModel
from simnet.engine.symmetry import Symmetry
from simnet.engine.tiers import GivesUp, TieredModel
from simnet.engine.timeline import Tier
from simnet.network import Network
from simnet.transport import Transport

TIERS: Mapping[str, Callable[[], Tier]] = MappingProxyType(
    {"symmetry": Symmetry, "max-plus": lambda: GivesUp(max_plus)}
)
"""Makes of tiers, from the cheapest on, by the names that results call them."""
ENGINES = ("auto", "kernel", *TIERS, "events", "reference")


@functools.cache
def _lack() -> str | None:
    """Why the kernel does not serve, after "the kernel "; None where it does."""
    try:
        load_core()
    except ModuleNotFoundError:
        return "was not compiled when simnet was installed (no C++ compiler?)"
    except ImportError as error:
        return f"cannot be loaded ({error})"
    return None


def kernel() -> str:
    """Which engine serves by default: "kernel" where it was compiled, else "reference"."""
    return KernelModel.name if _lack() is None else FluidModel.name


def make_model(
    net: Network,
    transport: Transport,
    seed: int,
    *,
    engine: str = "auto",
    observer: Observer | None = None,
    repeats: bool = False,
) -> NetworkModel:
    """Make the network model of a run.

    Parameters
    ----------
    net, transport, seed
        What it simulates.
    engine : {"auto", "kernel", "symmetry", "max-plus", "events", "reference"}
        "auto" is the kernel where it was compiled and nothing is observed. The kernel asks its
        tiers; the name of one asks only that one before the events, and "events" none.
    observer : Observer, optional
        Told of transfers and rates as they happen; only the reference does.
    repeats : bool
        Whether the same work will come again and again: the kernel then remembers it.

    Raises
    ------
    ValueError
        For another engine, or the kernel with an observer.
    RuntimeError
        For the kernel where it was not compiled.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}: one of {', '.join(map(repr, ENGINES))}")
    if engine in ("kernel", *TIERS, "events"):
        if observer is not None:
            raise ValueError(f"engine={engine!r} tells no observer: write 'auto' or 'reference'")
        if kernel() != "kernel":
            raise RuntimeError(f"engine={engine!r}: the kernel {_lack()}")
        tiers = tuple(TIERS) if engine == "kernel" else (engine,)
        return _make_kernel(net, transport, seed, repeats, tiers)
    if engine == "auto" and observer is None:
        if kernel() == "kernel":
            return _make_kernel(net, transport, seed, repeats, tuple(TIERS))
        _say_slow()
    return FluidModel(net, transport, seed, observer)


def _make_kernel(
    net: Network, transport: Transport, seed: int, repeats: bool, tiers: Sequence[str]
) -> NetworkModel:
    events = KernelModel(net, transport, seed)
    if events.draws or tiers == ("events",):
        return events
    if repeats:
        # Ranks that poll look again after the next event, and see those of the kernel.
        return EpisodesModel(events)
    return TieredModel(net, events, [TIERS[name]() for name in tiers])


@functools.cache
def _say_slow() -> None:
    """Say once that the slow twin serves."""
    warnings.warn(
        f"simnet's kernel {_lack()}; the Python reference gives the same times, "
        "a hundred times slower",
        RuntimeWarning,
        stacklevel=4,
    )
