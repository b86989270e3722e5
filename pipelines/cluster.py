"""Many machines through Ray: one way to connect to them, and work spread over them.

`cluster` starts Ray on this machine or takes a cluster; within it `spread` gives results in the order of the jobs.
Ray is imported here alone, and only when it is asked for.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TypeVar

from ..hierarchy import HierError, UnknownNameError

PORT = 10001  # where a cluster's head listens to clients, unless it was told otherwise
ANSWER = 8.0  # s: a cluster that has not answered by then does not
STARTS = 3  # tries at a cluster whose server for this client died at its start, as one still coming up may let it
PAUSE = 2.0  # s between them
RETRIES = 5  # times that a job is begun again after the death of its worker: a job that kills every worker must end
AHEAD = 2  # jobs per worker beyond the one whose result is waited for
SHARE = 0.25  # of a GPU for each worker: reading and encoding files keep four processor cores busy beside it
STORE = 2**29  # bytes of shared memory on this machine: jobs and results are small
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray prints its workers' errors on standard output, where results belong
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # and warns that this will be so
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "3",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "3",
    "RAY_NUM_REDIS_GET_RETRIES": "1",  # to reach the cluster that RAY_ADDRESS=auto finds, each of half a minute
}
Job = TypeVar("Job")
Result = TypeVar("Result")


class ClusterError(HierError):
    """A cluster that is not there, does not answer, or cannot do what is asked."""


def address_of(on: str) -> str | None:
    """What ``--on`` names: None for Ray on this machine, else ``ray://HOST:PORT``. Raises UnknownNameError."""
    if on == "ray":
        return None
    found = re.fullmatch(r"ray://(\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+)(?::(\d{1,5}))?/?", on)
    if found is None:
        raise UnknownNameError("engine", on, ("ray", "ray://HOST", "ray://HOST:PORT"))
    return f"ray://{found[1]}:{found[2] or PORT}"


@contextmanager
def cluster(on: str, workers: int | None = None) -> Iterator[None]:
    """Connected to what ``--on`` names until the block ends.

    ``ray`` starts Ray on this machine, with `workers` processor cores (all if None), and shuts it down again; where
    RAY_ADDRESS names a cluster, or the program is in one, it joins that. Raises UnknownNameError for another engine,
    and ClusterError.
    """
    address = address_of(on)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ClusterError("--on ray needs Ray, which is not installed: pip install 'hier[ray]' adds it") from error
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS", "local")
    local = address == "local"
    if not local and address != "auto":
        check_answers(address)
    here = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": STORE} if local else {}
    try:
        _connect(address, **here)
    except Exception as error:  # Ray raises what its parts raise, down to gRPC's own
        raise ClusterError(f"Ray at {address} cannot be used: {_in_short(error)}") from error
    try:
        if not local:
            _check_same(address)
        yield
    finally:
        ray.shutdown()


def _connect(address: str, **here: Any) -> None:
    """`ray.init`, again where the cluster answers and the server that it starts for this client has died."""
    import ray

    for left in reversed(range(STARTS)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ray.init(address, logging_level=logging.CRITICAL, log_to_driver=False, **here)
            return
        except ConnectionAbortedError:  # "Initialization failure from server"
            if not left:
                raise
            time.sleep(PAUSE)


def check_answers(address: str) -> None:
    """ClusterError where nobody listens at ``HOST:PORT`` or ``ray://HOST:PORT``: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rstrip("/").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER):
            pass
    except (OSError, ValueError, OverflowError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise ClusterError(
            f"no Ray cluster answers at {address} ({why.lower()}): give the address of its head, "
            f"whose port for clients is usually {PORT}"
        ) from error


def _check_same(address: str) -> None:
    """ClusterError unless the machines of the cluster have this version of hier."""
    import ray

    here = version("hier")
    try:
        there = ray.get(ray.remote(num_cpus=0)(_version).remote(), timeout=60)
    except Exception as error:  # of the many that a machine without hier raises, none is Ray's own
        raise ClusterError(
            f"the machines of {address} cannot run hier {here}: install it there, with the same Python and Ray "
            f"({_in_short(error)})"
        ) from error
    if there != here:
        raise ClusterError(f"the machines of {address} have hier {there}, this one has {here}: install the same there")


def _version() -> str:
    return version("hier")


def _in_short(error: BaseException) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def resources(device: str) -> dict[str, Any]:
    """What a worker takes of a machine; ClusterError for a device that the cluster has not."""
    import ray

    match device.partition(":")[0]:
        case "cpu":
            return {"num_cpus": 1}
        case "cuda" if ray.cluster_resources().get("GPU", 0):
            return {"num_cpus": 1, "num_gpus": SHARE}
        case "cuda":
            raise ClusterError("--device cuda: the cluster has no GPU; leave --device out")
        case _:
            raise ClusterError(f"--device {device} cannot be shared out with --on: give cpu or cuda")


def workers(device: str) -> int:
    """How many workers the cluster has room for."""
    import ray

    there, one = ray.cluster_resources(), resources(device)
    room = [there.get(name, 0) / one[key] for name, key in (("CPU", "num_cpus"), ("GPU", "num_gpus")) if key in one]
    return max(1, int(min(room)))


def spread(work: Callable[[Job], Result], jobs: Iterable[Job], device: str = "cpu") -> Generator[Result, None, None]:
    """`work(job)` for each of `jobs` on the machines of the `cluster`, in their order; each worker has one thread.

    `work` is a function of a module. A job whose worker dies is begun again on another: what it writes must be the same
    and appear as a whole. Few jobs are taken ahead, so `jobs` may be endless. Raises what `work` raises, and
    ClusterError for a job whose workers died again and again.
    """
    import ray

    task = ray.remote(_alone).options(max_retries=RETRIES, name=work.__name__, **resources(device))
    limit = AHEAD * workers(device)
    waiting: deque[Any] = deque()
    try:
        for job in jobs:
            waiting.append(task.remote(work, job))
            if len(waiting) > limit:
                yield result(waiting.popleft())
        while waiting:
            yield result(waiting.popleft())
    finally:
        for reference in waiting:
            ray.cancel(reference)


def result(reference: Any) -> Any:
    """What a task returned; raises what it raised, or ClusterError where it was lost."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except (RayError, ConnectionError) as error:
        if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError):
            raise error.cause from error
        raise ClusterError(
            f"workers of the cluster were stopped again and again, perhaps out of memory ({_in_short(error)}): "
            "rerun the same command to make the rest"
        ) from error


def _alone(work: Callable[[Job], Result], job: Job) -> Result:
    import torch

    torch.set_num_threads(1)
    return work(job)
