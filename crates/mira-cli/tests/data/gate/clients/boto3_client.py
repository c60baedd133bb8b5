"""boto3, which signs its requests with the keys it has: the gate signs them again with the real ones."""

import os

import boto3
import botocore
import botocore.config
import botocore.exceptions

from steps import ALLOWED, BROKERED, REFUSED, said


def converse(endpoint, **config):
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, **config),
    )
    try:
        answer = client.converse(
            modelId="vendor.model-v1:0", messages=[{"role": "user", "content": [{"text": "Hello"}]}]
        )
        return answer["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error
    except botocore.exceptions.BotoCoreError as error:
        return error, error.kwargs.get("error")


said("key", os.environ["AWS_SECRET_ACCESS_KEY"])
PARTS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
said("parts", " ".join(os.environ.get(part, "-") for part in PARTS))
said("allowed", converse(f"{ALLOWED}/echo", signature_version=botocore.UNSIGNED))
said("brokered", converse(f"{BROKERED}/aws"))
said("refused", converse(REFUSED))
