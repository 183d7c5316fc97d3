"""What the SageMaker SDK's users reach for beside training: a processing job
over the photos, and a batch transform of a file of lines."""

import io
import json
import tarfile

import boto3
import sagemaker
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.pytorch import PyTorchModel
from sagemaker.s3 import S3Downloader, S3Uploader

session = sagemaker.Session()
role = sagemaker.get_execution_role()
base = f"s3://{session.default_bucket()}/sagemaker-jobs"
image = sagemaker.image_uris.retrieve(
    "pytorch", session.boto_region_name, version="1.13", py_version="py39", image_scope="training", instance_type="ml.m5.large"
)

S3Uploader.upload("dogImages/test", f"{base}/photos")
processor = ScriptProcessor(
    image_uri=image, command=["python3"], role=role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session
)
processor.run(
    code="scripts/count.py",
    inputs=[ProcessingInput(source=f"{base}/photos", destination="/opt/ml/processing/photos")],
    outputs=[ProcessingOutput(source="/opt/ml/processing/output", destination=f"{base}/counts")],
    arguments=["--name", "breeds.json"],
)
counts = json.loads(S3Downloader.read_file(f"{base}/counts/breeds.json"))
print("photos", sum(counts.values()), "breeds", len(counts))

packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    tar.addfile(tarfile.TarInfo("nothing"))
boto3.client("s3").put_object(Bucket=session.default_bucket(), Key="sagemaker-jobs/model.tar.gz", Body=packed.getvalue())
S3Uploader.upload_string_as_file_body("1\n2.5\n40\n", f"{base}/lines/numbers.csv")
model = PyTorchModel(
    entry_point="double.py", source_dir="lines", role=role, model_data=f"{base}/model.tar.gz", framework_version="1.13", py_version="py39"
)
transformer = model.transformer(
    instance_count=1, instance_type="ml.m5.large", strategy="SingleRecord", assemble_with="Line", output_path=f"{base}/doubled"
)
transformer.transform(f"{base}/lines", content_type="text/csv", split_type="Line", wait=True, logs=False)
print("doubled", S3Downloader.read_file(f"{base}/doubled/numbers.csv.out").split())
transformer.delete_model()
