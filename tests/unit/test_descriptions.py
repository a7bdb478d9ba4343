"""What botocore reads before it makes a client is read once, and less of it, and leads to the same places."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from shared.storage.descriptions import make_session


def client(session: Any, service: str, *, region: str = "us-east-1") -> Any:
    return session.client(service, region_name=region, aws_access_key_id="one", aws_secret_access_key="two")


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1", "xx-nowhere-1"])
def test_storage_and_what_credentials_come_from_are_where_botocore_has_them(region: str) -> None:
    ours, theirs = make_session(), boto3.Session()
    for service in ("s3", "sts", "sso", "sso-oidc"):
        made, known = (client(each, service, region=region) for each in (ours, theirs))
        assert made.meta.endpoint_url == known.meta.endpoint_url
        assert made.meta.service_model.operation_names == known.meta.service_model.operation_names


def test_the_endpoints_of_storage_are_all_kept_and_those_of_other_services_are_not() -> None:
    ours, theirs = make_session(), boto3.Session()
    assert ours.get_available_regions("s3") == theirs.get_available_regions("s3")
    assert ours.get_available_regions("ec2") == []


def test_two_clients_share_what_was_read() -> None:
    one, other = (client(make_session(), "s3") for _ in range(2))
    assert one.meta.service_model.metadata is other.meta.service_model.metadata
