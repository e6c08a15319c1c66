"""Trains one model on meshes of eight devices, and restores each mesh's checkpoint on all others.

The debug model on the shipped samples, by `quickstart.gin`; the devices are virtual ones of the
CPU. For each mesh: the largest relative difference of a step's loss from one device's, as it is,
with dropout and forgetful masking, with two microbatches, and with the paper's optimizer; and
whether every array of every mesh's checkpoint (parameters, optimizer, random state) is restored to
the same bits. Exits with 1 if a loss differs by more than 1e-5, or a bit does. Two CPU cores take a
quarter of an hour.

The first moment is kept in fp32 but for the last case: rounding it to bfloat16 makes large steps of
the smallest differences between sums, too large for this comparison at the high learning rate of
`quickstart.gin`.

  python benchmarks/meshes.py
  python benchmarks/meshes.py --steps 5 --mesh 1x1 --mesh 2x4 --json
"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import tempfile

_DEVICES = 8
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={_DEVICES}"
os.environ["JAX_PLATFORMS"] = "cpu"

from commit_t5x import quiet  # noqa: E402

quiet.silence_libraries()

import jax  # noqa: E402
import numpy as np  # noqa: E402

from commit_t5x.engine import checkpoint_manager, data, train_state, utils  # noqa: E402
from commit_t5x.planning import recipe  # noqa: E402

_SHARDED = ["PARAMETER_PARTITIONING_DIMS = 2"]
_SPLIT = ["ACTIVATION_PARTITIONING_DIMS = 2"]
# Mesh (data x model) -> devices, and what is set. Where weights are sharded, the data axis is at
# once that of full sharding: 4x2 so is 2x2x2 of others' data, fsdp and model axes, and more.
MESHES = {
    "1x1": (1, []),
    "8x1": (8, []),
    "8x1 fully sharded": (8, _SHARDED),
    "1x8": (8, ["NUM_PARTITIONS = 8"]),
    "2x4": (8, ["NUM_PARTITIONS = 4"]),
    "2x4 fully sharded, activations split": (8, ["NUM_PARTITIONS = 4", *_SHARDED, *_SPLIT]),
    "4x2 fully sharded": (8, ["NUM_PARTITIONS = 2", *_SHARDED]),
}
CASES = {
    "as it is": [],
    "dropout": ["DROPOUT_RATE = 0.05", "FORGETFUL_MASK_MAX_RATIO = 0.1"],
    "2 microbatches": ["NUM_MICROBATCHES = 2"],
    "the paper's optimizer": ["optim.adamw.mu_dtype = 'bfloat16'", "LEARNING_RATE = 2e-5"],
}
_SETTINGS = [
    "MIXTURE_OR_TASK_NAME = 'alpaca_codemix_hi'",
    "LANGUAGE = 'hi'",
    "DICT_DIR = 'samples'",
    "BATCH_SIZE = 16",
    "SEQUENCE_LENGTH = 128",
    "DROPOUT_RATE = 0.0",
    "FORGETFUL_MASK_MAX_RATIO = 0.0",
    "optim.adamw.mu_dtype = None",
]
_TOLERANCE = 1e-5


class Run:
    """A run on a mesh, made from gin files as `commit-t5x train` does."""

    def __init__(self, mesh, case="as it is"):
        devices, bindings = MESHES[mesh]
        found = recipe.load(["quickstart.gin"], [*_SETTINGS, *bindings, *CASES[case]])
        self.model = found.model
        self.partitioner = found.partitioner_cls(devices=jax.devices()[:devices])
        self.initializer = train_state.TrainStateInitializer(self.model, self.partitioner)
        shapes = self.initializer.train_state
        self.trainer = found.trainer_cls(
            model=self.model, partitioner=self.partitioner, state_shapes=shapes
        )
        converter = self.model.FEATURE_CONVERTER_CLS
        self.iterator = data.TrainIterator(found.train_dataset_cfg, converter)

    def losses(self, steps, model_dir=None):
        """Returns the loss of each step; leaves a checkpoint in `model_dir`."""
        state, found = self.initializer.from_scratch(jax.random.PRNGKey(42)), []
        for _ in range(steps):
            batch = self.partitioner.put_batch(next(self.iterator))
            state, metrics = self.trainer.train_step(state, batch)
            found.append(float(metrics["loss"]))
        if model_dir is not None:
            with _manager(model_dir) as manager:
                manager.save(steps, state, self.iterator)
                manager.wait()
        return found

    def restored(self, model_dir, steps):
        """Returns the state of a checkpoint on this mesh, as arrays of the host by their paths."""
        with _manager(model_dir) as manager:
            state = manager.restore(steps, self.initializer.train_state, self.iterator)
        for leaf, shape in zip(
            jax.tree.leaves(state), jax.tree.leaves(self.initializer.train_state), strict=True
        ):
            assert leaf.sharding == shape.sharding
        return jax.tree.leaves(jax.device_get(state))


def _manager(model_dir):
    cfg = utils.SaveCheckpointConfig(period=None)
    return contextlib.closing(checkpoint_manager.CheckpointManager(model_dir, cfg))


def measure(meshes, steps, folder):
    """Returns mesh -> {case: largest difference, "restores": whether}."""
    losses, report = {}, {}
    for mesh in meshes:
        for case in CASES:
            print(f"{mesh}, {case} ...", file=sys.stderr)
            model_dir = folder / mesh if case == "as it is" else None
            losses[mesh, case] = Run(mesh, case).losses(steps, model_dir)
        single = {case: losses[meshes[0], case] for case in CASES}
        # Two microbatches add up to the batch: they are compared with it.
        single["2 microbatches"] = single["as it is"]
        report[mesh] = {
            case: float(np.max(np.abs(np.divide(losses[mesh, case], single[case]) - 1)))
            for case in CASES
        }
    originals = {mesh: Run(mesh).restored(folder / mesh, steps) for mesh in meshes}
    for mesh in meshes:
        print(f"{mesh}: restoring ...", file=sys.stderr)
        run = Run(mesh)
        report[mesh]["restores"] = all(
            all(map(np.array_equal, run.restored(folder / other, steps), originals[other]))
            for other in meshes
        )
    return report


def _table(report):
    lines = ["| mesh | " + " | ".join(CASES) + " | restores all others' |"]
    lines.append("|---|" + "---|" * (len(CASES) + 1))
    for mesh, row in report.items():
        cells = [f"{row[case]:.1e}" for case in CASES]
        lines.append(f"| {mesh} | {' | '.join(cells)} | {'yes' if row['restores'] else 'no'} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mesh", choices=MESHES, action="append", help="repeatable; 1x1 is added")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    meshes = list(dict.fromkeys(["1x1", *(args.mesh or MESHES)]))
    with tempfile.TemporaryDirectory() as folder:
        report = measure(meshes, args.steps, pathlib.Path(folder))
    print(json.dumps(report, indent=2) if args.json else _table(report))
    largest = max(row[case] for row in report.values() for case in CASES)
    print(f"largest relative difference: {largest:.1e}", file=sys.stderr)
    restores = all(row["restores"] for row in report.values())
    return 0 if restores and largest <= _TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
