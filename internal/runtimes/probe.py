# Run by an interpreter, with the modules to look for as arguments, to say what
# it is. It must parse with any Python 3 and imports nothing that it looks for.
import json, os, sys, sysconfig
from importlib import util

DISTRIBUTIONS = {"sklearn": ["scikit-learn"], "xgboost": ["xgboost", "xgboost-cpu"], "PIL": ["pillow"],
                 "torch_neuronx": ["torch-neuronx"]}


def version(module):
    try:
        from importlib import metadata
    except ImportError:
        return ""
    for name in DISTRIBUTIONS.get(module, [module]):
        try:
            return metadata.version(name) or ""
        except Exception:
            pass
    return ""


def present(module):
    try:
        spec = util.find_spec(module)
    except Exception:
        return False
    return spec is not None and spec.origin is not None  # a bare folder of that name is no module


paths = sysconfig.get_paths()
print(json.dumps({
    "path": sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "libraries": [paths[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")],
    "sites": [p for p in sys.path if os.path.isdir(p) and os.path.basename(p) in ("site-packages", "dist-packages")],
    "packages": {m: version(m) for m in sys.argv[1:] if present(m)},
}))
