# SPDX-License-Identifier: Apache-2.0
"""How long the disk takes to make a block durable."""
import os
import tempfile
import time

from parts.stand import quantile


def fdatasync_us(folder, seconds=1.0):
    """(p50, p99) of overwriting one block of 8 kB and fdatasync, as Postgres does with its log."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=folder) as f:
        os.pwrite(f.fileno(), b"\0" * (1 << 20), 0)
        os.fsync(f.fileno())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            os.pwrite(f.fileno(), os.urandom(8192), 8192 * (len(taken) % 128))
            began = time.perf_counter()
            os.fdatasync(f.fileno())
            taken.append((time.perf_counter() - began) * 1e6)
    return quantile(taken, 0.5), quantile(taken, 0.99)
