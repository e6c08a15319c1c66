"""Tables of the paper, row by row: `commit-t5x table`."""
