#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone."""
import concurrent.futures
import glob
import os
import subprocess

from _tree import ROOT, Report, files

TEMPLATES = {"proto/dispatch.h"}  # parameters stand before the include


def folders():
    """Where foreign headers are."""
    found = glob.glob(os.path.join(ROOT, ".deps/libs/usr/include"))
    said = subprocess.run(["pkg-config", "--cflags", "libpq", "cmocka"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return [f"-I{d}" for d in found] + said.stdout.split()


FOLDERS = folders()


def compile_alone(path):
    p = subprocess.run(["gcc", "-std=gnu17", "-fsyntax-only", "-D_GNU_SOURCE", '-DTB_VERSION="0"', "-Wall", "-Wno-unused-function",
                        "-I.", *FOLDERS, "-include", path, "-x", "c", os.devnull], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    return path, p.returncode, p.stderr


def main():
    report = Report()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, said in pool.map(compile_alone, [f for f in files(".h") if f not in TEMPLATES]):
            errors = [l for l in said.splitlines() if "error" in l or "warning" in l]
            if status or errors:
                report.add(path, 1, f"does not compile alone: {(errors or ['?'])[0]}")
    report.done()


main()
