"""For each line of standard input: who AWS says that we are, by boto3's own chain of credentials.

With the word ``anew`` each time in a new session: of instance metadata, boto3 takes what ends within twenty minutes for
a sign of trouble there, and goes on with it for a while, whether it has ended or not.
"""

import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

client = boto3.client("sts")
for _ in sys.stdin:
    if "anew" in sys.argv:
        client = boto3.Session().client("sts")
    try:
        print(client.get_caller_identity()["Arn"], flush=True)
    except (BotoCoreError, ClientError) as error:
        print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
