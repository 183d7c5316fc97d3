"""Installs a model's code/requirements.txt into a folder of its own.

    python -m musher_toolkit.serve_packages REQUIREMENTS TARGET

The interpreter is not touched: others use it. pip is asked first what is missing
from it, and only that goes into TARGET, so a script that asks for torch does not
get a second one. TARGET comes first in the script's path, so what it asks for in
another version is there in that version.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

# Lines of a requirements file that say where packages come from.
SOURCES = re.compile(r"\s*(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host|--pre|--only-binary|--no-binary|--prefer-binary)\b")


def main(argv):
    requirements, target = map(os.path.abspath, argv)
    os.chdir(os.path.dirname(requirements))  # its relative paths begin here
    print("musher: installing " + requirements, flush=True)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        print("musher: this runtime's interpreter has no pip, which requirements.txt needs: " + sys.executable, flush=True)
        return 1
    os.makedirs(target, exist_ok=True)
    wanted = missing(requirements)
    if wanted is None:
        return pip("install", "--target", target, "-r", requirements)
    if not wanted:
        print("musher: all of it is there already", flush=True)
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write("\n".join(sources(requirements) + wanted) + "\n")
        pinned.flush()
        return pip("install", "--no-deps", "--target", target, "-r", pinned.name)


def pip(*args):
    return subprocess.call([sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"] + list(args))


def missing(requirements):
    """What is to be installed, as requirements of exact versions; None where
    pip is too old (before 22.2) to say."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report.json")
        if pip("install", "--dry-run", "--report", report, "-r", requirements):
            return None
        with open(report, encoding="utf-8") as f:
            return [pinned(item) for item in json.load(f)["install"]]


def pinned(item):
    if item.get("is_direct"):
        info = item["download_info"]
        vcs = info.get("vcs_info")
        url = "%s+%s@%s" % (vcs["vcs"], info["url"], vcs["commit_id"]) if vcs else info["url"]
        return "%s @ %s" % (item["metadata"]["name"], url)
    return "%s==%s" % (item["metadata"]["name"], item["metadata"]["version"])


def sources(requirements):
    with open(requirements, encoding="utf-8") as f:
        return [line.strip() for line in f if SOURCES.match(line)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
