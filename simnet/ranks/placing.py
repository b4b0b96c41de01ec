"""On which host of the network each rank of a run is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from simnet.network import Network


def place(
    net: Network, count: int | None, hosts: Sequence[Hashable] | None = None
) -> tuple[int, ...]:
    """The network's rank of each rank of a run.

    Parameters
    ----------
    net : Network
        Where it runs.
    count : int or None
        How many ranks; None for one a host.
    hosts : sequence, optional
        Names of hosts in the network's graph, one a rank; the first hosts by default.

    Raises
    ------
    ValueError
        If there are not as many hosts, or one is named twice or not there.
    """
    if hosts is None:
        count = net.num_ranks if count is None else count
        if not 1 <= count <= net.num_ranks:
            raise ValueError(f"ranks={count}: the network has hosts for 1 to {net.num_ranks}")
        return tuple(range(count))
    found = _named(net, list(hosts))
    if count is not None and count != len(found):
        raise ValueError(f"ranks={count}: hosts names {len(found)}")
    return found


def _named(net: Network, hosts: list[Hashable]) -> tuple[int, ...]:
    names = {net.nodes[node]: rank for rank, node in enumerate(net.hosts.tolist())}
    for host in hosts:
        if host not in names:
            raise ValueError(f"hosts: {host!r} is no host of the network")
        if hosts.count(host) > 1:
            raise ValueError(f"hosts: {host!r} is there twice; a host carries one rank")
    if not hosts:
        raise ValueError("hosts: an empty list; name one host a rank")
    return tuple(names[host] for host in hosts)
