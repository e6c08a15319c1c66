import pathlib

import pytest

from commit_t5x.planning import hlo

# Cut down from the form in which the TPU compiler writes programs.
PROGRAM = pathlib.Path(__file__).with_name("program.hlo").read_text(encoding="utf-8")
KNOWN = ', backend_config={"known_trip_count":{"n":"32"}}'


@pytest.mark.parametrize("trips", [KNOWN, ""], ids=["known", "from the condition"])
def test_what_a_loop_holds_counts_once_a_turn(trips):
    program = hlo.parse(PROGRAM.replace("%TRIPS%", trips))
    assert program.loops == (("while.1", 32),)
    spent = {part: cycles for part, cycles in program.cycles.items() if cycles}
    assert spent == {"linear layers": 32 * 1000, "optimizer, clipping, others": 50}
    assert program.random_bytes == 32 * 16 * 512 * 4
    size = 16 * 512 * 4096 * 2
    assert hlo.by_kind(program.collectives) == {
        "all-reduce": (32, 32 * size),
        "all-gather": (2, 16 * 128 * 2 + 64 * 256 * 2),  # the second in two pieces
        "reduce-scatter": (1, 64 * 128 * 4),
    }


def test_groups_name_the_devices():
    program = hlo.parse(PROGRAM.replace("%TRIPS%", KNOWN))
    groups = [(collective.kind, collective.groups) for collective in program.collectives]
    assert ("all-reduce", ((0, 2, 4, 6), (1, 3, 5, 7))) in groups
    assert ("all-gather", ((0, 1), (2, 3))) in groups
    assert ("reduce-scatter", (tuple(range(8)),)) in groups


def test_shapes_have_sizes():
    assert hlo.shape_bytes("f32[8,128]{1,0:T(8,128)S(1)}") == 4096
    assert hlo.shape_bytes("(bf16[8,128]{1,0:T(8,128)(2,1)}, s32[], pred[3])") == 2048 + 4 + 3
    assert hlo.shape_bytes("(u32[], token[])") == 4


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("replica_groups={{0,1},{2,3}}, to_apply=%add", ((0, 1), (2, 3))),
        ("replica_groups=[2,2]<=[2,2]T(1,0)", ((0, 2), (1, 3))),
        ("replica_groups=[1,4]<=[4]", ((0, 1, 2, 3),)),
        ("replica_groups=mesh['a'=2,'b'=1,'c'=2] {'c'}", ((0, 1), (2, 3))),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}", ((0, 2), (1, 3))),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}", ((0, 1), (2, 3))),
        ("source_target_pairs={{0,1},{1,0}}", ((0, 1), (1, 0))),
        ("channel_id=1", ()),
    ],
)
def test_groups_have_several_forms(text, groups):
    assert hlo._groups(text) == groups
