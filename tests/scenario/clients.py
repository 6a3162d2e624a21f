# SPDX-License-Identifier: Apache-2.0
"""Programs of tests/clients, run by Node with the libraries that scripts/setup --test unpacked below .deps."""
import contextlib
import os
import subprocess

from node import ROOT

HERE = os.path.join(ROOT, "tests", "clients")
DEPS = os.path.join(ROOT, ".deps")


def program():
    """The machine's Node, or the one that setup unpacked because that was none or too old."""
    own = os.path.join(DEPS, "node", "node")
    return own if os.path.exists(own) else "node"


def link_libraries():
    """An import is looked for in a folder node_modules beside the file or above it."""
    libraries = os.path.join(DEPS, "clients", "node_modules")
    if not os.path.isdir(libraries):
        raise SystemExit("no client libraries under .deps: run scripts/setup --test")
    with contextlib.suppress(FileExistsError):
        os.symlink(os.path.relpath(libraries, HERE), os.path.join(HERE, "node_modules"))


def start(node, name, *args, env=None):
    """The process of tests/clients/NAME against that node: TB_BASE is its address, TB_TOKEN its token, TB_FAKE the fake model's address."""
    link_libraries()
    base = f"http://127.0.0.1:{node.port}"
    given = {**os.environ, "TB_BASE": base, "TB_TOKEN": node.token(), "TB_FAKE": f"http://127.0.0.1:{node.fake_port}", "NO_COLOR": "1",
             "OPENAI_API_KEY": node.token(), "OPENAI_BASE_URL": f"{base}/v1", "OPENAI_AGENTS_DISABLE_TRACING": "1",
             "AI_SDK_LOG_WARNINGS": "false", **(env or {})}
    return subprocess.Popen([program(), os.path.join(HERE, name), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, env=given)


def run(node, name, *args, env=None, seconds=120):
    """Runs it to its end; its output. AssertionError with that when it fails."""
    with start(node, name, *args, env=env) as p:
        try:
            out, _ = p.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            out, _ = p.communicate()
            raise AssertionError(f"{name} took more than {seconds} s:\n{out[-4000:]}") from None
    if p.returncode:
        raise AssertionError(f"{name} ended with {p.returncode}:\n{out[-6000:]}")
    return out
