"""Serves no model to speak of: doubles the number in each line."""


def model_fn(model_dir):
    return 2


def input_fn(body, content_type):
    return float(body)


def predict_fn(number, model):
    return number * model


def output_fn(prediction, accept):
    return str(prediction)
