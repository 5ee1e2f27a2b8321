"""Fits whose rows are cut into shards, in one process or on the ranks of MPI."""
