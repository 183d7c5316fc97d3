"""Runs a container's command where there is no container: `start.py enter
COMMAND …`.

In a container of its own a command may install packages as it likes; here the
interpreter is shared. So the command finds, first in PATH, an environment of
the job's laid over that interpreter, and whatever it installs stays in there.
"""

import os
import sys

from musher_toolkit import environment, packages

_PIP = '#!/bin/sh\nexec "%s" -m pip "$@"\n'


def main():
    base = os.environ.get("SAGEMAKER_BASE_DIR", environment.DEFAULT_BASE)
    python, _ = packages.lay_over(os.path.join(base, "code-packages"))
    programs = os.path.dirname(python)
    _offer(programs, python)
    os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", os.defpath)
    command = sys.argv[2:]
    try:
        os.execvp(command[0], command)
    except OSError as e:
        print("%s can't be run: %s" % (command[0], e.strerror), flush=True)
        return 127 if isinstance(e, FileNotFoundError) else 126


def _offer(programs, python):
    """Puts the names that commands use beside the interpreter."""
    link = os.path.join(programs, "python3")
    if not os.path.lexists(link):
        os.symlink("python", link)
    for name in ("pip", "pip3"):
        path = os.path.join(programs, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(_PIP % python)
        os.chmod(path, 0o755)
