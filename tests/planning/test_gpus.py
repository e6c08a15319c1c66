import pytest

from commit_t5x.errors import InputError
from commit_t5x.planning import gpus, targets

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "memory", "count"),
    [
        ("t4", 15.0, 1),
        ("rtx4090", 24.0, 1),  # an x of its own
        ("rtx4090x2", 24.0, 2),
        ("a100-80x8", 80.0, 8),
        ("gpu:24GiB", 24.0, 1),
        ("gpu:24GBx4", 24e9 / GIB, 4),
        ("gpu:25769803776", 24.0, 1),
    ],
)
def test_names_and_bytes_mean_gpus(name, memory, count):
    found = targets.parse(name)
    assert found.card.memory == pytest.approx(memory * GIB)
    assert found.num_devices == count
    assert found.default_capacity < found.capacity < found.card.memory


@pytest.mark.parametrize("times, count", [(0, 8), (2, 8), (2.1, 16), (4.6, 32)])
def test_next_size_has_enough_devices_of_the_kind(times, count):
    assert targets.parse("H100x4").larger(times) == f"h100x{count}"
    assert targets.parse(targets.parse("v5e-4").larger(times)).num_devices >= 4 * max(times, 2)


def test_next_size_of_an_odd_number_divides_what_has_even_sides():
    assert targets.parse("h100x3").larger(2) == "h100x8"
    assert targets.parse("h100x3").larger(6) == "h100x32"


def test_half_precision_is_faster_but_on_a_t4():
    faster = {name for name, card in gpus.CARDS.items() if card.bfloat16 > card.float32}
    assert faster == set(gpus.CARDS) - {"t4"}


@pytest.mark.parametrize("name", ["rtx9999", "gpu", "gpu:lots", "a100", "x2", "a100-80x", ""])
def test_unknown_names_are_errors_that_list_those_known(name):
    with pytest.raises(InputError, match=f"--topology={name}: unknown; .*v3-8.*rtx4090.*gpu:24GiB"):
        targets.parse(name)


@pytest.mark.parametrize("name", ["gpu:-24GiB", "gpu:0", "gpu:24", "a100-80x0", "gpu:24GiBx0"])
def test_no_memory_and_no_gpu_are_errors(name):
    with pytest.raises(InputError, match=f"--topology={name}: .*write the memory"):
        targets.parse(name)
