"""Installs what a model's code asks for in requirements.txt, before the model
is served: `python -I -S start.py serve_packages REQUIREMENTS TARGET`.

TARGET becomes an environment laid over the interpreter, as a training job's
is; the workers of a server get its modules through --packages.
"""

import os
import subprocess
import sys

from musher_toolkit import packages


def main():
    requirements, target = map(os.path.abspath, sys.argv[2:4])
    print("musher: installing " + requirements, flush=True)
    python, _ = packages.lay_over(target)
    environ = dict(os.environ)
    environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    environ.setdefault("PIP_ROOT_USER_ACTION", "ignore")
    # Relative paths in the file begin at its folder.
    code = subprocess.call([python, "-m", "pip", "install", "--no-input", "-r", requirements], env=environ, cwd=os.path.dirname(requirements))
    if code:
        print("musher: the packages of requirements.txt could not be installed, see above", flush=True)
    return code
