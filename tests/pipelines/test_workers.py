from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from itertools import count
from operator import call

import pytest
import torch
from hier.pipelines.generating.workers import in_order


def test_results_come_in_order_from_workers_that_leave_ctrl_c_to_their_parent() -> None:
    taken = 0

    def jobs() -> Iterator[object]:
        nonlocal taken
        for k in count():
            taken += 1
            yield [partial(signal.getsignal, signal.SIGINT), torch.get_num_threads, os.getpid, partial(int, k)][k % 4]

    with closing(in_order(call, jobs(), workers=2, ahead=2)) as made:
        found = [next(made) for _ in range(8)]
        assert taken <= 8 + 2 * 2 + 1  # of endless jobs, few are taken ahead
    assert found[0] == found[4] == signal.SIG_IGN
    assert found[1] == found[5] == 1
    assert os.getpid() not in found
    assert (found[3], found[7]) == (3, 7)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_worker_that_is_killed_is_an_error_and_no_wait_for_ever() -> None:
    with pytest.raises(BrokenProcessPool):
        list(in_order(os._exit, [1, 1], workers=2))


def test_one_worker_is_this_process() -> None:
    assert list(in_order(call, [os.getpid], workers=1)) == [os.getpid()]
