"""Serves what hpo.py trained: a JPEG, or {"url": …}, in; log probabilities out."""

import io
import json
import logging
import os
import sys

import requests
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import nn
from torchvision import transforms

log = logging.getLogger(__name__)
log.setLevel(logging.DEBUG)
log.addHandler(logging.StreamHandler(sys.stdout))

JPEG, JSON = "image/jpeg", "application/json"

PREPARE = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
    ]
)


def model_fn(model_dir):
    log.info("The model is in %s", model_dir)
    saved = torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu")
    model = EfficientNet.from_name("efficientnet-lite0")
    model._fc = nn.Linear(model._fc.in_features, len(saved["classes"]))
    model.load_state_dict(saved["state"])
    model.eval()
    return model


def input_fn(request_body, content_type=JPEG):
    log.info("The request is %s", content_type)
    if content_type == JPEG:
        return Image.open(io.BytesIO(request_body)).convert("RGB")
    if content_type == JSON:
        url = json.loads(request_body)["url"]
        log.info("The photo is at %s", url)
        answer = requests.get(url, timeout=20)
        answer.raise_for_status()
        return Image.open(io.BytesIO(answer.content)).convert("RGB")
    raise ValueError("This model takes image/jpeg and application/json, not " + content_type)


def predict_fn(photo, model):
    with torch.no_grad():
        return torch.log_softmax(model(PREPARE(photo).unsqueeze(0)), dim=1)
