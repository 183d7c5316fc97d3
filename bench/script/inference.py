import json


def model_fn(model_dir):
    return 2


def input_fn(body, content_type):
    return json.loads(body)


def predict_fn(data, model):
    return [x * model for x in data["instances"]]


def output_fn(prediction, accept):
    return json.dumps(prediction)
