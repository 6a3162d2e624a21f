# SPDX-License-Identifier: Apache-2.0
"""A scratch cluster for unit tests: `start` prints shell assignments, `stop DIR` ends it."""
import os
import shutil
import subprocess
import sys
import tempfile

from node import Cluster, as_user


def start():
    dir = tempfile.mkdtemp(prefix="tbs", dir=os.environ.get("TB_TMP", "/tmp"))
    os.chmod(dir, 0o711)
    c = Cluster(os.path.join(dir, "c"))
    print(f"TB_SCRATCH={dir}\nTB_TEST_DATABASE='{c.owner}'")


def stop(dir):
    data = os.path.join(dir, "c", "pg")
    with open(os.path.join(data, "postmaster.opts")) as f:
        bin = os.path.dirname(f.read().split()[0])
    subprocess.run(as_user() + [os.path.join(bin, "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop"], stdout=subprocess.DEVNULL,
                   cwd="/")
    shutil.rmtree(dir, ignore_errors=True)


if __name__ == "__main__":
    start() if sys.argv[1] == "start" else stop(sys.argv[2])
