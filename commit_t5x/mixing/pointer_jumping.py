"""Pointer jumping: follows a chain of links in a few vector operations rather than link by link."""

import tensorflow as tf


def visited(link: tf.Tensor) -> tf.Tensor:
    """Says which elements a walk along the links visits that begins at the first.

    Args:
      link: int64 [n], where each element leads to, which is further on; n or more ends the walk.

    Returns:
      bool [n].

    Example:
      >>> visited(tf.constant([2, 3, 3, 4], tf.int64)).numpy().tolist()
      [True, False, True, True]
    """
    count = tf.size(link, tf.int64)

    def double(seen, jump):
        # `jump` leads as many links on as are known to be visited; now twice as many are.
        reached = tf.boolean_mask(jump, seen)[:, tf.newaxis]
        seen = tf.tensor_scatter_nd_update(seen, reached, tf.fill([tf.size(reached)], True))
        return seen, tf.gather(jump, jump)

    end = [count]  # leads to itself
    seen, _ = tf.while_loop(
        lambda seen, jump: jump[0] < count,
        double,
        (tf.range(count + 1) == 0, tf.concat([tf.minimum(link, count), end], axis=0)),
    )
    return seen[:count]
