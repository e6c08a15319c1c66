"""The evaluations during a training run, each at steps of its own."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from commit_t5x import disk
from commit_t5x.engine import eval, models, partitioning, utils

# (step, parameters) -> name and scores of each data set
Evaluation = Callable[[int, Any], Iterator[tuple[str, dict[str, float]]]]


class Evaluators:
    """Knows which evaluations are due, and under which names their metrics go.

    Args:
      model: network and loss.
      partitioner: of the parameters.
      model_dir: answers are written to inference_eval/{task}/answers_{step}.jsonl in it.
    """

    def __init__(
        self,
        model: models.DecoderOnlyModel,
        partitioner: partitioning.PjitPartitioner,
        model_dir: pathlib.Path,
    ):
        self._model = model
        self._partitioner = partitioner
        self._model_dir = model_dir
        self._evaluations: list[tuple[int | None, Evaluation]] = []

    def add_teacher_forced(
        self, cfg: utils.DatasetConfig | None, period: int | None, num_batches: int | None
    ) -> None:
        """Adds the loss on a data set, if there is one; see `eval.TrainingEvaluator`.

        Args:
          cfg: the data.
          period: steps between evaluations; the last step is always one. None for that one only.
          num_batches: batches to stop after; None for all.
        """
        if cfg is None or not cfg.enabled:
            return
        evaluator = eval.TrainingEvaluator(cfg, self._model, self._partitioner, num_batches)

        def evaluate(step: int, params: Any):
            yield f"training_eval/{cfg.name}", evaluator.evaluate(params)

        self._evaluations.append((period, evaluate))

    def add_answers(
        self,
        cfg: utils.DatasetConfig | None,
        period: int | None,
        evaluator_cls: Callable[..., eval.InferenceEvaluator],
    ) -> None:
        """Adds greedy answers to a task, if there is one; see `eval.InferenceEvaluator`.

        Args:
          cfg: the data.
          period: as of `add_teacher_forced`.
          evaluator_cls: makes the evaluator.
        """
        if cfg is None or not cfg.enabled:
            return
        evaluator = evaluator_cls(cfg, self._model, self._partitioner)

        def evaluate(step: int, params: Any):
            for task, (scores, answers) in evaluator.evaluate(params).items():
                name = f"inference_eval/{task}"
                disk.write_jsonl(self._model_dir / name / f"answers_{step}.jsonl", answers)
                yield name, scores

        self._evaluations.append((period, evaluate))

    def due(self, step: int, last: bool) -> list[Evaluation]:
        """Returns the evaluations of a step, of all if it is the last one."""
        return [
            evaluate
            for period, evaluate in self._evaluations
            if last or (period and step % period == 0)
        ]
