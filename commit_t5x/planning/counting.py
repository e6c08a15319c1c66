"""Memory and work of a step by the shapes of its arrays, where there is no compiler to ask."""

import copy
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from commit_t5x.model import lora
from commit_t5x.planning.recipe import Step


@dataclasses.dataclass(frozen=True)
class Count:
    """Bytes a device.

    Attributes:
      params: of the parameters.
      optimizer: of the optimizer's state.
      gradients: all of them at once, since clipping needs them: in the type of the computation
        where there are copies, and in fp32 beside that where those of microbatches are added up.
      copies: of parameters in the type of the computation; and where factors adapt the head, that
        with them merged and its gradient, in fp32.
      activations: what the forward pass keeps for the backward one; how the compiler would split
        it over devices is a guess.
      working: what the backward pass of one layer, or the loss of one chunk of positions, needs
        beside that; a guess, too.
    """

    params: float
    optimizer: float
    gradients: float
    copies: float
    activations: float
    working: float

    @property
    def state(self) -> float:
        """What stays between steps."""
        return self.params + self.optimizer

    @property
    def total(self) -> float:
        return self.state + self.gradients + self.copies + self.activations + self.working


@dataclasses.dataclass(frozen=True)
class Work:
    """Work of a step, all devices together, what is computed anew included.

    Attributes:
      flops: of matrix products, by the type of their operands.
      num_bytes: that these read and write, and that the update does.
    """

    flops: dict[str, float]
    num_bytes: float


def gib(num_bytes: float) -> str:
    """Returns bytes in words: "15.48 GiB"."""
    return f"{num_bytes / 2**30:.2f} GiB"


def state_bytes(tree: Any) -> float:
    """Returns the bytes a device of `jax.ShapeDtypeStruct`s with shardings.

    Example: an fp32 array [8, 4] split by its first axis over 8 devices.
      >>> state_bytes([jax.ShapeDtypeStruct((8, 4), "float32", sharding=sharding)])
      16
    """
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


@dataclasses.dataclass(frozen=True)
class Kept:
    """Bytes a device of a whole batch.

    Attributes:
      gradients, copies: as in Count, of one batch; of a microbatch they are as many.
      activations, working: as in Count; of a microbatch they are a part.
    """

    gradients: float
    copies: float
    activations: float
    working: float


def kept(step: Step, plain: Kept | None = None) -> Kept:
    """Traces the forward pass of a whole batch; takes seconds.

    Args:
      step: the step.
      plain: what this returns where nothing is computed anew, if it is at hand; traced otherwise.
    """
    found, module = _residuals(step, step.model), step.model.module
    if module.remat_policy == "none":
        plain = found
    elif plain is None:
        model = copy.copy(step.model)
        model.module = module.clone(remat_policy="none")
        plain = _residuals(step, model)
    layer = (plain.activations - found.activations) / module.config.num_layers
    return dataclasses.replace(found, working=max(layer, _of_loss(step)))


def count(step: Step, of_batch: Kept | None = None, parts: int | None = None) -> Count:
    """Counts the memory of a step.

    Args:
      step: the step.
      of_batch: what `kept` returns, where it is at hand.
      parts: microbatches, where they aren't the step's own.
    """
    of_batch = of_batch or kept(step)
    parts = parts or step.trainer.num_microbatches
    trained = state_bytes(step.state.params)
    return Count(
        params=trained + state_bytes(step.state.frozen),
        optimizer=state_bytes(step.state.param_states),
        gradients=of_batch.gradients + (trained if parts > 1 else 0.0),
        copies=of_batch.copies,
        activations=of_batch.activations / parts,
        working=of_batch.working / parts,
    )


def _residuals(step: Step, model: Any) -> Kept:
    """Returns what stays between the forward and the backward pass of a batch."""

    def residuals(params, batch, rng, frozen):
        def loss(params):
            return model.loss_fn(params, batch, rng, frozen=frozen)[0]

        return jax.vjp(loss, params)[1]

    state = step.state
    with step.partitioner.scope():
        found = jax.eval_shape(residuals, state.params, step.batch, state.rng, state.frozen)
    # Parameters are among them, as they are (these have been counted) or in another type; what is
    # like a frozen head is its gradient, which has no use that a compiler would see.
    trained, frozen = (jax.tree.leaves(tree) for tree in (state.params, state.frozen))
    known = {(_sides(leaf), leaf.dtype) for leaf in (*trained, *frozen)}
    shapes, others = ({_sides(leaf): leaf for leaf in leaves} for leaves in (trained, frozen))
    head_name = lora.EMBEDDING if step.model.config.tied_embeddings else lora.HEAD
    heads = jax.tree.leaves((state.frozen or {}).get(head_name))
    gradients, copies, activations = state_bytes(trained), 0.0, 0.0
    if step.model.lora.adapts(head_name):
        copies += sum(2 * state_bytes([head]) * 4 / head.dtype.itemsize for head in heads)
    unused = {_sides(head) for head in heads}
    stream = (*step.batch_shape, step.model.config.emb_dim)
    for leaf in jax.tree.leaves(found):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
        if is_key or leaf.dtype == jax.dtypes.float0 or (_sides(leaf), leaf.dtype) in known:
            continue
        if param := shapes.get(_sides(leaf)):
            whole = state_bytes([param])
            copied = whole * leaf.dtype.itemsize / param.dtype.itemsize
            copies, gradients = copies + copied, gradients - whole + copied
        elif _sides(leaf) in unused:
            continue
        elif leaf.shape != stream and (param := others.get(_sides(leaf))):
            copies += state_bytes([param]) * leaf.dtype.itemsize / param.dtype.itemsize
        else:
            activations += leaf.size * leaf.dtype.itemsize / _shards(step, leaf.shape)
    return Kept(gradients, copies, activations, working=0.0)


def _sides(leaf: Any) -> tuple[int, ...]:
    """An array's shape, however it is turned."""
    return tuple(sorted(leaf.shape))


def _of_loss(step: Step) -> float:
    """Returns the bytes a device of a chunk's logits, fp32, and of their gradient."""
    rows, length = step.batch_shape
    vocab = step.model.config.vocab_size
    chunk = min(step.model.loss_chunk_length or length, length)
    size = jax.numpy.dtype(step.model.module.dtype).itemsize
    return rows * chunk * vocab * (4 + size) / (step.mesh["data"] * step.mesh["model"])


def _shards(step: Step, shape: tuple[int, ...]) -> int:
    """Guesses over how many devices an activation is split: by its batch, and by its width.

    What is as wide as the residual stream follows the rules of that; other wide arrays belong to
    heads, MLP or vocabulary, which the model axis splits.
    """
    mesh = step.mesh
    shards = mesh["data"] if step.batch_shape[0] in shape else 1
    if shape and shape[-1] == step.model.config.emb_dim:
        return shards * (mesh["model"] if "model" in step.residual_spec else 1)
    return shards * (mesh["model"] if len(shape) > 2 else 1)


def work(step: Step) -> Work:
    """Counts the work of a step; takes seconds, since it traces all of it."""
    flops: dict[str, float] = {}
    num_bytes = 0.0
    traced = step.trace()
    # Gradients of what is frozen are in it, and no compiler computes them.
    program, _ = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    for product, times in _products(program, 1):
        left, right, result = (var.aval for var in (*product.invars, *product.outvars))
        (contracted, _), _ = product.params["dimension_numbers"]
        depth, kind = math.prod(left.shape[axis] for axis in contracted), str(left.dtype)
        flops[kind] = flops.get(kind, 0.0) + 2.0 * times * result.size * depth
        num_bytes += times * sum(a.size * a.dtype.itemsize for a in (left, right, result))
    trained, parts = _size(step.state.params), step.trainer.num_microbatches
    # Reading and writing of state and gradients; adding up those of microbatches.
    num_bytes += 2 * (trained + _size(step.state.param_states)) + trained
    num_bytes += 3 * trained * parts if parts > 1 else 0
    return Work(flops, num_bytes)


def _size(tree: Any) -> float:
    return float(sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)))


def _products(jaxpr: core.Jaxpr, times: int) -> Iterator[tuple[Any, int]]:
    """Yields a program's matrix products, and how often each is computed."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation, times
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                yield from _products(getattr(inner, "jaxpr", inner), times * turns)


def _is_program(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)
