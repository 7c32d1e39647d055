"""`python3 -m tlcore.serve MODEL.zip`: make the environment where there is none, then serve the model until Ctrl-C."""

from __future__ import annotations

import argparse
import importlib.util
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("fastapi", "uvicorn", "msgspec", "ai_edge_litert")


def main() -> None:
    """Serve the model that the command line names."""
    from tlcore.setup.python_version import check_python

    check_python()
    from tlcore.errors import TransferLabError

    options = _options(sys.argv[1:])
    try:
        if not all(importlib.util.find_spec(name) for name in NEEDED):
            from tlcore.setup.environment import ensure_environment
            from tlcore.setup.installing import clean_environment

            command = [str(ensure_environment(ROOT)), "-m", "tlcore.serve", *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=clean_environment()).returncode)
        from tlcore.serve.running import serve

        serve(options)
    except TransferLabError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m tlcore.serve", description="Answer pictures by a model that Transfer Lab has exported."
    )
    parser.add_argument("model", help="the ZIP file from Export")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to the network (default: this computer)")
    parser.add_argument("--port", type=int, default=8600, help="default: 8600; 0 for any free one")
    parser.add_argument(
        "--format", help="litert, litert-float16, litert-dynamic, litert-int8 or onnx (default: litert)"
    )
    parser.add_argument("--max-mb", type=float, default=16.0, help="megabytes of one picture's file (default: 16)")
    parser.add_argument("--max-at-once", type=int, default=32, help="pictures answered at the same time (default: 32)")
    parser.add_argument(
        "--max-seconds", type=float, default=30.0, help="for sending a picture, or reading an answer (default: 30)"
    )
    parser.add_argument(
        "--max-gb",
        type=float,
        default=4.0,
        help="gigabytes of memory for the model and the pictures (default: 4); Windows and macOS set no such limit, so "
        "serve models there only from people you trust",
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.port < 65_536:
        parser.error("--port must be from 0 to 65535")
    if not all(
        0 < value < math.inf for value in (options.max_mb, options.max_at_once, options.max_seconds, options.max_gb)
    ):
        parser.error("--max-mb, --max-at-once, --max-seconds and --max-gb must be above 0")
    return options


if __name__ == "__main__":
    main()
