"""What a job's code asks for in requirements.txt or setup.py.

It is installed into a virtual environment of the job's own, laid over the
runtime's interpreter: pip sees what that one has, adds what is missing, and
changes nothing in what other jobs share.
"""

import os
import sys

from musher_toolkit import launch
from musher_toolkit.failures import CommandError

# Run by the runtime's interpreter: its paths, and the one beneath it.
_ASK = "import json, sys, sysconfig; print(json.dumps([" \
    "[p for p in sys.path if p.endswith(('site-packages', 'dist-packages'))], " \
    "getattr(sys, '_base_executable', sys.executable), '%d.%d' % sys.version_info[:2]]))"


def install(job, package, log):
    """Installs what the code asks for; package tells whether the code itself
    has a setup.py to install. Returns the folders (modules, programs) for
    PYTHONPATH and PATH, or None where nothing was asked for."""
    requirements = os.path.exists(os.path.join(job.code_dir, "requirements.txt"))
    if not package and not requirements:
        return None
    folder = os.path.join(job.base, "code-packages")
    python, modules = lay_over(folder)
    command = [python, "-m", "pip", "install"]
    command += ["."] if package else []
    command += ["-r", "requirements.txt"] if requirements else []
    log.info("Installing %s" % ("the code as a package" if package else "dependencies from requirements.txt"))
    environ = dict(os.environ)
    environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    environ.setdefault("PIP_ROOT_USER_ACTION", "ignore")
    code, output = launch.run(command, environ, job.code_dir)
    if code:
        raise CommandError("InstallModuleError" if package else "InstallRequirementsError", code, output, command)
    return modules, os.path.join(folder, "bin")


def lay_over(folder):
    """Makes the virtual environment, which takes no more than three files.
    Returns its interpreter and its folder of modules."""
    import json
    import subprocess

    shared, below, version = json.loads(subprocess.check_output([sys.executable, "-c", _ASK]))
    python = os.path.join(folder, "bin", "python")
    modules = os.path.join(folder, "lib", "python" + version, "site-packages")
    os.makedirs(modules, exist_ok=True)
    os.makedirs(os.path.dirname(python), exist_ok=True)
    if not os.path.lexists(python):
        os.symlink(below, python)
    _write(os.path.join(folder, "pyvenv.cfg"), "home = %s\ninclude-system-site-packages = false\nversion = %s\n" % (os.path.dirname(below), version))
    _write(os.path.join(modules, "_runtime.pth"), "\n".join(shared) + "\n")
    return python, modules


def _write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
