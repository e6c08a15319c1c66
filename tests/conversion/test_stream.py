import dataclasses
import threading
import time

import numpy as np
import pytest
from small_llama import CONFIG, weights

from commit_t5x.conversion import hf, native_names, rules, stream
from commit_t5x.errors import InputError


@pytest.fixture(scope="module")
def source():
    return native_names.source("weights", rules.flatten(weights()), CONFIG)


def test_what_is_held_is_no_larger_than_the_largest_tensor(source):
    """Also where writing takes long; what is read and not yet written counts."""
    transfers = stream.plan(source, hf.RULES)
    largest = max(transfer.size for transfer in transfers)
    held, most, lock, written = 0, 0, threading.Lock(), {}

    def get(name):
        nonlocal held, most
        tensor = source.get(name)
        with lock:
            held += tensor.size
            most = max(most, held)
        return tensor

    def put(name, tensor):
        nonlocal held
        time.sleep(0.002)
        written[name] = np.array(tensor)
        with lock:
            held -= tensor.size

    stream.copy(dataclasses.replace(source, get=get), transfers, put, "float32")
    assert most <= largest and held == 0
    assert {name: array.shape for name, array in written.items()} == rules.shapes(hf.RULES, CONFIG)


def test_what_writing_raises_comes_out(source):
    def put(name, tensor):
        if "down_proj" in name:
            raise InputError(f"{name}: no")

    with pytest.raises(InputError, match="down_proj.weight: no"):
        stream.copy(source, stream.plan(source, hf.RULES), put, "float32")
