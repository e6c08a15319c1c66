"""The training loop: steps, metrics, checkpoints, evaluation, and stopping in good order."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from commit_t5x import disk, ranges, sigterm
from commit_t5x.engine import (
    adapters,
    checkpoint_manager,
    checkpoints,
    data,
    data_record,
    eval,
    evaluators,
    flops,
    gin_utils,
    lock,
    metrics,
    model_files,
    models,
    partitioning,
    profile,
    progress,
    restoring,
    train_state,
    trainer,
    utils,
)
from commit_t5x.errors import InputError
from commit_t5x.model import config_files
from commit_t5x.vocabularies.tokenizer import Tokenizer


def train(
    *,
    model: models.DecoderOnlyModel,
    train_dataset_cfg: utils.DatasetConfig,
    train_eval_dataset_cfg: utils.DatasetConfig | None = None,
    infer_eval_dataset_cfg: utils.DatasetConfig | None = None,
    checkpoint_cfg: utils.CheckpointConfig,
    partitioner: partitioning.PjitPartitioner,
    trainer_cls: Callable[..., trainer.Trainer] = trainer.Trainer,
    model_dir: ranges.Path,
    total_steps: ranges.Positive,
    eval_steps: ranges.Positive | None = 20,
    eval_period: ranges.Positive | None = 1000,
    infer_eval_period: ranges.Positive | None = 1000,
    stats_period: ranges.Positive = 10,
    profile_steps: profile.Steps | None = None,
    accept_changes: Sequence[ranges.Text] = (),
    random_seed: ranges.Seed = 42,
    summarize_config_fn: Callable = gin_utils.summarize_gin_config,
    inference_evaluator_cls: Callable[..., eval.InferenceEvaluator] = eval.InferenceEvaluator,
) -> tuple[int, train_state.TrainState | None]:
    """Trains until `total_steps`, from the latest checkpoint in `model_dir` if there is one.

    Run again after a stop of any kind, the same call goes on from the latest checkpoint and ends
    with the same bits as if it hadn't stopped: weights, optimizer, random state and data position
    are all restored. Where the latest checkpoint is damaged the one before it is taken. SIGTERM
    makes it save, wait for the save, and exit with code 143.

    Args:
      model: network, optimizer and loss.
      train_dataset_cfg: the training data.
      train_eval_dataset_cfg: data for the teacher-forced loss; None for none.
      infer_eval_dataset_cfg: a task for greedy answers; None for none.
      checkpoint_cfg: when to save, what to keep; weights to start from (with a fresh optimizer).
      partitioner: mesh and rules.
      trainer_cls: makes the trainer from model, partitioner and state_shapes.
      model_dir: made if missing; holds checkpoints, metrics.jsonl, and TensorBoard's files.
      total_steps: steps of the whole run.
      eval_steps: batches of a teacher-forced evaluation; None for all.
      eval_period: steps between teacher-forced evaluations; the last step is always one. None for
        that one only.
      infer_eval_period: the same for greedy answers.
      stats_period: steps between looks at the metrics.
      profile_steps: the first and the last of the steps to trace; see `profile.Profile`.
      accept_changes: what may be other than it was when the run in model_dir goes on, as the error
        names it: macros or parameters that the data depend on.
      random_seed: of fresh parameters, dropout and, where it sets none, the data.
      summarize_config_fn: writes the gin configuration.
      inference_evaluator_cls: makes the evaluator of greedy answers.

    Returns:
      The last step and its state. The state is None if there was nothing left to do.

    Raises:
      InputError: no such data or weights, weights or a run of another network, a run on other data
        (see data_record) or of other factors (see adapters), another process that trains in
        model_dir, or files that can't be read or written.
      DivergedError: the loss is no longer finite.
    """
    disk.check_local(model_dir)
    model_path = pathlib.Path(model_dir).absolute()
    latest = max(checkpoints.all_steps(model_path), default=0)
    if not latest and (model_path / config_files.HUGGING_FACE).is_file():
        raise InputError(
            f"MODEL_DIR: {model_dir} holds a Hugging Face model; choose another folder"
        )
    weights, params = checkpoint_cfg.restore.path, None
    adapter = adapters.describe(model.lora, weights, model_path)
    if latest:
        adapters.check(model_path, adapter)
    if latest >= total_steps and _is_readable(model_path / f"{checkpoints.PREFIX}_{latest}"):
        if data_record.exists(model_path):
            _, record = _train_data(model, train_dataset_cfg, random_seed, _rows)
            data_record.check(model_path, record, accept_changes)
        print(
            f"{model_dir}: holds checkpoint_{latest}, the run of {total_steps} steps is "
            "finished; nothing to do. Raise TRAIN_STEPS to go on, or choose another MODEL_DIR."
        )
        if changed := gin_utils.other_settings(model_path):
            print(f"Without effect, as it was trained with others: {', '.join(changed)}")
        return latest, None
    profiler = profile.Profile(model_path, profile_steps, total_steps)
    iterator, record = _train_data(model, train_dataset_cfg, random_seed, data.TrainIterator)
    model.check_features(iterator.features)
    initializer = train_state.TrainStateInitializer(model, partitioner)
    steps = trainer_cls(model=model, partitioner=partitioner, state_shapes=initializer.train_state)
    steps.check_batch_size(train_dataset_cfg.batch_size)
    evaluations = evaluators.Evaluators(model, partitioner, model_path)
    evaluations.add_teacher_forced(train_eval_dataset_cfg, eval_period, eval_steps)
    evaluations.add_answers(infer_eval_dataset_cfg, infer_eval_period, inference_evaluator_cls)
    rng = jax.random.PRNGKey(random_seed)
    if weights is not None and (adapter is not None or not latest):
        # Before MODEL_DIR is made: nothing is left behind where they don't fit.
        restoring.check_tokenizer(checkpoints.find(weights).parent, model.vocabulary)
        params = adapters.load_params(weights, initializer.weights, model.config)
    with checkpoint_manager.writing(model_path), contextlib.ExitStack() as stack:
        keep = stack.enter_context(lock.held(model_path))
        manager = checkpoint_manager.CheckpointManager(model_path, checkpoint_cfg.save)
        stack.callback(manager.close)
        first_step, notes = 0, []
        if checkpoints.all_steps(model_path):  # under the lock, no run adds to them any more
            keep()
            restoring.check_tokenizer(model_path, model.vocabulary)
            data_record.check(model_path, record, accept_changes)
            abstract = initializer.train_state.replace(frozen=model.lora.split(params or {})[1])
            resumed = manager.resume(abstract, iterator, model.config)
            first_step, state, notes = resumed
            start = f"checkpoint_{first_step} of this run"
        elif params is not None:
            state = initializer.from_weights(params, rng)
            start = f"the weights of {weights}"
        else:
            state = initializer.from_scratch(rng)
            start = "random weights"
        data_record.write(model_path, first_step, record)
        model_files.write(model_path, model.config, model.vocabulary)
        adapters.write(model_path, adapter)
        files = metrics.MetricFiles(model_path, first_step)
        stack.callback(files.close)
        display = progress.make_progress(first_step, total_steps)
        stack.callback(display.close)
        stack.callback(profiler.close)
        for note in notes:
            display.message(note)
        display.message(f"{model_dir}: starts from {start}")
        if adapter is not None:
            count = sum(leaf.size for leaf in jax.tree.leaves(initializer.train_state.params))
            display.message(
                f"Trains {count:,} weights, factors of rank {model.lora.rank}, over {adapter.base}"
            )
        if changed := gin_utils.other_settings(model_path):
            display.message(f"Other settings than before: {', '.join(changed)}")
        summarize_config_fn(model_path, files.writer("train"), first_step)
        loop = _Loop(
            manager=manager,
            iterator=iterator,
            partitioner=partitioner,
            trainer=steps,
            evaluators=evaluations,
            files=files,
            display=display,
            metrics=metrics.TrainMetrics(
                files,
                display,
                stats_period,
                iterator,
                flops.ideal_seconds(
                    model, partitioner.mesh.devices.flatten(), iterator.batch_shape
                ),
            ),
            profiler=profiler,
            keep=keep,
        )
        state = loop.run(state, first_step, total_steps)
        if note := iterator.counts.summary():
            display.message(note)
        display.message(f"Finished: {model_dir}/checkpoint_{total_steps}")
        return total_steps, state


def check(
    *,
    model: models.DecoderOnlyModel,
    train_dataset_cfg: utils.DatasetConfig,
    checkpoint_cfg: utils.CheckpointConfig,
    model_dir: ranges.Path,
    random_seed: ranges.Seed = 42,
    accept_changes: Sequence[ranges.Text] = (),
    **_others: object,
) -> None:
    """Raises InputError where `train`, with the same arguments, would refuse data or weights.

    The network is compared with the weights by its configuration; no array is read.
    """
    rows, record = _train_data(model, train_dataset_cfg, random_seed, _rows)
    model.check_features(tuple(rows.element_spec))
    data_record.check(pathlib.Path(model_dir), record, accept_changes)
    if checkpoint_cfg.restore.path is not None:
        folder = checkpoints.find(checkpoint_cfg.restore.path).parent
        restoring.check_tokenizer(folder, model.vocabulary)
        model_files.check_config(folder, model.config)


def _is_readable(folder: pathlib.Path) -> bool:
    """Whether a finished run needs nothing more; a damaged checkpoint is for resuming to tell."""
    try:
        checkpoints.check_readable(folder)
    except checkpoints.DamagedError:
        return False
    return True


_rows = functools.partial(data.get_rows, num_epochs=None)  # a pipeline that isn't started


def _train_data(
    model: models.DecoderOnlyModel, cfg: utils.DatasetConfig, random_seed: int, build: Callable
) -> tuple[Any, data_record.Record]:
    if not cfg.enabled:
        raise InputError("MIXTURE_OR_TASK_NAME: training needs one, e.g. alpaca_codemix_hi")
    if model.optimizer_def is None:
        raise InputError("OPTIMIZER: training needs one, e.g. --gin.OPTIMIZER=@optim.adamw()")
    if cfg.task_feature_lengths is None:
        raise InputError(
            "TASK_FEATURE_LENGTHS: training needs them, e.g. {'inputs': 384, 'targets': 128}"
        )
    eval.check_vocabulary(cfg, model)
    if isinstance(model.vocabulary, Tokenizer):
        model.vocabulary.check_exportable()  # rather than after days of training
    if cfg.seed is None:
        cfg = dataclasses.replace(cfg, seed=random_seed)
    return data_record.describe(cfg, lambda: build(cfg, model.FEATURE_CONVERTER_CLS))


@dataclasses.dataclass
class _Loop:
    """Runs steps, and at the right ones evaluates and saves."""

    manager: checkpoint_manager.CheckpointManager
    iterator: data.TrainIterator
    partitioner: partitioning.PjitPartitioner
    trainer: trainer.Trainer
    evaluators: evaluators.Evaluators
    files: metrics.MetricFiles
    display: progress.Progress
    metrics: metrics.TrainMetrics
    profiler: profile.Profile
    keep: Callable[[], None]  # what was written

    def run(
        self, state: train_state.TrainState, first_step: int, total_steps: int
    ) -> train_state.TrainState:
        terminated = threading.Event()
        with sigterm.calls(lambda *_: terminated.set()):
            for step in range(first_step + 1, total_steps + 1):
                # Nothing here waits for the step before, unless it runs on CPUs: accelerators work
                # while they get this step's batch.
                batch = self.partitioner.put_batch(next(self.iterator))
                self.profiler.before(step)
                state, sums = self.trainer.train_step(state, batch)
                self.profiler.after(step, state)
                if step == first_step + 1:
                    self.keep()
                    self.metrics.restart_clock()  # the call above compiled the program
                last = step == total_steps
                stopping = terminated.is_set() and not last
                with self._explained():
                    self.metrics.add(step, sums)
                    # What a checkpoint holds must be sound, so the metrics up to it come first;
                    # and so do the evaluation's, or a run resumed from it would lack them.
                    if due := self.evaluators.due(step, last):
                        self._evaluate(step, state, due)
                    if last or stopping or self.manager.due(step):
                        self._save(step, state)
                self.manager.check()
                if stopping:
                    self.manager.wait()
                    self.display.message(
                        f"Stopped by SIGTERM at step {step}; saved checkpoint_{step} in "
                        f"{self.manager.model_dir}. The same command goes on from there."
                    )
                    raise SystemExit(128 + signal.SIGTERM)
        self.manager.wait()
        return state

    def _evaluate(
        self, step: int, state: train_state.TrainState, due: Sequence[evaluators.Evaluation]
    ) -> None:
        self.metrics.finish()
        found = (evaluate(step, state.variables) for evaluate in due)
        for name, scores in itertools.chain.from_iterable(found):
            self.files.write(name, step, scores)
            shown = "  ".join(f"{metric} {value:.4f}" for metric, value in scores.items())
            self.display.message(f"step {step}  {name}  {shown}")
        self.files.flush()
        self.metrics.restart_clock()

    def _save(self, step: int, state: train_state.TrainState) -> None:
        self.metrics.finish()
        self.manager.save(step, state, self.iterator)
        self.metrics.restart_clock()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Adds to a DivergedError what is left and what to do."""
        try:
            yield
        except metrics.DivergedError as error:
            self.manager.wait()
            good = self.manager.latest_step()
            left = f"checkpoint_{good} is the last good one" if good else "no checkpoint was saved"
            raise metrics.DivergedError(
                f"{self.manager.model_dir}: {error}; {left}. Lower the learning rate, or look at "
                "the data of that step, and run again"
            ) from error
