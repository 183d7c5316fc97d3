"""A user's script as the inference toolkits take it, and what stands in for
the functions that it does not define.

The contract, context being optional everywhere:

    model_fn(model_dir, context)                             -> model
    input_fn(body, content_type, context)                    -> data
    predict_fn(data, model, context)                         -> prediction
    output_fn(prediction, accept, context)                   -> body, or (body, content type)
    transform_fn(model, body, content_type, accept, context) -> as output_fn

transform_fn takes the place of the last three. pre_model_fn(model_dir) and
model_warmup_fn(model_dir, model) are called around model_fn where they exist.
A body of JSON, CSV or another text type in UTF-8 comes as str, any other as
bytes.
"""

import importlib.util
import inspect
import io
import json
import os
import sys

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
TEXT_TYPES = (JSON, CSV)
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class Unsupported(Exception):
    """A content type that nothing here reads (415) or writes (406)."""

    def __init__(self, status_code, message):
        super().__init__(message)
        self.status_code = status_code


def media_type(header):
    """The type without its parameters."""
    return (header or "").partition(";")[0].strip().lower()


class Context:
    """What a function may ask about its request, and say about its answer, as
    the model servers of the cloud's images hand it over. Index and idx are
    those of a batch: here it always has one request."""

    def __init__(self, model_dir, headers=None):
        self.model_name = "model"
        self.manifest = {}
        self.system_properties = {"model_dir": model_dir, "gpu_id": None, "batch_size": 1, "server_name": "musher"}
        self.request_processor = [self]
        self.status, self.content_type, self.answer_headers = 200, None, {}
        self._headers = headers or {}

    def get_request_id(self, idx=0):
        return self.get_request_header(idx, "x-amzn-requestid") or ""

    def get_request_header(self, idx, key):
        return self._headers.get(key.lower())

    def get_all_request_header(self, idx=0):
        return dict(self._headers)

    def get_request_properties(self):
        return dict(self._headers)

    def get_request_property(self, key):
        return self._headers.get(key.lower())

    def set_response_status(self, code=200, phrase="", idx=0):
        self.status = code

    def set_response_content_type(self, idx, value):
        self.content_type = value

    def get_response_content_type(self, idx=0):
        return self.content_type

    def set_response_header(self, idx, key, value):
        self.answer_headers[key] = value

    def get_response_headers(self, idx=0):
        return dict(self.answer_headers)


class Script:
    """The functions of a script, with defaults for the missing ones."""

    def __init__(self, module, defaults):
        def find(name, arguments):
            function = getattr(module, name, None) or getattr(defaults, name, None)
            return function and with_context(function, arguments)

        own = [name for name in ("input_fn", "predict_fn", "output_fn") if hasattr(module, name)]
        if own and hasattr(module, "transform_fn"):
            raise TypeError("the script defines transform_fn and %s: give one or the others" % ", ".join(own))
        self._pre, self._warmup = find("pre_model_fn", 1), find("model_warmup_fn", 2)
        self._model, self._transform = find("model_fn", 1), find("transform_fn", 4)
        self._input, self._predict, self._output = find("input_fn", 2), find("predict_fn", 2), find("output_fn", 2)

    def load(self, model_dir):
        context = Context(model_dir)
        if self._pre:
            self._pre(context, model_dir)
        model = self._model(context, model_dir)
        if self._warmup:
            self._warmup(context, model_dir, model)
        return model

    def run(self, context, model, body, content_type, accept):
        """Returns body and content type of the answer."""
        if media_type(content_type) in TEXT_TYPES:
            body = body.decode("utf-8")
        if self._transform:
            result = self._transform(context, model, body, content_type, accept)
        else:
            data = self._input(context, body, content_type)
            prediction = self._predict(context, data, model)
            result = self._output(context, prediction, accept)
        if isinstance(result, tuple) and len(result) == 2:
            return result
        return result, context.content_type or accept.partition(",")[0].strip()


def with_context(function, arguments):
    """Returns function as one that takes the context first: it is passed on,
    last, where function has room for it."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) or len(parameters) == arguments:
        return lambda context, *args: function(*args)
    if len(parameters) == arguments + 1:
        return lambda context, *args: function(*args, context)
    name = getattr(function, "__name__", "a function of the script")
    raise TypeError("%s takes %d arguments: it must take %d, or %d with the context" % (name, len(parameters), arguments, arguments + 1))


def load_module(code_dir, model_dir, program):
    """Imports the user's script, from code_dir or the model's own folder, and
    lets it import what lies beside it. Without any script it returns None:
    then the defaults are all there is."""
    name = program or "inference.py"
    name = name if name.endswith(".py") else name.replace(".", "/") + ".py"
    for folder in (code_dir, model_dir):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return _import(path, folder)
    if program:
        there = sorted(os.listdir(code_dir)) if os.path.isdir(code_dir) else []
        raise FileNotFoundError("SAGEMAKER_PROGRAM is %s, and there is no such file in %s; there are: %s" % (program, code_dir, ", ".join(there) or "none"))
    return None


def _import(path, folder):
    # The file itself, not what its name finds: a script may be called test.py.
    sys.path[:0] = [p for p in (folder, os.path.dirname(path)) if p not in sys.path]
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def decode(body, content_type):
    """Reads JSON, CSV or NPY: into a numpy array where there is numpy, else
    into lists."""
    kind = media_type(content_type)
    if kind == JSON:
        return _array(json.loads(body))
    if kind == CSV:
        return _read_csv(body)
    if kind == NPY and _numpy():
        return _numpy().load(io.BytesIO(body), allow_pickle=False)
    raise Unsupported(415, "content type %s is not supported: send %s, or define input_fn" % (content_type or "(none)", _known()))


def encode(prediction, accept):
    """Writes the first type of accept that it can; returns body and type."""
    if hasattr(prediction, "detach"):
        prediction = prediction.detach().cpu()
    for kind in map(media_type, accept.split(",")):
        if kind == JSON:
            return json.dumps(prediction, default=_plain), JSON
        if kind == CSV:
            return _write_csv(prediction), CSV
        if kind == NPY and _numpy():
            out = io.BytesIO()
            _numpy().save(out, _numpy().asarray(prediction))
            return out.getvalue(), NPY
    raise Unsupported(406, "an answer as %s is not supported: accept %s, or define output_fn" % (accept, _known()))


def _known():
    return "%s or %s" % (JSON, CSV) if not _numpy() else "%s, %s or %s" % (JSON, CSV, NPY)


def _numpy():
    """numpy, or None: plain interpreters lack it."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _array(data):
    return data if _numpy() is None else _numpy().array(data)


def _plain(value):
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError("a prediction of type %s cannot be written as JSON: define output_fn" % type(value).__name__)


def _read_csv(text):
    if _numpy():
        return _numpy().genfromtxt(io.StringIO(text), delimiter=",")
    rows = [[float(x) for x in line.split(",")] for line in text.splitlines() if line.strip()]
    return rows[0] if len(rows) == 1 else rows


def _write_csv(prediction):
    rows = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    if not isinstance(rows, (list, tuple)):
        rows = [rows]
    return "".join(",".join(map(str, row)) + "\n" if isinstance(row, (list, tuple)) else "%s\n" % row for row in rows)


class Defaults:
    """Of a plain Python runtime: the script has to say how its model is
    loaded."""

    @staticmethod
    def model_fn(model_dir):
        raise NotImplementedError("the script has no model_fn(model_dir), and this runtime cannot load models by itself")

    @staticmethod
    def input_fn(body, content_type):
        return decode(body, content_type)

    @staticmethod
    def predict_fn(data, model):
        return model(data)

    @staticmethod
    def output_fn(prediction, accept):
        return encode(prediction, accept)


class SklearnDefaults(Defaults):
    """Of scikit-learn, and of what has its interface."""

    @staticmethod
    def input_fn(body, content_type):
        data = decode(body, content_type)
        return data.astype("float32") if media_type(content_type) in TEXT_TYPES else data

    @staticmethod
    def predict_fn(data, model):
        return model.predict(data)


class TorchDefaults(Defaults):
    """Of PyTorch: TorchScript models, tensors in and out."""

    @staticmethod
    def device():
        import torch

        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @staticmethod
    def model_fn(model_dir):
        import torch

        path = _torch_file(model_dir)
        try:
            return torch.jit.load(path, map_location=TorchDefaults.device())
        except RuntimeError as e:
            raise RuntimeError("%s is no TorchScript model (torch.jit.save): define model_fn to load it" % path) from e

    @staticmethod
    def input_fn(body, content_type):
        import torch

        data = decode(body, content_type)
        kind = torch.float32 if media_type(content_type) in TEXT_TYPES else None
        return torch.as_tensor(data, dtype=kind, device=TorchDefaults.device())

    @staticmethod
    def predict_fn(data, model):
        import torch

        with torch.no_grad():
            device = TorchDefaults.device()
            model = model.to(device)
            model.eval()
            return model(data.to(device))


def _torch_file(model_dir):
    path = os.path.join(model_dir, "model.pt")
    if os.path.exists(path):
        return path
    found = [name for name in sorted(os.listdir(model_dir)) if name.endswith((".pt", ".pth"))]
    if len(found) != 1:
        raise ValueError("without a model_fn there must be model.pt, or exactly one .pt or .pth file; there are: %s" % (", ".join(found) or "none"))
    return os.path.join(model_dir, found[0])


DEFAULTS = {"pytorch": TorchDefaults, "sklearn": SklearnDefaults, "base": Defaults}
