"""A script that starts its ranks itself, and what can go wrong with them."""

import argparse
import os
import signal
from time import perf_counter, sleep

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def rank_of(rank, options, world):
    """What each process does; `world` counts the worlds of the script."""
    if options.how == "cuda":
        torch.cuda.set_device(rank)
    if options.how == "early" and rank == 1:
        raise RuntimeError("before it was a rank")
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{29600 + world}", rank=rank, world_size=options.size
    )
    if options.how == "sleep":
        begun = perf_counter()
        sleep(1000)
        print("slept", round(perf_counter() - begun))
    total = torch.full((1000,), float(rank))
    dist.all_reduce(total)
    if rank == 1:
        go_wrong(options, world)
    if rank != 1 or options.how != "leave":
        dist.barrier()
    if rank == 0:
        print("sum", int(total[0]))
    dist.destroy_process_group()


def go_wrong(options, world):
    if options.how == "raise" or (options.how == "again" and world == 0):
        raise ValueError("on purpose")
    if options.how == "exit":
        raise SystemExit(3)
    if options.how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def start(options, world=0):
    mp.start_processes(rank_of, (options, world), nprocs=options.size, start_method=options.method)


def plainly(options):
    """Without torch's care for failed processes."""
    context = mp.get_context(options.method)
    started = [
        context.Process(target=rank_of, args=(rank, options, 0)) for rank in range(options.size)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    print("codes", *(process.exitcode for process in started))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("how")
    parser.add_argument("--size", type=int, default=2)
    parser.add_argument("--method", default="fork")
    parser.add_argument("--plainly", action="store_true")
    options = parser.parse_args()
    if options.how == "nothing":
        print("no process group here")
    elif options.plainly:
        plainly(options)
    elif options.how == "again":
        try:
            start(options)
        except mp.ProcessRaisedException as error:
            print("caught", "on purpose" in str(error))
        start(options, 1)
    else:
        start(options)


if __name__ == "__main__":
    main()
