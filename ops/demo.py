"""`make demo`: real sign-ups on a broker, a worker and a server of its own; reports what happened, leaves nothing behind.

The state folder is a fresh private one, so that two demos do not meet. With RETOLD_BROKER, topics get a fresh prefix.
"""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Gives the exit code; Ctrl-C is answered from the first moment on, before the slow imports."""
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _ended)
    try:
        from ops.demo_run import demo

        return demo(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


def _interrupted(*_: object) -> None:
    """Once: what follows is the clean end, which a second Ctrl-C must not cut short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _ended(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
