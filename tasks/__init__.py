"""SeqIO tasks; importing this package registers them all.

Names are built by `names.task_name`. Where the data, the dictionaries and the tokenizer lie is set
by gin macros and looked at when a task is built.

Example:
  >>> import seqio
  >>> from commit_t5x import tasks
  >>> seqio.get_mixture_or_task("alpaca_codemix_hi")
"""

from commit_t5x.tasks import mixtures, mlqa, xquad  # noqa: F401 (registration)
from commit_t5x.tasks.names import register_language as register_language
