"""boto3, which signs its requests with the keys it has: the gate signs them again with the real ones."""

import os

import boto3
import botocore.config
import botocore.exceptions

from steps import ALLOWED, BROKERED, REFUSED, said


def converse(endpoint):
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    try:
        answer = client.converse(
            modelId="any", messages=[{"role": "user", "content": [{"text": "Hello"}]}]
        )
        return answer["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error
    except botocore.exceptions.BotoCoreError as error:
        return repr(error)


said("key", os.environ["AWS_SECRET_ACCESS_KEY"])
said("allowed", converse(ALLOWED))
said("brokered", converse(BROKERED))
said("refused", converse(REFUSED))
