#!/usr/bin/env python3
"""Writes the vectors beside it: requests signed for AWS by implementations that share no code with Mira.

`suite.json` holds the requests of AWS's own test suite for Signature Version 4 (Apache-2.0), read from the folder named as argument:
https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4. Left away are those that no HTTP library sends: a space in the
target, and a folded header. `botocore.json` holds requests that botocore signs, each with the keys of a program and with those of the account.
Needs botocore; a second run writes the same bytes.
"""

import datetime
import json
import pathlib
import sys

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HERE = pathlib.Path(__file__).parent
TIME = datetime.datetime(2026, 11, 24, 7, 5, 9, tzinfo=datetime.timezone.utc)
UNSENDABLE = {"get-header-value-multiline", "get-space-normalized", "get-space-unnormalized"}

PROGRAM = ("AKIAPLACEHOLDER23456", "placeholderplaceholderplaceholder0123456", "placeholderToken0123456789")
ACCOUNT = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLE//token+of=the==account")


def keys(access_key_id, secret_access_key, session_token, authorization):
    return {
        "access_key_id": access_key_id,
        "secret_access_key": secret_access_key,
        "session_token": session_token,
        "authorization": authorization,
    }


def suite(folder):
    for test in sorted(pathlib.Path(folder).iterdir()):
        if test.name in UNSENDABLE or not (test / "context.json").exists():
            continue
        context = json.loads((test / "context.json").read_text())["credentials"]
        head, _, body = (test / "header-signed-request.txt").read_text().partition("\n\n")
        first, *lines = head.split("\n")
        method, target = first.removesuffix(" HTTP/1.1").split(" ", 1)
        headers = [line.split(":", 1) for line in lines if line]
        held = {name.lower(): value for name, value in headers}
        signed = keys(
            context["access_key_id"],
            context["secret_access_key"],
            held.get("x-amz-security-token"),
            held["authorization"],
        )
        rest = [pair for pair in headers if pair[0].lower() not in ("authorization", "x-amz-security-token")]
        yield {"name": test.name, "method": method, "target": target, "headers": rest, "body": body, "program": signed, "account": signed}


JSON = ("Content-Type", "application/x-amz-json-1.0")
FORM = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
CASES = [
    # name, service, region, method, address, headers, body, with a token, context
    ("dynamodb", "dynamodb", "eu-central-1", "POST", "https://dynamodb.eu-central-1.amazonaws.com/",
     [JSON, ("X-Amz-Target", "DynamoDB_20120810.ListTables")], '{"Limit": 3}', False, {}),
    ("sts-with-token", "sts", "us-east-1", "POST", "https://sts.amazonaws.com/", [FORM],
     "Action=GetCallerIdentity&Version=2011-06-15", True, {}),
    ("iam-query", "iam", "us-east-1", "GET",
     "https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers&b=2&B=1&a=1&a=0&c&Path=%2Fteam%20x%2F%C3%A9~-_.", [], "", False, {}),
    ("header-whitespace-and-utf8", "sns", "us-east-1", "POST", "https://sns.us-east-1.amazonaws.com/",
     [FORM, ("X-Amz-Meta-Note", "  two   spaces  and é  ")], "Action=ListTopics", False, {}),
    ("lambda-arn-in-path", "lambda", "us-east-1", "POST",
     "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af/invocations",
     [], "{}", True, {}),
    ("bedrock-colon-in-path", "bedrock", "us-west-2", "POST",
     "https://bedrock-runtime.us-west-2.amazonaws.com/model/anthropic.claude-3-haiku-20240307-v1:0/converse", [], "{}", False, {}),
    ("api-with-dots-in-path", "execute-api", "us-east-1", "GET",
     "https://a1.execute-api.us-east-1.amazonaws.com/prod/./a//b/../c/", [], "", False, {}),
    ("port-in-host", "dynamodb", "us-east-1", "POST", "https://localhost:8443/", [JSON], "{}", False, {}),
    ("s3-get", "s3", "us-east-1", "GET",
     "https://bucket.s3.us-east-1.amazonaws.com/a%20b%2Bc//d/../e%C3%A9%2Ff?versionId=x%2By&list", [], "", True, {}),
    ("s3-put", "s3", "us-east-1", "PUT", "https://bucket.s3.us-east-1.amazonaws.com/key", [], "the body", False, {}),
    ("s3-put-unsigned", "s3", "us-east-1", "PUT", "https://bucket.s3.us-east-1.amazonaws.com/key",
     [("Content-MD5", "x")], "the body", True, {"has_streaming_input": True}),
    ("s3-put-trailer", "s3", "us-east-1", "PUT", "https://bucket.s3.us-east-1.amazonaws.com/key",
     [("X-Amz-Trailer", "x-amz-checksum-crc32")], "", False,
     {"checksum": {"request_algorithm": {"in": "trailer", "algorithm": "crc32"}}}),
]


def signed_by_botocore(case, identity):
    name, service, region, method, address, headers, body, with_token, context = case
    credentials = Credentials(identity[0], identity[1], identity[2] if with_token else None)
    request = AWSRequest(method, address, data=body)
    for key, value in headers:
        request.headers[key] = value
    request.context.update(context)
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer(credentials, service, region).add_auth(request)
    return request, keys(credentials.access_key, credentials.secret_key, credentials.token, request.headers["Authorization"])


def by_botocore():
    botocore.auth.get_current_datetime = lambda: TIME
    for case in CASES:
        request, program = signed_by_botocore(case, PROGRAM)
        _, account = signed_by_botocore(case, ACCOUNT)
        host, slash, target = request.url.removeprefix("https://").partition("/")
        own = ("authorization", "x-amz-security-token")
        headers = [["Host", host]] + [[key, value] for key, value in request.headers.items() if key.lower() not in own]
        yield {"name": case[0], "method": case[3], "target": slash + target, "headers": headers, "body": case[6],
               "program": program, "account": account}


def write(file, vectors):
    text = json.dumps(list(vectors), indent=1, ensure_ascii=False)
    (HERE / file).write_text(text + "\n")


write("suite.json", suite(sys.argv[1]))
write("botocore.json", by_botocore())
