"""A processing job's program: counts the photos of each breed."""

import argparse
import json
import os

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="counts.json")
args = parser.parse_args()

photos = "/opt/ml/processing/photos"
counts = {breed: len(os.listdir(os.path.join(photos, breed))) for breed in sorted(os.listdir(photos))}
with open(os.path.join("/opt/ml/processing/output", args.name), "w") as f:
    json.dump(counts, f)
print("counted", sum(counts.values()), "photos of", len(counts), "breeds")
