"""Writes the synthetic images of this folder and facts.json: what Pillow makes of them.

    python -m venv V && V/bin/pip install 'pillow<13' numpy
    V/bin/python make.py [FOLDER with dogs-full/test]

Pillow 13 resamples columns first where the height shrinks much more than the width; earlier
versions never do. That cannot happen in Preprocess, which keeps proportions.

Needed again only when a case is added. The pictures are gradients and noise, made by
picture() below, which the tests repeat in Go. 4:4:0 and 4:1:1 JPEGs, which Pillow
cannot write, come from libturbojpeg.
"""
import ctypes, hashlib, io, json, pathlib, struct, sys, zlib
import numpy as np
import PIL
from PIL import Image, features

here = pathlib.Path(__file__).parent
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def picture(w, h, hard=False):
    """Gradients with some noise; hard: only black and white samples, so that filters overshoot."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    v = (x * 374761393 + y * 668265263 + c * 974634777) & 0xFFFFFFFF
    v = ((v ^ (v >> 13)) * 1274126177) & 0xFFFFFFFF
    v ^= v >> 16
    if hard:
        return ((v & 1) * 255).astype(np.uint8)
    return (((x * 2 + y * 3 + c * 40) & 255) * 3 // 4 + (v & 63)).astype(np.uint8)


def smooth(w, h):
    """What JPEG and WebP like better than picture: slow waves of different colours."""
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    return (127.5 + 127.5 * np.sin(x / (7 + 3 * c) + y / (11 - 2 * c) + c)).astype(np.uint8)


def sha(a):
    return hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(w, h, bits, kind, rows, *extra):
    raw = b"".join(b"\0" + r for r in rows)
    head = struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra)
            + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def saved(im, **how):
    b = io.BytesIO()
    im.save(b, **how)
    return b.getvalue()


def turbo(a, sampling):
    lib = ctypes.CDLL("libturbojpeg.so.0")
    lib.tjInitCompress.restype = ctypes.c_void_p
    lib.tjCompress2.argtypes = [ctypes.c_void_p, ctypes.c_char_p, *[ctypes.c_int] * 4,
                                ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int] * 3]
    out, n = ctypes.c_void_p(), ctypes.c_ulong()
    lib.tjCompress2(lib.tjInitCompress(), a.tobytes(), a.shape[1], 0, a.shape[0], 0,
                    ctypes.byref(out), ctypes.byref(n), sampling, 85, 0)
    return ctypes.string_at(out, n.value)


def files():
    s = Image.fromarray(smooth(83, 61))
    n = Image.fromarray(picture(83, 61))
    for sub in ("4:4:4", "4:2:2", "4:2:0"):
        yield f"rgb{sub.replace(':', '')}.jpg", saved(s, format="JPEG", subsampling=sub, quality=88)
    yield "noise420.jpg", saved(n, format="JPEG", quality=60)
    yield "rgb440.jpg", turbo(smooth(83, 61), 4)
    yield "rgb411.jpg", turbo(smooth(83, 61), 5)
    for w in (1, 2, 3, 4, 5, 16, 17):
        yield f"narrow{w}.jpg", saved(Image.fromarray(smooth(w, 5)), format="JPEG", quality=90)
    yield "progressive.jpg", saved(s, format="JPEG", progressive=True)
    yield "restart.jpg", saved(s, format="JPEG", restart_marker_rows=1)
    yield "gray.jpg", saved(s.convert("L"), format="JPEG")
    yield "keeprgb.jpg", saved(s, format="JPEG", keep_rgb=True, subsampling=0)
    cmyk = saved(s.convert("CMYK"), format="JPEG", quality=90)
    yield "cmyk.jpg", cmyk
    at = cmyk.index(b"Adobe") + 11
    yield "ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1:]
    exif = Image.Exif()
    exif[0x112] = 6
    yield "orient6.jpg", saved(s, format="JPEG", exif=exif)

    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        im = n.convert("RGB").convert(mode)
        if mode in ("LA", "RGBA"):
            im.putalpha(Image.fromarray(picture(83, 61)[:, :, 0]))
        yield f"{mode.lower()}.png", saved(im.crop((0, 0, 31, 17)), format="PNG", optimize=True)
    yield "p-trns.png", saved(n.quantize(16).crop((0, 0, 31, 17)), format="PNG", transparency=3)
    a = picture(31, 17)
    wide = (a.astype(">u2") * 181 + 77).astype(">u2")
    yield "gray2.png", png(32, 3, 2, 0, [bytes(range(i, i + 8)) for i in (10, 90, 170)])
    yield "gray16.png", png(31, 17, 16, 0, [(r[:, 0] // 60).tobytes() for r in wide])
    yield "gray16-trns.png", png(31, 17, 16, 0, [(r[:, 0] // 60).astype(">u2").tobytes() for r in wide], chunk(b"tRNS", b"\0\7"))
    yield "rgb16.png", png(31, 17, 16, 2, [r.tobytes() for r in wide])
    yield "rgb-trns.png", png(31, 17, 8, 2, [r.tobytes() for r in a], chunk(b"tRNS", b"\0\7\0\1\0\2"))
    four = np.concatenate([wide, wide[:, :, :1]], axis=2)
    yield "rgba16.png", png(31, 17, 16, 6, [r.tobytes() for r in four])
    yield "la16.png", png(31, 17, 16, 4, [r[:, :2].tobytes() for r in wide])
    yield "short-palette.png", png(4, 1, 8, 3, [b"\0\1\2\7"], chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60])))

    for w, h in ((83, 61), (64, 48), (1, 1), (2, 3), (3, 2), (40, 1)):
        yield f"lossy{w}x{h}.webp", saved(Image.fromarray(smooth(w, h)), format="WEBP", quality=80)
    alpha = s.copy()
    alpha.putalpha(Image.fromarray(picture(83, 61)[:, :, 0]))
    yield "lossy-alpha.webp", saved(alpha, format="WEBP", quality=70, exact=True)
    yield "lossless.webp", saved(n, format="WEBP", lossless=True)
    yield "lossless-alpha.webp", saved(alpha, format="WEBP", lossless=True, exact=True)

    yield "plain.gif", saved(n.quantize(16), format="GIF")
    gif = bytearray(saved(n.quantize(16).crop((0, 0, 20, 11)), format="GIF", transparency=2))
    yield "transparent.gif", bytes(gif)
    gif[6], gif[8] = 25, 14  # a larger screen than the frame
    yield "screen.gif", bytes(gif)


def crop(im, resize, size, flt):
    """torchvision's Resize(resize), CenterCrop(size)."""
    w, h = im.size
    short, long = min(w, h), max(w, h)
    other = int(resize * long / short)
    im = im.resize((resize, other) if w <= h else (other, resize), FILTERS[flt])
    left, top = int(round((im.size[0] - size) / 2.0)), int(round((im.size[1] - size) / 2.0))
    return np.array(im.crop((left, top, left + size, top + size)))


facts = {"pillow": PIL.__version__, "libjpeg_turbo": features.version_feature("libjpeg_turbo"),
         "decode": {}, "resize": [], "crop": [], "photos": []}
for name, data in files():
    (here / name).write_bytes(data)
    a = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    facts["decode"][name] = {"w": a.shape[1], "h": a.shape[0], "sha256": sha(a)}

for (w, h), (ow, oh) in [((50, 37), (34, 25)), ((500, 375), (341, 256)), ((37, 50), (80, 90)), ((64, 64), (64, 31)),
                         ((64, 64), (31, 64)), ((64, 64), (64, 64)), ((1, 1), (5, 7)), ((200, 3), (7, 3)), ((3, 200), (2, 9)),
                         ((9, 9), (1, 1)), ((1000, 11), (13, 12)), ((17, 19), (18, 20))]:
    for flt in FILTERS:
        for hard in (False, True):
            im = Image.fromarray(picture(w, h, hard)).resize((ow, oh), FILTERS[flt])
            facts["resize"].append({"w": w, "h": h, "ow": ow, "oh": oh, "filter": flt, "hard": hard, "sha256": sha(np.array(im))})

for w, h in ((500, 375), (375, 500), (256, 256), (257, 300), (301, 258), (120, 90), (90, 121), (640, 40), (33, 2000)):
    for r, s, flt in ((256, 224, "bicubic"), (256, 224, "bilinear"), (274, 240, "bicubic"), (297, 260, "bicubic"), (51, 50, "bicubic"), (50, 47, "bilinear")):
        a = crop(Image.fromarray(picture(w, h)), r, s, flt)
        facts["crop"].append({"w": w, "h": h, "resize": r, "crop": s, "filter": flt, "sha256": sha(a)})

if len(sys.argv) > 1:
    root = pathlib.Path(sys.argv[1])
    for f in [sorted(d.iterdir())[i] for i, d in enumerate(sorted(root.iterdir())[:8])]:
        im = Image.open(f).convert("RGB")
        facts["photos"].append({"file": str(f.relative_to(root)), "decode": sha(np.array(im)),
                                "bicubic": sha(crop(im, 256, 224, "bicubic")), "bilinear": sha(crop(im, 256, 224, "bilinear"))})
(here / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
