"""The benchmark: the same work on retold, on Faust, on Quix Streams and on a bare consumer (docs/benchmark.md)."""
