"""The network and its numbers: configuration, layers, partitioning rules, optimizer."""
