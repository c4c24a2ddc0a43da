"""The addresses of the AWS Management Console: where to sign in, where to land, where to sign out.

How a program signs a browser in:
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_enable-console-custom-url.html
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from strongroom.errors import UsageError

ISSUER = "strongroom"
HOME = "console/home"

# partition -> (host of sign-in, domain of the console). Those of the isolated partitions stand in the endpoint rules
# that AWS ships with its SDKs (service "signin") and follow the same pattern; nobody outside can try them.
PARTITIONS = {
    # Signing out leads on to the sign-in page only within one host, and that is a regional one.
    "aws": ("us-east-1.signin.aws.amazon.com", "console.aws.amazon.com"),
    "aws-cn": ("signin.amazonaws.cn", "console.amazonaws.cn"),
    "aws-us-gov": ("signin.amazonaws-us-gov.com", "console.amazonaws-us-gov.com"),
    "aws-eusc": ("signin.amazonaws-eusc.eu", "console.amazonaws-eusc.eu"),
    "aws-iso": ("signin.c2shome.ic.gov", "console.c2shome.ic.gov"),
    "aws-iso-b": ("signin.sc2shome.sgov.gov", "console.sc2shome.sgov.gov"),
    "aws-iso-e": ("signin.csphome.adc-e.uk", "console.csphome.adc-e.uk"),
    "aws-iso-f": ("signin.csphome.hci.ic.gov", "console.csphome.hci.ic.gov"),
}

# What people call a service -> where its console begins.
SERVICES = {
    "acm": "acm/home#/certificates/list",
    "apigateway": "apigateway/main/apis",
    "athena": "athena/home#/query-editor",
    "backup": "backup/home",
    "batch": "batch/home",
    "bedrock": "bedrock/home",
    "billing": "billing/home",
    "cloudformation": "cloudformation/home#/stacks",
    "cloudfront": "cloudfront/v4/home#/distributions",
    "cloudshell": "cloudshell/home",
    "cloudtrail": "cloudtrailv2/home#/events",
    "cloudwatch": "cloudwatch/home",
    "codebuild": "codesuite/codebuild/projects",
    "codepipeline": "codesuite/codepipeline/pipelines",
    "cognito": "cognito/v2/idp/user-pools",
    "config": "config/home",
    "costs": "costmanagement/home",
    "dynamodb": "dynamodbv2/home#tables",
    "ec2": "ec2/home",
    "ecr": "ecr/repositories",
    "ecs": "ecs/v2/clusters",
    "efs": "efs/home",
    "eks": "eks/home#/clusters",
    "elasticache": "elasticache/home",
    "elb": "ec2/home#LoadBalancers:",
    "eventbridge": "events/home",
    "glue": "glue/home",
    "guardduty": "guardduty/home",
    "health": "health/home",
    "iam": "iam/home",
    "kinesis": "kinesis/home",
    "kms": "kms/home#/kms/keys",
    "lambda": "lambda/home#/functions",
    "logs": "cloudwatch/home#logsV2:log-groups",
    "opensearch": "aos/home",
    "organizations": "organizations/v2/home",
    "parameters": "systems-manager/parameters",
    "rds": "rds/home",
    "redshift": "redshiftv2/home",
    "route53": "route53/v2/hostedzones",
    "s3": "s3/buckets",
    "sagemaker": "sagemaker/home",
    "secretsmanager": "secretsmanager/listsecrets",
    "securityhub": "securityhub/home",
    "servicequotas": "servicequotas/home",
    "ses": "ses/home",
    "sns": "sns/v3/home#/topics",
    "sqs": "sqs/v3/home#/queues",
    "ssm": "systems-manager/home",
    "sso": "singlesignon/home",
    "stepfunctions": "states/home#/statemachines",
    "support": "support/home",
    "vpc": "vpcconsole/home",
    "waf": "wafv2/homev2",
}

# What may stand in each part of a URL as it is (RFC 3986, section 3.3 to 3.5); "%" for what is escaped already.
_PATH_SAFE = "/:@!$&'()*+,;=~%"
_QUERY_SAFE = _PATH_SAFE + "?"

_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")


def federation_endpoint(partition: str) -> str:
    """Where temporary credentials are exchanged for a sign-in token, and where a browser brings that token."""
    return f"https://{PARTITIONS[partition][0]}/federation"


def service_path(word: str) -> str:
    """The path that ``login PROFILE SERVICE`` means: one of `SERVICES`, or any path, which has a slash.

    Raises:
        UsageError: It is neither.
    """
    if "/" in word:
        return word
    path = SERVICES.get(word.lower())
    if path is None:
        raise UsageError(
            f"unknown service {word!r}",
            "any path of the console can be given too, such as ec2/home",
            word=word,
            known=SERVICES,
        )
    return path


def destination(partition: str, region: str | None, path: str = "") -> str:
    """The page of the console where the browser lands.

    Args:
        partition: One of `PARTITIONS`.
        region: Which region's console; without one, the console decides.
        path: The page, perhaps with a query and a fragment; or a whole address, as copied from a browser.

    Raises:
        UsageError: The region cannot be one, or a whole address is not of this partition's console.
    """
    domain = PARTITIONS[partition][1]
    if region and not _REGION.fullmatch(region):
        raise UsageError(f"{region!r} cannot be a region", "check --region, AWS_REGION and region of the profile")
    if "://" in path.partition("?")[0].partition("#")[0]:
        return _copied(path, domain)
    path = path.lstrip("/")
    if not region and not path:
        return f"https://{domain}/"
    path, _, fragment = (path or HOME).partition("#")
    path, _, query = path.partition("?")
    query = quote(query, safe=_QUERY_SAFE)
    if region and "region" not in parse_qs(query, keep_blank_values=True):
        query += ("&" if query else "") + f"region={region}"
    return (
        f"https://{region + '.' if region else ''}{domain}/{quote(path or HOME, safe=_PATH_SAFE)}"
        + (f"?{query}" if query else "")
        + (f"#{quote(fragment, safe=_QUERY_SAFE)}" if fragment else "")
    )


def _copied(url: str, domain: str) -> str:
    """Check an address of the console that somebody copied."""
    # Nothing but a host: neither a port nor a name before an @, which browsers and AWS may read differently.
    match = re.match(rf"https://((?:[a-z0-9-]+\.)*{re.escape(domain)})(?=[/?#]|$)", url)
    if match is None:
        raise UsageError(f"{url!r} is no address of the console at {domain}", "give what follows the host, a path")
    host, parts = match[1], urlsplit(url)
    query = f"?{quote(parts.query, safe=_QUERY_SAFE)}" if parts.query else ""
    fragment = f"#{quote(parts.fragment, safe=_QUERY_SAFE)}" if parts.fragment else ""
    return f"https://{host}{quote(parts.path, safe=_PATH_SAFE) or '/'}{query}{fragment}"


def login_url(partition: str, destination: str, signin_token: str) -> str:
    """The address that signs a browser in and lands at *destination*: a password, for a quarter of an hour."""
    fields = {"Action": "login", "Issuer": ISSUER, "Destination": destination, "SigninToken": signin_token}
    return f"{federation_endpoint(partition)}?{_query(fields)}"


def logout_url(partition: str, login_url: str) -> str:
    """The address that signs a browser out of whatever it is signed in to, and then goes on to *login_url*."""
    fields = {"Action": "logout", "redirect_uri": login_url}
    return f"https://{PARTITIONS[partition][0]}/oauth?{_query(fields)}"


def _query(fields: dict[str, str]) -> str:
    return urlencode(fields, quote_via=quote, safe="")
