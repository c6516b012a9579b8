"""How what is deployed is reached."""

import pytest

from tidemill_cli.local.cloud import Deployment

ENDPOINT = "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    ("output", "url"),
    [
        (
            "https://cc0e5cd0.execute-api.us-east-1.amazonaws.com/v1/",
            f"{ENDPOINT}/restapis/cc0e5cd0/v1/_user_request_",
        ),
        ("https://models.example.org/", "https://models.example.org"),
    ],
)
def test_the_api_is_called_where_it_answers(output: str, url: str) -> None:
    assert Deployment(ENDPOINT, {"EndpointUrl": output}).api_url == url


def test_clients_never_use_the_keys_or_the_proxy_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.org:3128")
    kwargs = Deployment(ENDPOINT).client_kwargs()
    assert kwargs["aws_access_key_id"] == "test"
    assert kwargs["endpoint_url"] == ENDPOINT
    assert kwargs["config"].proxies == {}
