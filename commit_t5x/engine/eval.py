"""Evaluation on SeqIO tasks: teacher-forced loss, and greedy answers with the tasks' metrics."""

import copy
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import rich.console
import rich.progress
import seqio

from commit_t5x import disk, ranges
from commit_t5x.engine import (
    data,
    decoding,
    generation,
    gin_utils,
    host_memory,
    metrics,
    models,
    partitioning,
    providers,
    restoring,
    trainer,
    utils,
)
from commit_t5x.errors import InputError
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary
from commit_t5x.vocabularies.tokenizer import Tokenizer


class TrainingEvaluator:
    """Teacher-forced loss and accuracy on one pass over a data set.

    Args:
      cfg: the data.
      model: network and loss.
      partitioner: of the parameters.
      num_batches: batches to stop after; None for all.
    """

    def __init__(
        self,
        cfg: utils.DatasetConfig,
        model: models.DecoderOnlyModel,
        partitioner: partitioning.PjitPartitioner,
        num_batches: int | None = None,
    ):
        partitioner.check_batch_size(cfg.batch_size, "DatasetConfig.batch_size")
        check_vocabulary(cfg, model)
        self._cfg = cfg
        self._model = model
        self._partitioner = partitioner
        self._num_batches = num_batches
        self._eval_step = trainer.make_eval_step(model, partitioner)

    def evaluate(self, params: Any) -> dict[str, float]:
        """Returns loss, z_loss, accuracy and loss_tokens; see `metrics.summarise_eval`."""
        batches = data.eval_batches(self._cfg, self._model.FEATURE_CONVERTER_CLS, self._num_batches)
        sums = []
        for batch, num_rows in batches:
            sums.append(self._eval_step(params, self._partitioner.put_batch(batch), num_rows))
            host_memory.wait_on_cpu(sums[-1]["loss"])
        if not sums:
            raise providers.no_examples(self._cfg)
        return metrics.summarise_eval(sums)


class InferenceEvaluator:
    """Greedy answers to a task's inputs, scored by the task's metric functions.

    Args:
      cfg: the data; of a mixture, each task is evaluated by itself.
      model: network and vocabulary.
      partitioner: of the parameters.
      num_examples: examples of each task to stop after; None for all.
      max_new_tokens: of each answer.
      add_bos: put BOS before each prompt, as in training. The paper's evaluation did not.
      stop: strings that end an answer.

    Raises:
      InputError: a task has no inputs, or no metric.
    """

    def __init__(
        self,
        cfg: utils.DatasetConfig,
        model: models.DecoderOnlyModel,
        partitioner: partitioning.PjitPartitioner,
        num_examples: ranges.Positive | None = None,
        max_new_tokens: ranges.Positive = 256,
        add_bos: bool = True,
        stop: Sequence[ranges.Text] = ("\n",),
    ):
        provider = providers.get_mixture_or_task(cfg)
        self.tasks = seqio.get_subtasks(provider)
        for task in self.tasks:
            if not can_generate(task):
                raise InputError(
                    f"{task.name}: has no inputs to answer or no metric; choose an evaluation task"
                )
        check_vocabulary(cfg, model)
        self._cfg = cfg
        self._model = model
        self._partitioner = partitioner
        self._num_examples = num_examples
        self._options = {"max_new_tokens": max_new_tokens, "add_bos": add_bos, "stop": stop}

    def evaluate(
        self, params: Any, on_batch: Callable[[int], None] = lambda done: None
    ) -> dict[str, tuple[dict[str, float], list[dict[str, Any]]]]:
        """Returns for each task its scores, and a record for each example.

        A record holds prompt, prediction and target, as text or what the task makes of it.
        """
        return {task.name: self._evaluate_task(task, params, on_batch) for task in self.tasks}

    def _evaluate_task(self, task: seqio.Task, params: Any, on_batch: Callable[[int], None]):
        examples = list(itertools.islice(data.get_examples(self._cfg, task), self._num_examples))
        model, prompts = self._model, [example["inputs"] for example in examples]
        generator = generation.Generator(
            *(model.module, model.vocabulary, self._partitioner, params), **self._options
        )
        answers = generator.answers(prompts, self._cfg.batch_size, on_batch)
        decode = model.vocabulary.decode
        texts = [decode(prompt.tolist()) for prompt in prompts]
        truths = [decode(example["targets"].tolist()) for example in examples]
        targets = [
            task.postprocess_fn(truth, example=example, is_target=True)
            for truth, example in zip(truths, examples, strict=True)
        ]
        predictions = [
            task.postprocess_fn(answer, example=example, is_target=False)
            for answer, example in zip(answers, examples, strict=True)
        ]
        scores: dict[str, float] = {}
        for metric_fn in task.predict_metric_fns:
            for name, value in metric_fn(targets, predictions).items():
                # A plain number, or one of SeqIO's metric values.
                scores[name] = float(getattr(value, "value", value))
        records = [
            {"prompt": prompt, "prediction": prediction, "target": target}
            for prompt, prediction, target in zip(texts, predictions, targets, strict=True)
        ]
        return scores, records


def can_generate(task: seqio.Task) -> bool:
    """Returns whether a task has inputs and a metric for answers to them."""
    return "inputs" in task.output_features and bool(task.predict_metric_fns)


def check_vocabulary(cfg: utils.DatasetConfig, model: models.DecoderOnlyModel) -> None:
    """Raises InputError if the data's tokens aren't the model's."""
    vocabulary = model.vocabulary
    if isinstance(vocabulary, Tokenizer):
        vocabulary = TokenizerVocabulary(vocabulary)
    for task in seqio.get_subtasks(providers.get_mixture_or_task(cfg)):
        for name, feature in task.output_features.items():
            if feature.vocabulary != vocabulary:
                raise InputError(
                    f"{task.name}: the vocabulary of its {name}, {feature.vocabulary}, isn't that "
                    f"of the run, {vocabulary}; make it of the file that TOKENIZER names"
                )


def evaluate(
    *,
    model: models.DecoderOnlyModel,
    dataset_cfg: utils.DatasetConfig,
    restore_checkpoint_cfg: utils.RestoreCheckpointConfig,
    partitioner: partitioning.PjitPartitioner,
    output_dir: ranges.Path,
    inference_evaluator_cls: Callable[..., InferenceEvaluator] = InferenceEvaluator,
    eval_steps: ranges.Positive | None = None,
    summarize_config_fn: Callable = gin_utils.summarize_gin_config,
) -> dict[str, dict[str, float]]:
    """Evaluates a checkpoint on a task or on each task of a mixture.

    Writes OUTPUT_DIR/results.json and, for tasks with inputs and metrics, the answers as
    OUTPUT_DIR/{task}.jsonl.

    Args:
      model: network and loss.
      dataset_cfg: the data; task_feature_lengths may be None.
      restore_checkpoint_cfg: whose weights.
      partitioner: mesh and rules.
      output_dir: made if missing.
      inference_evaluator_cls: makes the evaluator of greedy answers.
      eval_steps: batches of the teacher-forced pass; None for all.
      summarize_config_fn: writes the gin configuration.

    Returns:
      task -> metric -> value, as in results.json under "results".

    Raises:
      InputError: no such task, split or checkpoint, or one of another network.
    """
    output_path = pathlib.Path(output_dir)
    disk.check_writable(output_path / "results.json")
    provider = providers.get_mixture_or_task(dataset_cfg)
    for name in ("results.json", *(f"{task.name}.jsonl" for task in seqio.get_subtasks(provider))):
        sources = providers.shards(dataset_cfg)
        disk.check_apart("EVAL_OUTPUT_DIR", output_path / name, *sources)
    params, folder = restoring.restore_weights(model, partitioner, restore_checkpoint_cfg)
    results: dict[str, dict[str, float]] = {}
    answered: dict[str, int] = {}
    evaluator = TrainingEvaluator(dataset_cfg, model, partitioner, eval_steps)
    results[provider.name] = evaluator.evaluate(params)
    if all(can_generate(task) for task in seqio.get_subtasks(provider)):
        model = copy.copy(model)
        model.module, params = decoding.unrolled(model.module, params)
        answering = inference_evaluator_cls(dataset_cfg, model, partitioner)
        with rich.progress.Progress(console=rich.console.Console(stderr=True)) as bar:
            shown = bar.add_task("answers", total=None)
            answers = answering.evaluate(params, lambda done: bar.advance(shown, done))
        for name, (scores, records) in answers.items():
            results.setdefault(name, {}).update(scores)
            answered[name] = len(records)
            disk.write_jsonl(output_path / f"{name}.jsonl", records)
    summarize_config_fn(output_path, None, 0)
    report = {"checkpoint": str(folder), "split": dataset_cfg.split, "answered": answered}
    report["results"] = results
    disk.write(output_path / "results.json", json.dumps(report, indent=2) + "\n")
    for name, scores in results.items():
        shown = [f"{metric}={value:.4f}" for metric, value in scores.items()]
        shown += [f"answered={answered[name]}"] if name in answered else []
        print(name, *shown)
    return results


def task_prompts(
    cfg: utils.DatasetConfig, model: models.DecoderOnlyModel
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Yields what an output line of `infer` begins with, and token ids, of a task's inputs.

    Raises:
      InputError: no such task or split, it has no inputs, or other tokens than the model.
    """
    provider = providers.get_mixture_or_task(cfg)
    check_vocabulary(cfg, model)
    for task in seqio.get_subtasks(provider):
        for example in data.get_examples(cfg, task):
            tokens = list(example.get("inputs", ()))
            if not tokens:
                raise InputError(f"{task.name}: has no inputs to continue; choose another task")
            yield {"prompt": model.vocabulary.decode(tokens)}, tokens
