"""One program per contestant, each run in its own environment, so none of them imports anything of retold.

What they are told comes in environment variables: BENCH_BROKER, BENCH_NAME (prefix of every name that the run uses),
BENCH_INBOX, BENCH_EVENTS (how many it has), BENCH_LOG, BENCH_SCHEMA and BENCH_ROW_SCHEMA (paths of .avsc files), BENCH_STATE (a
folder of the run's own).
"""
