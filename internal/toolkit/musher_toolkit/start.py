"""Starts a module of this package: `python -I -S start.py train`.

A script and not `-m`, because the interpreter starts isolated (-I) and without
site-packages (-S): what the user has installed costs the toolkit no time and
can't get into its way.
"""

import os
import sys

if __name__ == "__main__":
    if sys.version_info < (3, 8):
        sys.exit("the toolkit needs Python 3.8 or later, and %s is %d.%d" % ((sys.executable,) + sys.version_info[:2]))
    package = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.dirname(package))
    module = __import__("musher_toolkit." + sys.argv[1], fromlist=["main"])
    sys.exit(module.main())
