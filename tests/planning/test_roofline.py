import pytest

from commit_t5x.planning import hlo, roofline, topologies

V3_8 = topologies.parse("v3-8")
CHIPS = (0, 0, 1, 1, 2, 2, 3, 3)  # of the eight cores
ALL = (tuple(range(8)),)
GB = 1e9


def seconds(kind, groups, topology=V3_8, chips=CHIPS):
    return roofline.link_seconds(hlo.Collective(kind, GB, groups, 1), topology, chips)


def test_all_cores_send_once_a_chip():
    # Two links of 82 GB/s a chip; 2 (n - 1) / n of the bytes for n = 4 chips.
    assert seconds("all-reduce", ALL) == pytest.approx(1.5 / (2 * 82))
    assert seconds("all-gather", ALL) == pytest.approx(0.75 / (2 * 82))
    assert seconds("reduce-scatter", ()) == pytest.approx(0.75 / (2 * 82))


def test_cores_of_a_chip_need_no_link():
    assert seconds("all-reduce", ((0, 1), (2, 3), (4, 5), (6, 7))) == 0.0


def test_groups_share_the_links_of_a_chip():
    one_of_each_chip = ((0, 2, 4, 6), (1, 3, 5, 7))
    assert seconds("all-reduce", one_of_each_chip) == pytest.approx(2 * seconds("all-reduce", ALL))


def test_step_is_compute_and_links():
    collective = hlo.Collective("all-reduce", GB, ALL, 3)
    program = hlo.Program(
        cycles={"attention": 0.94e9}, random_bytes=45 * GB, collectives=(collective,), loops=()
    )
    time = roofline.estimate(program, V3_8, CHIPS, model_flops=4 * 123e12)
    assert time.compute == pytest.approx(1.0 + 45 / 450)
    assert time.links == pytest.approx(3 * 1.5 / (2 * 82))
    assert time.utilisation == pytest.approx(1.0 / time.total)
