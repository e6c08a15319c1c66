"""One process of several on one machine that train together with T5X, on CPUs over gloo.

  python one_of_several.py NUMBER COUNT PORT ARGUMENTS_OF_T5X_TRAIN

Number 0 is the coordinator. On TPUs the runtime finds the hosts; here jax.distributed is told.
"""

import runpy
import sys

import jax


def main() -> None:
    number, count, port, *arguments = sys.argv[1:]
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", int(count), int(number))
    sys.argv = ["t5x/train.py", *arguments]
    runpy.run_module("t5x.train", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
